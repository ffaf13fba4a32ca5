"""A small market on disk, as a platform and its tenants have it before they know of each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner

from fedrec.cli.app import app
from tests.federation import ITEMS, rows_of

HISTORIES: tuple[Mapping[str, str], ...] = (
    {"ann@example": "abcd", "bob@example": "bcde"},
    {"cat@example": "abce", "dan@example": "cdef"},
    {"eve@example": "fedc", "fay@example": "acef"},
)


def fedrec(*arguments: object) -> str:
    """What a command prints; it must succeed."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, f"{arguments}: {done.output}"
    return done.output


def refused(*arguments: object) -> str:
    """What a command prints that must not succeed."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code != 0, f"{arguments}: {done.output}"
    return " ".join(done.output.split())


def run_file(name: str, rest: str, evaluation: str = "", **federation: object) -> str:
    """A run over a few users: what these tests evaluate, what they federate, then `rest`."""
    asked = {"min_tenants": 3, "arms": ["federated"], "timeout_s": 90, **federation}
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in asked.items())
    evaluated = f'ks = [2]\nheadline = "NDCG@2"\nbootstrap = 8\n{evaluation}'
    return f'name = "{name}"\n[evaluation]\n{evaluated}\n[federation]\n{keys}{rest}'


def write_catalogue(folder: Path, items: str = "".join(ITEMS)) -> Path:
    """The public catalogue as the platform's operator has it."""
    lines = [f"{item},item {item},{category}" for item, category in zip(items, "xxyyzzxyz", strict=False)]
    path = folder / "items.csv"
    path.write_text("\n".join(["item_id,text,categories", *lines]) + "\n")
    return path


def write_events(folder: Path, histories: Mapping[str, str], name: str) -> Path:
    """A tenant's rows as the tenant has them."""
    events = rows_of(histories).interactions
    lines = [
        f"{events.user_ids[user]},{events.item_ids[item]},{time}"
        for user, item, time in zip(events.users, events.items, events.times, strict=True)
    ]
    path = folder / f"{name}.csv"
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    return path


def histories_of(number: int) -> Mapping[str, str]:
    """The users of tenant `number`: those above, then others with their histories and names of their own."""
    known = HISTORIES[number % len(HISTORIES)]
    return known if number < len(HISTORIES) else {f"{number}-{user}": items for user, items in known.items()}


def new_tenant(folder: Path, number: int, *options: str) -> Path:
    """The folder of tenant `number`, made by the documented command."""
    name = f"tenant-{number}"
    events = write_events(folder, histories_of(number), name)
    fedrec("tenant", "init", folder / name, "--data", events, *(options or ("--no-noise",)))
    return folder / name
