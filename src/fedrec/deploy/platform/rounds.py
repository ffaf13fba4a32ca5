"""The rounds of a run as its server noted them: who was in the sum, who declined and why, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.mechanisms import Mechanism, from_record
from fedrec.server.events import Event

Outcome = Literal["done", "discarded", "under way"]
NO_ANSWER = "no-answer"
_ATTEMPT_BEGINS, _DECLINED = "run-start", ("refused", NO_ANSWER)


@dataclass(frozen=True)
class Declined:
    """One answer that was none. node: Flower's number; None if the server does not know who sent it. reason: a typed
    word, as the other side gave it. detail: in words, from the other side, too."""

    node: int | None
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Round:
    """One question to all tenants. cohort: of its secure sums; 0 without one. clients: in the sum; 0 unless it is done.
    dropped: numbers in the roster."""

    number: int
    action: str
    nodes: int
    outcome: Outcome = "done"
    cohort: int = 0
    clients: int = 0
    dropped: tuple[int, ...] = ()
    declined: tuple[Declined, ...] = ()
    bytes_up: int = 0
    bytes_down: int = 0
    seconds: float = 0.0


def rounds(events: Sequence[Event], goes_on: bool = True) -> tuple[Round, ...]:
    """The rounds of a run in their order. goes_on: whether the last one, if it has no end, may still come to one."""
    found: list[Round] = []
    started: Event | None = None
    between: list[Event] = []
    for event in events:
        kind = event["event"]
        if started is not None and kind in ("round-start", "round-discarded", "round-end", _ATTEMPT_BEGINS):
            found.append(_round(started, between, event))
            started, between = None, []
        if kind == "round-start":
            started, between = event, []
        else:
            between.append(event)
    if started is not None:
        found.append(_round(started, between, None if goes_on else {"event": "interrupted"}))
    return tuple(found)


def spent(events: Sequence[Event], number: int | None, delta: float | None) -> float | None:
    """The most that the releases in `events` can have cost a user of the tenant with this number in the roster.

    A tenant that dropped out of a sum may have counted it in its own ledger all the same.
    """
    if delta is None:
        return None
    mechanisms: list[Mechanism] = []
    dropped: set[int] = set()
    for event in events:
        if event["event"] == "round-start":
            dropped = set()
        elif event["event"] == "secure-sum":
            dropped |= set(event["dropped"])
        elif event["event"] == "round-end":
            mechanisms += [] if number in dropped else [from_record(one) for one in event["mechanisms"]]
    return epsilon_of(mechanisms, delta) if mechanisms else 0.0


def _round(started: Event, between: Sequence[Event], ended: Event | None) -> Round:
    """ended: what came after it; None if nothing has yet."""
    done: dict[str, Any] = ended if ended is not None and ended["event"] == "round-end" else {}
    sums = [event for event in between if event["event"] == "secure-sum"]
    told = [_declined(event) for event in between if event["event"] in _DECLINED]
    failed = [Declined(int(node), str(reason)) for node, reason in done.get("failed", {}).items()]
    return Round(
        number=int(started["round"]),
        action=str(started["action"]),
        nodes=int(started["nodes"]),
        outcome="under way" if ended is None else "done" if done else "discarded",
        cohort=sum(int(event["cohort"]) for event in sums),
        clients=int(done.get("clients", 0)),
        dropped=tuple(int(node) for event in sums for node in event["dropped"]),
        declined=(*told, *failed),
        bytes_up=int(done.get("bytes_up", 0)),
        bytes_down=int(done.get("bytes_down", 0)),
        seconds=float(done.get("seconds", 0.0)),
    )


def _declined(event: Event) -> Declined:
    node = int(event["node"]) if "node" in event else None
    return Declined(node, str(event.get("reason", event["event"])), str(event.get("detail", "")))
