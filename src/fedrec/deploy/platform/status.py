"""How a federation is doing, as its platform can see it: nodes, rounds, sums, refusals, bytes, budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedrec.config import load
from fedrec.deploy.certificates import valid_until
from fedrec.deploy.platform.folder import CERTIFICATE, Platform
from fedrec.deploy.platform.runs import CONFIG, Run, existing_run
from fedrec.deploy.supervisor import is_up
from fedrec.errors import ConfigError, ProtocolError
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.mechanisms import Mechanism, from_record
from fedrec.server.events import Event

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Round:
    """One question to all tenants. cohort, alive: of its secure sum; 0 without one. clients: 0 for a round that failed
    or is under way. dropped: numbers in the roster."""

    number: int
    action: str
    nodes: int
    cohort: int = 0
    clients: int = 0
    dropped: tuple[int, ...] = ()
    refusals: tuple[str, ...] = ()
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class TenantRow:
    """One tenant. epsilon: the most that the run can have cost one of its users; None without [privacy]."""

    name: str
    node: int
    status: str
    epsilon: float | None


@dataclass(frozen=True)
class Status:
    """What an operator looks at."""

    name: str
    address: str
    up: bool
    certificate_until: str
    tenants: tuple[TenantRow, ...]
    run: str | None
    run_status: str
    rounds: tuple[Round, ...]
    delta: float | None

    def as_json(self) -> str:
        """The same for machines."""
        return json.dumps(asdict(self), ensure_ascii=False)


def status_of(platform: Platform, name: str | None = None) -> Status:
    """The present state of a platform and one of its runs, the newest by default."""
    settings, up = platform.settings, is_up(platform.folder.resolve())
    online = _online(platform) if up else {}
    run = _run(platform, name)
    events = run.events() if run else []
    config = load(run.folder / CONFIG) if run else None
    delta = config.privacy.delta if config and config.privacy else None
    numbers = {member.name: member.node for member in roster.members} if (roster := platform.roster()) else {}
    rows = tuple(
        TenantRow(tenant, node, online.get(node, UNKNOWN), spent(events, numbers.get(tenant), delta))
        for tenant, node in platform.nodes().items()
    )
    until = str(valid_until((platform.folder / CERTIFICATE).read_bytes()).date())
    return Status(
        name=settings.name,
        address=settings.address,
        up=up,
        certificate_until=until,
        tenants=rows,
        run=run.folder.name if run else None,
        run_status=_run_status(run, up),
        rounds=rounds(events),
        delta=delta,
    )


def rounds(events: Sequence[Event]) -> tuple[Round, ...]:
    """The rounds of a run, from what the server noted; one under way comes last."""
    found: list[Round] = []
    started: Event | None = None
    between: list[Event] = []
    for event in events:
        if event["event"] == "round-start":
            found += [_round(started, between, {})] if started else []
            started, between = event, []
        elif event["event"] == "round-end" and started is not None:
            found.append(_round(started, between, event))
            started, between = None, []
        else:
            between.append(event)
    return (*found, _round(started, between, {})) if started else tuple(found)


def spent(events: Sequence[Event], number: int | None, delta: float | None) -> float | None:
    """The most that the releases in `events` can have cost a user of the tenant with this number in the roster.

    A tenant that dropped out of a sum may have counted it in its own ledger all the same.
    """
    if delta is None:
        return None
    mechanisms: list[Mechanism] = []
    dropped: set[int] = set()
    for event in events:
        if event["event"] == "secure-sum":
            dropped = set(event["dropped"])
        elif event["event"] == "round-end":
            mechanisms += [] if number in dropped else [from_record(one) for one in event["mechanisms"]]
            dropped = set()
    return epsilon_of(mechanisms, delta) if mechanisms else 0.0


def _round(started: Event, between: Sequence[Event], ended: dict[str, Any]) -> Round:
    sums = [event for event in between if event["event"] == "secure-sum"]
    told = [event for event in between if event["event"] in ("refused", "no-answer")]
    failed = [f"node {node}: {reason}" for node, reason in ended.get("failed", {}).items()]
    return Round(
        number=int(started["round"]),
        action=str(started["action"]),
        nodes=int(started["nodes"]),
        cohort=sum(int(event["cohort"]) for event in sums),
        clients=int(ended.get("clients", 0)),
        dropped=tuple(int(node) for event in sums for node in event["dropped"]),
        refusals=tuple(_refusal(event) for event in told) + tuple(failed),
        bytes_up=int(ended.get("bytes_up", 0)),
        bytes_down=int(ended.get("bytes_down", 0)),
        seconds=float(ended.get("seconds", 0.0)),
    )


def _refusal(event: Event) -> str:
    who = f"node {event['node']}: " if "node" in event else ""
    why = event.get("reason", event["event"])
    return f"{who}{why}" + (f" ({event['detail']})" if event.get("detail") else "")


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
        return "no run yet"
    if run.is_finished:
        return "finished"
    if not up or run.number is None:
        return "interrupted"
    try:
        return run.platform.flower.status(run.number)
    except ProtocolError:
        return UNKNOWN
