"""Kills tenants at random and starts them again, and measures what all processes of a federation take meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.deployment import megabytes
from fedrec.deploy.supervisor import LOCK, RUN, is_up

DOWN_S = (1.0, 5.0)
SAMPLED_S = 5.0


def kill(folder: Path) -> None:
    """As if the machine of a platform or a tenant had lost its power: everything at once, nothing cleaned up."""
    programs = {path: int(path.read_text()) for path in (folder / RUN).glob("*.pid")}
    os.kill(int((folder / RUN / LOCK).read_text()), signal.SIGKILL)
    for path, number in programs.items():
        with suppress(ProcessLookupError):  # it had ended just then
            os.killpg(number, signal.SIGKILL)
        path.unlink(missing_ok=True)


@dataclass
class Killer:
    """One tenant after the other is killed, and started again a few seconds later.

    pause_s: between a start and the next kill, least and most. kills: so many so far.
    """

    tenants: Sequence[Path]
    start: Callable[[Path], None]
    generator: np.random.Generator
    pause_s: tuple[float, float]
    kills: int = field(default=0, init=False)
    failure: Exception | None = field(default=None, init=False)
    _over: threading.Event = field(default_factory=threading.Event, init=False)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Kill while the block lasts; all tenants are up again after it. Raises what a tenant's start raised."""
        with _meanwhile(self._work, self._over):
            yield
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        try:
            while not self._over.wait(self.generator.uniform(*self.pause_s)):
                self._one()
        except Exception as error:  # told to the thread that waits for this one
            self.failure = error

    def _one(self) -> None:
        tenant = self.tenants[int(self.generator.integers(len(self.tenants)))]
        kill(tenant)
        self.kills += 1
        self._over.wait(self.generator.uniform(*DOWN_S))
        self.start(tenant)


@dataclass
class Memory:
    """The most that all processes of a federation took at once, in MB; shared pages are counted once."""

    folders: Sequence[Path]
    peak_mb: float = field(default=0.0, init=False)
    _over: threading.Event = field(default_factory=threading.Event, init=False)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look every few seconds while the block lasts."""
        with _meanwhile(self._watch, self._over):
            yield

    def _watch(self) -> None:
        while not self._over.wait(SAMPLED_S):
            self.peak_mb = max(self.peak_mb, sum(map(_megabytes, processes_of(self.folders))))


def processes_of(folders: Iterable[Path]) -> list[int]:
    """The supervisors at work in `folders`, and every process of the groups that they started."""
    supervisors, groups = set(), set()
    for folder in folders:
        if is_up(folder):
            supervisors.add(_number(folder / RUN / LOCK))
            groups |= {_number(path) for path in (folder / RUN).glob("*.pid")}
    own = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [number for number in own if number in supervisors or _group(number) in groups]


@contextmanager
def _meanwhile(work: Callable[[], None], over: threading.Event) -> Iterator[None]:
    """Work on a thread until the block ends, and it is told that it is over."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):  # just killed, or just started
        return -1


def _group(process: int) -> int:
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return -2


def _megabytes(process: int) -> float:
    try:
        return megabytes(process)[0]
    except (FileNotFoundError, ProcessLookupError, IndexError):  # it ended meanwhile
        return 0.0
