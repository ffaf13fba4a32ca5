"""How a federation is doing, as its platform can see it: nodes, rounds, sums, refusals, bytes, budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from fedrec.config import load
from fedrec.deploy.certificates import valid_until
from fedrec.deploy.explained import why_of
from fedrec.deploy.platform.folder import CERTIFICATE, RUNS, Platform
from fedrec.deploy.platform.rounds import Round, rounds, spent
from fedrec.deploy.platform.runs import CONFIG, Run, existing_run
from fedrec.deploy.supervisor import is_up
from fedrec.errors import ConfigError, ProtocolError
from fedrec.server.events import EVENTS, Event, read_events

UNKNOWN, ONLINE = "unknown", "online"
NO_RUN, WAITING, FINISHED, INTERRUPTED = "no run yet", "waiting", "finished", "interrupted"
ENDED = "finished:"
"""What Flower's word for a run that is over begins with; without results of fedrec's it is one that failed."""


@dataclass(frozen=True)
class TenantRow:
    """One tenant. number: in the roster; None if it is not in it. epsilon, ever: the most that the run, and all runs of
    this platform together, can have cost one of its users; None without [privacy]."""

    name: str
    node: int
    number: int | None
    status: str
    epsilon: float | None
    ever: float | None


@dataclass(frozen=True)
class Status:
    """What an operator looks at. at, certificate_until: moments in ISO 8601. epsilon: what the run may cost a user.
    alarms: what the run found to have drifted, in words. why: the run's last attempt failed, if it could say so."""

    at: str
    name: str
    address: str
    up: bool
    certificate_until: str
    tenants: tuple[TenantRow, ...]
    run: str | None
    run_status: str
    rounds: tuple[Round, ...]
    epsilon: float | None
    delta: float | None
    alarms: tuple[str, ...] = ()
    why: str | None = None

    def name_of(self, node: int | None) -> str:
        """Who has this number of Flower's."""
        found = [one.name for one in self.tenants if one.node == node]
        return found[0] if found else "unknown sender" if node is None else f"node {node}"

    def member(self, number: int) -> str:
        """Who has this number in the roster."""
        found = [one.name for one in self.tenants if one.number == number]
        return found[0] if found else f"member {number}"

    def as_json(self) -> str:
        """The same for machines."""
        return json.dumps(asdict(self), ensure_ascii=False)


def status_of(platform: Platform, name: str | None = None) -> Status:
    """The present state of a platform and one of its runs, the newest by default."""
    settings, up = platform.settings, is_up(platform.folder.resolve())
    run = _run(platform, name)
    run_status = _run_status(run, up)
    privacy = load(run.folder / CONFIG).privacy if run else None
    events = run.events() if run else []
    return Status(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        name=settings.name,
        address=settings.address,
        up=up,
        certificate_until=valid_until((platform.folder / CERTIFICATE).read_bytes()).isoformat(),
        tenants=_tenants(platform, up, events, privacy.delta if privacy else None),
        run=run.folder.name if run else None,
        run_status=run_status,
        rounds=rounds(events, goes_on=not is_over(run_status)),
        epsilon=privacy.epsilon if privacy else None,
        delta=privacy.delta if privacy else None,
        why=why_of(run.folder) if run else None,
        alarms=tuple(str(alarm) for event in events if event["event"] == "drift" for alarm in event["alarms"]),
    )


def is_over(run_status: str) -> bool:
    """Whether no further round comes by itself."""
    return run_status in (NO_RUN, FINISHED, INTERRUPTED) or run_status.startswith(ENDED)


def history(platform: Platform) -> dict[str, list[Event]]:
    """Run -> what its server did, of all runs that are still in the platform's folder."""
    paths = sorted((platform.folder / RUNS).glob(f"*/{EVENTS}"))
    runs = [Run(platform, path.parent) for path in paths]
    return {run.folder.name: _finished(run.folder, _changed(run)) if run.is_finished else run.events() for run in runs}


def _tenants(platform: Platform, up: bool, events: Sequence[Event], delta: float | None) -> tuple[TenantRow, ...]:
    online = _online(platform) if up else {}
    numbers = {member.name: member.node for member in roster.members} if (roster := platform.roster()) else {}
    ever = [event for of_run in history(platform).values() for event in of_run] if delta is not None else []
    return tuple(
        TenantRow(
            name=tenant,
            node=node,
            number=(number := numbers.get(tenant)),
            status=online.get(node, UNKNOWN),
            epsilon=spent(events, number, delta),
            ever=spent(ever, number, delta),
        )
        for tenant, node in platform.nodes().items()
    )


@lru_cache(maxsize=64)
def _finished(folder: Path, changed_ns: int) -> list[Event]:
    """The events of a finished run, which are remembered: there may be many such runs, and they change no more."""
    return read_events(folder / EVENTS)


def _changed(run: Run) -> int:
    return (run.folder / EVENTS).stat().st_mtime_ns


def _online(platform: Platform) -> dict[int, str]:
    try:
        return platform.flower.nodes()
    except ProtocolError:
        return {}


def _run(platform: Platform, name: str | None) -> Run | None:
    try:
        return existing_run(platform, name)
    except ConfigError:
        if name is not None:
            raise
        return None


def _run_status(run: Run | None, up: bool) -> str:
    if run is None:
        return NO_RUN
    if run.is_finished:
        return FINISHED
    if not up:
        return INTERRUPTED
    if run.number is None:
        return WAITING
    try:
        return run.platform.flower.status(run.number)
    except ProtocolError:
        return UNKNOWN
