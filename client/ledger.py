"""What a tenant's users have paid: every release, in a file that only grows and that nothing shortens unnoticed.

    <store>/privacy/ledger.jsonl   one JSON object a line: a release, and the digest of the line before
    <store>/privacy/ledger.head    how many lines there are and the digest of the last; replaced in one step

A release is on the disk, and the head after it, before a word of it leaves. So whatever a crash interrupts was either
not released, or is counted: a line without its end is what a crash cut off, one line more than the head says is a
release that may not have left, and counts. Everything else that does not fit is refused: a missing head, a missing or
shorter ledger, a changed line. No clock and no word of the server decides anything; a restored backup of the whole
folder would, so leave it out of backups.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrec.errors import ConfigError, ProtocolError, Refusal
from fedrec.files import write_bytes
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.mechanisms import Mechanism, as_record, from_record

LEDGER, HEAD = "ledger.jsonl", "ledger.head"
SCHEMA = 1
TOLERANCE = 1 + 1e-9


@dataclass(frozen=True)
class Entry:
    """One release. what: in words. at: when, by the tenant's clock; nothing is decided by it."""

    what: str
    mechanisms: tuple[Mechanism, ...]
    at: str = ""


@dataclass(frozen=True)
class Ledger:
    """The ledger in a folder."""

    folder: Path

    def entries(self) -> list[Entry]:
        """All releases. Raises Refusal if the ledger is missing, damaged or shorter than it was."""
        with self._locked():
            return self._read()[0]

    def would_exceed(self, mechanisms: Sequence[Mechanism], epsilon: float, delta: float) -> bool:
        """Whether these, after all that was released, would cost more than `epsilon` at `delta`. Raises Refusal."""
        return _exceeds(self.entries(), mechanisms, epsilon, delta)

    def record(self, entry: Entry, epsilon: float, delta: float) -> None:
        """Put a release on the disk, unless it would exceed the budget: then Refusal, and nothing is written.

        One process at a time; a release may leave once this has returned.
        """
        self.add(lambda entries: entry, epsilon, delta)

    def add(self, made: Callable[[Sequence[Entry]], Entry], epsilon: float, delta: float) -> None:
        """As `record`, of an entry that is made after a look at all before it, while nobody else can write."""
        with self._locked():
            entries, lines = self._read()
            entry = made(entries)
            if _exceeds(entries, entry.mechanisms, epsilon, delta):
                raise budget_spent(epsilon, delta)
            line = _line(len(lines), _digest(lines[-1]), entry)
            self._append(line)
            self._write_head(len(lines) + 1, _digest(line))

    def _append(self, line: bytes) -> None:
        handle = os.open(self.folder / LEDGER, os.O_WRONLY | os.O_APPEND)
        try:
            if os.write(handle, line + b"\n") != len(line) + 1:
                raise Refusal("storage-failed", "the ledger could not be written; is the disk full?")
            os.fsync(handle)
        finally:
            os.close(handle)

    def _write_head(self, lines: int, digest: str) -> None:
        content = json.dumps({"lines": lines, "digest": digest}).encode()
        write_bytes(self.folder / HEAD, content + b"\n", mode=0o600)
        _sync_folder(self.folder)

    def _read(self) -> tuple[list[Entry], list[bytes]]:
        """Releases and lines, checked; mends what a crash can leave."""
        known, digest = self._head()
        content = self._content()
        *lines, torn = content.split(b"\n")
        entries = _checked(lines)
        if len(lines) not in (known, known + 1) or _digest(lines[known - 1]) != digest:
            raise _damaged(f"it has {len(lines)} lines, its head knows {known}")
        if torn and len(lines) > known:
            raise _damaged("it goes on after a line that its head does not know")
        if torn:
            os.truncate(self.folder / LEDGER, len(content) - len(torn))
        if len(lines) > known:
            self._write_head(len(lines), _digest(lines[-1]))
        return entries, lines

    def _head(self) -> tuple[int, str]:
        try:
            head = json.loads((self.folder / HEAD).read_bytes())
            lines, digest = int(head["lines"]), str(head["digest"])
        except FileNotFoundError:
            raise Refusal("ledger-missing", "the head of the privacy ledger is missing; nothing is released") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged("its head cannot be read") from error
        if lines < 1:
            raise _damaged("its head knows no line")
        return lines, digest

    def _content(self) -> bytes:
        try:
            return (self.folder / LEDGER).read_bytes()
        except OSError:
            raise Refusal("ledger-missing", "the privacy ledger is missing; nothing is released") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Only one process reads or writes the ledger at a time; a process that dies lets go."""
        try:
            handle = os.open(self.folder / LEDGER, os.O_RDONLY)
        except OSError:
            raise Refusal("ledger-missing", "the privacy ledger is missing; nothing is released") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def create_ledger(folder: Path) -> Ledger:
    """An empty ledger. Raises ConfigError if there is one, or a part of one: a spent budget is not to be had again."""
    if (folder / LEDGER).exists() or (folder / HEAD).exists():
        raise ConfigError(f"{folder} holds a privacy ledger; a new one would forget what was spent.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    first = json.dumps({"fedrec_privacy_ledger": SCHEMA}).encode()
    write_bytes(folder / LEDGER, first + b"\n", mode=0o600)
    ledger = Ledger(folder)
    ledger._write_head(1, _digest(first))
    return ledger


def budget_spent(epsilon: float, delta: float) -> Refusal:
    """What a tenant answers when a release would cost too much. Says nothing that is not public."""
    return Refusal("budget-spent", f"this release would exceed the tenant's budget of epsilon={epsilon:g}, {delta=:g}")


def _exceeds(entries: Sequence[Entry], mechanisms: Sequence[Mechanism], epsilon: float, delta: float) -> bool:
    spent = [one for entry in entries for one in entry.mechanisms]
    return not epsilon_of([*spent, *mechanisms], delta) <= epsilon * TOLERANCE


def _line(number: int, previous: str, entry: Entry) -> bytes:
    content = {
        "number": number,
        "at": entry.at,
        "what": entry.what,
        "mechanisms": [as_record(one) for one in entry.mechanisms],
        "previous": previous,
    }
    return json.dumps(content, ensure_ascii=True).encode()


def _checked(lines: Sequence[bytes]) -> list[Entry]:
    """The releases of all lines, the first of which is the header, if each follows from the one before."""
    if not lines or lines[0] != json.dumps({"fedrec_privacy_ledger": SCHEMA}).encode():
        raise _damaged("it does not begin as a ledger of this version")
    entries = []
    for number in range(1, len(lines)):
        fields = _fields(lines[number])
        if fields.get("number") != number or fields.get("previous") != _digest(lines[number - 1]):
            raise _damaged(f"line {number + 1} does not follow from the line before")
        entries.append(_entry(fields, number))
    return entries


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise _damaged("a line is not a release")
    return fields


def _entry(fields: dict[str, Any], number: int) -> Entry:
    try:
        mechanisms = tuple(from_record(record) for record in fields["mechanisms"])
        return Entry(str(fields["what"]), mechanisms, str(fields["at"]))
    except (KeyError, TypeError, AttributeError, ValueError, ProtocolError) as error:
        raise _damaged(f"line {number + 1} names no mechanism that is known here") from error


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _damaged(why: str) -> Refusal:
    return Refusal("ledger-damaged", f"the privacy ledger is damaged ({why}); nothing is released")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
