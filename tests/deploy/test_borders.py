"""Platform and tenant share a package, and nothing of each other's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_layers import SOURCE, imports

DEPLOY = SOURCE / "deploy"
FORBIDDEN = {
    "platform": ("fedrec.client", "fedrec.deploy.tenant"),
    "tenant": ("fedrec.server", "fedrec.deploy.platform"),
}


@pytest.mark.parametrize("side", FORBIDDEN)
def test_a_side_imports_nothing_of_the_other(side):
    paths = sorted((DEPLOY / side).glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        found = [name for name in imports(path) if name.startswith(FORBIDDEN[side])]
        assert not found, f"{path}: {found}"


@pytest.mark.parametrize("name", ["supervisor.py", "tenant/handover.py"])
def test_what_waits_all_day_imports_next_to_nothing(name):
    """numpy alone would cost every idle tenant 30 MB."""
    light = {"fedrec.errors", "fedrec.files"}
    names = {".".join(one.split(".")[:2]) for one in imports(Path(DEPLOY / name)) if one.startswith("fedrec")}
    assert names <= light
    heavy = {"numpy", "flwr", "torch", "pyarrow", "cryptography", "pydantic"}
    assert not heavy & {one.split(".")[0] for one in imports(Path(DEPLOY / name))}
