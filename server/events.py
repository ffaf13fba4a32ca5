"""What the server did, one JSON object a line, and a way to watch it while it happens.

An event names rounds, counts, bytes and typed reasons. Never an id, a rating, an update or a key.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Listener = Callable[[Event], None]

log = logging.getLogger("fedrec.server")
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` with every event that a server in this context emits."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class EventLog:
    """Appends to `events.jsonl`; each line is written whole."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._start = path, time.monotonic()

    def emit(self, kind: str, **fields: Any) -> None:
        """Record one event and tell the listener."""
        event: Event = {"event": kind, "t": round(time.monotonic() - self._start, 3), **fields}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event, default=str) + "\n")
        log.info("%s", " ".join(f"{key}={value}" for key, value in event.items()))
        listener = _listener.get()
        if listener is not None:
            listener(event)
