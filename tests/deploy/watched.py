"""A platform on disk with a run whose events are written by hand, for those who watch it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.runs import Run, new_run
from fedrec.privacy.mechanisms import Gaussian, as_record
from fedrec.privacy.secagg.keys import Identity
from fedrec.privacy.secagg.roster import Member, Roster
from tests.deploy.market import fedrec, write_catalogue

Written = Mapping[str, object]
NOISE = Gaussian(1.0, 4.0)
SUM: Written = {"event": "secure-sum", "cohort": 3, "degree": 2, "threshold": 2, "alive": 3, "dropped": []}
NODES = {"north": 77, "south": 78, "west": 79}


def asked(number: int) -> Written:
    return {"event": "round-start", "round": number, "phase": "final", "action": "sum item_counts", "nodes": 3}


def answered(number: int, clients: int = 3) -> Written:
    ended = {"event": "round-end", "round": number, "clients": clients, "failed": {}, "bytes_up": 100, "bytes_down": 50}
    return ended | {"seconds": 2.5, "mechanisms": [as_record(NOISE)]}


EVENTS: Sequence[Written] = [
    {"event": "run-start"},
    asked(1),
    SUM,
    answered(1),
    asked(2),
    {"event": "refused", "node": 77, "reason": "budget-spent", "detail": "epsilon=8"},
    {**SUM, "alive": 2, "dropped": [3]},
    answered(2, clients=2),
    asked(3),
    {"event": "no-answer", "node": 78},
]


def new_platform(folder: Path, tenants: Mapping[str, int] = NODES) -> Platform:
    """A platform that is down, with tenants 1, 2, ... in its roster."""
    fedrec("platform", "init", folder / "market", "--catalogue", write_catalogue(folder))
    platform = Platform(folder / "market")
    (platform.folder / "nodes.json").write_text(json.dumps(dict(tenants)))
    keys = [Identity.from_secret(bytes([number]) * 32) for number in range(1, len(tenants) + 1)]
    members = [Member(n, key.public, name) for n, (key, name) in enumerate(zip(keys, tenants, strict=True), 1)]
    if members:
        (platform.folder / "roster.txt").write_text(Roster(tuple(members)).to_text())
    return platform


def run_with(platform: Platform, name: str, events: Sequence[Written]) -> Run:
    """A run with [privacy] that noted these events."""
    source = platform.folder.parent / f"{name}.toml"
    source.write_text(
        f'name = "{name}"\n[federation]\nmin_tenants = 3\n[privacy]\nepsilon = 8.0\ndelta = 1e-5\n[[models]]\nname = "popularity"\n'
    )
    run = new_run(platform, source)
    (run.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return run
