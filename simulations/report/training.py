"""Rounds and trainings as the server's events tell of them: what was asked, what it cost, how the loss went.

A run that was resumed may have made some rounds again. They cost what they cost, so each of them is there; a curve has
each of its rounds once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedrec.server.events import ENDINGS, Event, attempts
from fedrec.server.run import training_name
from fedrec.simulations.report.schema import Curve, Round

_AFTER = ("round-start", "run-end")
"""What ends the server's work for a round."""


def rounds_of(events: Sequence[Event]) -> list[Round]:
    """All rounds that came to an end, in the order in which they were made."""
    return [one for attempt in attempts(events) for one in _attempt(attempt)]


def curves_of(events: Sequence[Event], arm: str) -> list[Curve]:
    """Each training, in the order in which they began. arm: whose events these are."""
    kept: dict[str, dict[int, Event]] = {}
    for event in events:
        if event["event"] == "round-end" and "loss" in event:
            kept.setdefault(event["training"], {})[event["step"]] = event
    reached = _validation(events)
    return [_curve(name, steps, arm, reached.get(name)) for name, steps in kept.items()]


def _attempt(events: Sequence[Event]) -> list[Round]:
    """The rounds of one attempt, each with what secure aggregation told of its refusals and drops."""
    rounds: list[Round] = []
    failed: dict[str, str] = {}
    told = [event for event in events if event["event"] not in ENDINGS]
    for place, event in enumerate(told):
        if event["event"] == "round-start":
            failed = {}
        elif event["event"] == "refused":
            failed[str(event.get("node", "?"))] = str(event["reason"])
        elif event["event"] == "secure-sum":
            failed |= {f"member {member}": "dropped out" for member in event["dropped"]}
        elif event["event"] == "round-end":
            rounds.append(_round(event, failed, _own_seconds(event, told[place:])))
    return rounds


def _round(event: Event, failed: Mapping[str, str], server_seconds: float | None) -> Round:
    fields: dict[str, Any] = {key: event[key] for key in Round.model_fields if key in event}
    found = {"number": event["round"], "failed": {**failed, **event["failed"]}, "server_seconds": server_seconds}
    return Round(**fields | found)


def _own_seconds(end: Event, rest: Sequence[Event]) -> float | None:
    """What the clients left of a round, and all until the next one: solving, keeping a checkpoint. None where nobody
    knows the clients' share. rest: the events from the round's end on."""
    if "client_seconds" not in end:
        return None
    after = next((event for event in rest if event["event"] in _AFTER), rest[-1])
    own = max(0.0, float(end["seconds"]) - float(end["client_seconds"]))
    return round(own + float(after["t"]) - float(end["t"]), 3)


def _validation(events: Sequence[Event]) -> dict[str, float]:
    """Training -> what it reached when candidates were compared."""
    scores = [event["scores"] for event in events if event["event"] == "validation"]
    return {training_name("choose", label): score for found in scores for label, score in found.items()}


def _curve(name: str, steps: Mapping[int, Event], arm: str, validation: float | None) -> Curve:
    rounds = sorted(steps)
    first = steps[rounds[0]]
    losses = [float(steps[step]["loss"]) for step in rounds]
    model, phase = first["model"], first["phase"]
    return Curve(arm=arm, training=name, model=model, phase=phase, rounds=rounds, losses=losses, validation=validation)
