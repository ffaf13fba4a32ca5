"""Starts programs, keeps them running, ends them: its own and no others.

    python -m fedrec.deploy.supervisor PLAN.json

It holds a lock as long as it lives, so a stale pid file deceives nobody. Each program leads a process group of its own,
which is ended with it. One that fails three times, or as often as its program says, each within a minute of its start,
is not started again, and then all end. This process stays small: it imports the standard library, and modules of fedrec
that do the same.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from fedrec.deploy import logs
from fedrec.errors import ConfigError, FedrecError
from fedrec.files import write_bytes, write_text

RUN, LOCK, PLAN = "run", "up.lock", "plan.json"
SHORT_LIFE_S, MOST_FAILURES, PAUSE_S, LONGEST_PAUSE_S = 60.0, 3, 0.5, 5
PATIENCE_S = 20.0
NOT_INHERITED = ("FORWARDED_ALLOW_IPS", "PYTHONPATH", "PYTHONSTARTUP", "FLWR_HOME")
"""Variables that would let a caller pass for another, or change what code runs."""
log = logging.getLogger("fedrec.deploy")


@dataclass(frozen=True)
class Program:
    """A program to keep running. environment: beside what it inherits. log: where its output is appended.
    most_failures: so many in a row, each soon after its start, and it is given up."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: str
    most_failures: int = MOST_FAILURES


@dataclass
class _Running:
    program: Program
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    failures: int = 0
    over: bool = False


def supervise(folder: Path, programs: Sequence[Program]) -> int:
    """Run `programs` until SIGINT or SIGTERM, with pid files in `folder`/run. Returns the exit code: 0, or 1 if a
    program failed for good. Raises ConfigError if another supervisor is at work in the folder."""
    stop = _Stop()
    with _held(folder):
        running: list[_Running] = []
        try:
            for program in programs:
                running.append(_started(program, folder))  # noqa: PERF401  # if one fails, those before it are ended
            while not stop.asked:
                if not all(_kept_up(one, folder) for one in running):
                    return 1
                time.sleep(PAUSE_S)
            return 0
        finally:
            for one in reversed(running):
                _end(one)
                _pid_file(folder, one.program).unlink(missing_ok=True)


def inherited() -> dict[str, str]:
    """What a program has of this process's environment. No code comes from the folder where it is started."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED} | {"PYTHONSAFEPATH": "1"}


def is_up(folder: Path) -> bool:
    """Whether a supervisor is at work in `folder`."""
    try:
        handle = os.open(folder / RUN / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask do not take each other for one
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def stop(folder: Path, patience_s: float = PATIENCE_S + 10) -> None:
    """End the supervisor of `folder` and what it started. Raises ConfigError if there is none, or it does not end."""
    if not is_up(folder):
        raise ConfigError(f"Nothing runs in {folder}; start it with `up`.")
    deadline = time.monotonic() + patience_s
    while not (number := (folder / RUN / LOCK).read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)  # it has only just begun
    os.kill(int(number), signal.SIGTERM)
    while is_up(folder):
        if time.monotonic() > deadline:
            raise ConfigError(f"What runs in {folder} did not end within {patience_s:g} s; see its logs.")
        time.sleep(0.1)


def become(folder: Path, programs: Sequence[Program], log_format: logs.Format | None = None) -> None:
    """Replace this process by a small one that supervises `programs`. Does not return. log_format: see logs.py."""
    os.environ.update(logs.environment(folder, log_format))
    path = folder / RUN / PLAN
    write_bytes(path, json.dumps([asdict(program) for program in programs]).encode(), mode=0o600)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "fedrec.deploy.supervisor", str(path)])


def main(plan: Path) -> int:
    """Supervise what `become` wrote down."""
    logs.configure(aloud=True)
    programs = [Program(**{**one, "arguments": tuple(one["arguments"])}) for one in json.loads(plan.read_text())]
    try:
        return supervise(plan.parent.parent, programs)
    except FedrecError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


class _Stop:
    """Becomes `asked` at SIGINT or SIGTERM."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The lock of a folder, with the number of this process in it."""
    (folder / RUN).mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / RUN / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(handle)
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        try:
            yield
        finally:
            os.ftruncate(handle, 0)  # a number that stays behind may be another process's one day
    except BlockingIOError:
        raise ConfigError(f"Something runs in {folder} already; stop it first with `down`.") from None
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    """Take the lock. Tries for a moment: whoever only asks whether it is free holds it for an instant."""
    for attempt in range(10):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt == 9:
                raise
            time.sleep(0.1)
        else:
            return


def _started(program: Program, folder: Path, failures: int = 0) -> _Running:
    path = Path(program.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        process = subprocess.Popen(
            program.arguments,
            env=inherited() | dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    write_text(_pid_file(folder, program), f"{process.pid}\n")
    log.info("started program=%s pid=%d log=%s", program.name, process.pid, program.log)
    return _Running(program, process, failures=failures)


def _kept_up(one: _Running, folder: Path) -> bool:
    """Start a program again that ended. False if it failed for good."""
    code = one.process.poll()
    if code is None:
        return True
    _end(one)  # what it left of its group
    lived = time.monotonic() - one.started
    failures = one.failures + 1 if lived < SHORT_LIFE_S else 1
    log.warning("ended program=%s code=%d seconds=%.1f failures=%d", one.program.name, code, lived, failures)
    if failures >= one.program.most_failures:
        log.error("given up program=%s log=%s", one.program.name, one.program.log)
        if sys.stderr.isatty():  # for the operator's eyes; what is kept does not repeat another program's words
            sys.stderr.write(tail(Path(one.program.log)) + "\n")
        return False
    time.sleep(min(failures, LONGEST_PAUSE_S))
    again = _started(one.program, folder, failures)
    one.process, one.started, one.failures, one.over = again.process, again.started, failures, False
    return True


def _end(one: _Running) -> None:
    """Ask a program to end, then end its group, once: whatever it started is in there."""
    if one.over:
        return
    one.over, process = True, one.process
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            log.warning("killed pid=%d which did not end in %g s", process.pid, PATIENCE_S)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log; nothing if there is none."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _pid_file(folder: Path, program: Program) -> Path:
    return folder / RUN / f"{program.name}.pid"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
