"""A small run of everything that can be interrupted, and what must not depend on an interruption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedrec.config import parse
from fedrec.server.events import Event, Listener
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report.load import read
from fedrec.simulations.report.schema import Report

CLOSED: dict[str, Any] = {
    "name": "resumed",
    "seed": 3,
    "data": {
        "dataset": "synthetic",
        "synthetic": {"num_tenants": 3, "num_users": 45, "num_items": 30, "mean_events": 10},
    },
    "tenants": {"split": "by_user_attribute", "attribute": "tenant"},
    "evaluation": {"ks": [5], "headline": "NDCG@5", "bootstrap": 8},
    "federation": {"arms": ["floor", "federated"]},
    "models": [{"name": "popularity"}, {"name": "ease", "l2": [5.0, 500.0]}],
}
"""Nothing but sums, and no arm that costs much."""
CONFIG: dict[str, Any] = CLOSED | {
    "federation": {"arms": ["floor", "local", "federated", "tuned", "personal", "pooled"]},
    "training": {"rounds": 2, "alone_epochs": 1, "tuning_epochs": 1, "optimizer": "fedadam"},
    "models": [*CLOSED["models"], {"name": "sasrec", "dim": 8, "max_length": 16, "dropout": [0.0, 0.2]}],
}
LASTING = ("server/models/**/*", "pooled/models/**/*", "*/training/**/*", "server/server.json", "pooled/server.json")
MEASURED = {"data", "arms", "models", "chosen", "results", "tenants", "training"}


class Stopped(Exception):
    """An interruption that a test makes."""


def run(folder: Path, config: dict[str, Any], resume: bool = False, watch: Listener = lambda event: None) -> Report:
    return Experiment(parse(config), folder, watch, page=False, resume=resume).run()


def stopping_at(kind: str, which: Callable[[Event], bool] = lambda event: True) -> Listener:
    """A listener that stops the run at an event of a kind."""

    def watch(event: Event) -> None:
        if event["event"] == kind and which(event):
            raise Stopped

    return watch


def stopping_after_answers(number: int, action: str) -> Listener:
    """A listener that stops the run when so many tenants have answered a question on test."""
    asked = [""]

    def watch(event: Event) -> None:
        if event["event"] == "round-start":
            asked[0] = event["action"] if event["phase"] == "final" else ""
        if (event["event"], asked[0], event.get("done")) == ("reply", action, number):
            raise Stopped

    return watch


def lasting(folder: Path) -> dict[str, bytes]:
    """Every model, checkpoint and result in a run's folder: what must be the same bit for bit."""
    paths = {path for pattern in LASTING for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def measured(folder: Path) -> dict[str, Any]:
    """What a report says of quality and training. What it says of cost tells which rounds were made again."""
    return read(folder / "report.json").model_dump(include=MEASURED)
