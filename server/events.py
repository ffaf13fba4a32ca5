"""What the server did, one JSON object a line, and a way to watch it while it happens.

An event names rounds, counts, bytes and typed reasons. Never an id, a rating, an update or a key. A run that is resumed
goes on in the same file: each attempt begins with `run-start`, and `t` counts its seconds.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Listener = Callable[[Event], None]
Notes = Callable[[Event], Mapping[str, Any]]
"""What to add to an event."""
EVENTS = "events.jsonl"
ENDINGS = ("interrupted", "failed")
"""Events that say how an attempt ended; their `t` counts from the beginning of a stage."""

log = logging.getLogger("fedrec.server")
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_notes: ContextVar[Notes | None] = ContextVar("notes", default=None)


@contextmanager
def listening(listener: Listener, notes: Notes | None = None) -> Iterator[None]:
    """Call `listener` with every event that a server in this context emits.

    notes: what only the surroundings know of an event, and a server could not: a simulation adds the clients' seconds.
    """
    listens, noted = _listener.set(listener), _notes.set(notes)
    try:
        yield
    finally:
        _listener.reset(listens)
        _notes.reset(noted)


def all_of(*listeners: Listener) -> Listener:
    """One listener for several, told in their order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


class EventLog:
    """Appends to `events.jsonl`; each line is written whole."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_end(path)
        self._path, self._start = path, time.monotonic()

    def emit(self, kind: str, **fields: Any) -> None:
        """Record one event and tell the listener."""
        event: Event = {"event": kind, "t": round(time.monotonic() - self._start, 3), **fields}
        notes = _notes.get()
        if notes is not None:
            event.update(notes(event))
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event, default=str) + "\n")
        log.info(" ".join(f"{key}=%s" for key in event), *event.values())
        listener = _listener.get()
        if listener is not None:
            listener(event)


def read_events(path: Path) -> list[Event]:
    """All events in a file, none if it is not there. A last line that was cut short is passed over."""
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def attempts(events: Sequence[Event]) -> list[list[Event]]:
    """The events of each attempt at the run, in their order."""
    starts = [at for at, event in enumerate(events) if event["event"] == "run-start"]
    return [list(events[start:stop]) for start, stop in itertools.pairwise([*starts, len(events)])]


def seconds_spent(path: Path) -> float:
    """How long the attempts took that are in a file, as far as it knows: up to the last event of each."""
    ends = ([e["t"] for e in attempt if e["event"] not in ENDINGS] for attempt in attempts(read_events(path)))
    return round(sum(float(times[-1]) for times in ends), 3)


def _cut_torn_end(path: Path) -> None:
    """A process that was killed while it wrote may have left a part of a line."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
