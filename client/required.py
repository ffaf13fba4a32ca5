"""What a tenant was made to insist on, kept apart from the folders that it needs for it.

    <store>/requires.toml    noise = true, masks = true

A tenant without a `privacy` folder answers without noise, and one without a `secagg` folder in clear. So a folder that
is gone, as after a backup that left it out, must not pass for one that never was.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Literal

from fedrec.errors import ConfigError, Refusal
from fedrec.files import write_text

REQUIRES = "requires.toml"
What = Literal["noise", "masks"]


def require(store: Path, what: What) -> None:
    """From now on the tenant answers nothing without it."""
    values = _read(store)
    if values.get(what) is True:
        return
    values |= {what: True}
    write_text(store / REQUIRES, "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))


def check_not_required(store: Path, what: What, folder: str) -> None:
    """Raises Refusal if the tenant insists on what its `folder`, which is not there, would hold."""
    if _read(store).get(what, False) is not False:
        raise Refusal(f"{what}-required", f"this tenant answers with {what} only, and its folder '{folder}' is gone")


def _read(store: Path) -> dict[str, object]:
    path = store / REQUIRES
    try:
        return dict(tomllib.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); nothing leaves until it is mended.") from error
