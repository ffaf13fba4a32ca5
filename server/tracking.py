"""Follow a run in a tracking tool: a small protocol, and a listener that feeds it from the server's events.

What is tracked is what the server knows anyway: losses, counts, bytes, seconds, validation metrics of all tenants
together. docs/tracking.md has the names, and trackers for other tools.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.server.events import Event, Listener

POOLED = "pooled"
COSTS = ("clients", "bytes_up", "bytes_down", "seconds", "client_seconds")


class Tracker(Protocol):
    """A place for the numbers of one run."""

    def configuration(self, values: Mapping[str, str]) -> None:
        """How the run is configured, by dotted key: `training.rounds` is "10". Comes first, and once."""
        ...

    def scalar(self, name: str, value: float, step: int) -> None:
        """One number of a step. A run that is resumed may tell a step again."""
        ...

    def close(self) -> None:
        """Nothing will follow."""
        ...


class TensorBoardTracker:
    """Event files for TensorBoard in `folder`. Raises ConfigError if it is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError("TensorBoard is not installed; install it with: pip install 'fedrec[track]'.") from error
        self._writer: Any = SummaryWriter(str(folder), flush_secs=10)

    def configuration(self, values: Mapping[str, str]) -> None:
        """See `Tracker`."""
        rows = "".join(f"| {key} | {value} |\n" for key, value in values.items())
        self._writer.add_text("configuration", f"| key | value |\n|---|---|\n{rows}")

    def scalar(self, name: str, value: float, step: int) -> None:
        """See `Tracker`."""
        self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


@contextmanager
def tracking(tracker: Tracker, config: Config) -> Iterator[Listener]:
    """A listener for a run of `config` that tells `tracker` while the block lasts."""
    guarded = _Guarded(tracker)
    guarded.call(lambda: tracker.configuration(flat(config)))
    try:
        yield _Numbers(guarded)
    finally:
        guarded.close()


def flat(config: Config) -> dict[str, str]:
    """All of a configuration by dotted key; recommenders by their names."""
    tree = config.model_dump(mode="json", exclude_none=True)
    tree["models"] = {model.pop("name"): model for model in tree["models"]}
    return dict(_leaves(tree, ()))


def _leaves(node: object, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, (*path, str(key)))
    else:
        yield ".".join(path), str(node)


class _Guarded:
    """A tracker that cannot hurt the run: once it raised it is left alone."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker, self._works = tracker, True

    def call(self, told: Callable[[], None]) -> None:
        """Tell it something, if it still listens."""
        if not self._works:
            return
        try:
            told()
        except Exception as error:  # whatever a tool of someone else raises, hours of training matter more
            self._works = False
            name = type(self.tracker).__name__
            warnings.warn(f"{name} failed ({error!r}) and is switched off; the run goes on.", stacklevel=2)

    def close(self) -> None:
        """Close it, also one that was switched off: it may hold what it was told before."""
        if self._works:
            self.call(self.tracker.close)
        else:
            with suppress(Exception):  # its failure was reported
                self.tracker.close()


class _Numbers:
    """The listener: from events to numbers with names."""

    def __init__(self, tracker: _Guarded) -> None:
        self._tracker, self._prefix = tracker, ""

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if event["event"] == "stage-start":
            self._prefix = f"{POOLED}/" if event["stage"] == POOLED else ""
        elif event["event"] == "round-end":
            self._round(event)
        elif event["event"] == "validation":
            for label, value in event["scores"].items():
                self._tell(f"validation/{label}/{event['metric']}", value, event["round"])

    def _round(self, event: Event) -> None:
        costs = {name: event[name] for name in COSTS if name in event} | {"failed": len(event["failed"])}
        for name, value in costs.items():
            self._tell(f"round/{name}", value, event["round"])
        if "loss" in event:
            self._tell(f"{event['training']}/loss", event["loss"], event["step"])

    def _tell(self, name: str, value: float, step: int) -> None:
        """Under a name of letters, digits, `_-./`, which every tool takes."""
        plain = self._prefix + name.replace("@", "_at_").replace(":", "-")
        self._tracker.call(lambda: self._tracker.tracker.scalar(plain, float(value), int(step)))
