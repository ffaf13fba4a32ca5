"""What a tenant has answered, from its own log: each message has a process of its own, so nobody else counts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fedrec.deploy.reasons import known

FAILURES = {"failed": None, "failed unexpectedly": "internal-error", "storage failed": "storage-failed"}
"""Events of answers that failed, and the reason that the server was given; None: the type of the error."""


@dataclass
class Heard:
    """What the tenant's log says, read on from where it was left. A log that was cut begins anew; counts stay."""

    path: Path
    refusals: Counter[tuple[str, ...]] = field(default_factory=Counter)
    answers: int = 0
    last_round: int | None = None
    last_answer: float | None = None
    _read: int = 0

    def listen(self) -> None:
        """Take in the lines that are whole."""
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(self._read if self._read <= size else 0)
            start, content = stream.tell(), stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read = start + len(whole)
        for line in whole.splitlines():
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            found = json.loads(line)
            event, at = found["event"], datetime.fromisoformat(found["time"]).timestamp()
        except (ValueError, KeyError, TypeError):
            return
        if event == "refused":
            self.refusals[(known(found.get("reason")),)] += 1
        elif event in FAILURES:
            self.refusals[(FAILURES[event] or known(str(found.get("error")).partition(" ")[0]),)] += 1
        elif event == "answered":
            self.answers, self.last_answer = self.answers + 1, at
            self.last_round = found.get("round", self.last_round)
