"""What `make demo` costs once everything is installed: wall time and memory of the real command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import configured, scratch
from benchmarks.figures import Row, at_most
from fedrec.config import to_toml
from fedrec.data import fetch
from fedrec.errors import FedrecError

KIBIBYTE = 1024
LAST_CHARACTERS = 500


@dataclass(frozen=True)
class Cost:
    """Wall time, processor time of all threads, and the most memory that the process held at once."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def rows(settings: Settings) -> Iterator[Row]:
    """`fedrec simulate demo`, or quick a run of two light recommenders, as a process of its own."""
    fetch("ml-100k")
    with scratch() as folder:
        source = _light(folder / "light.toml") if settings.quick else "demo"
        cost = cost_of([fedrec_command(), "simulate", source, "--out", str(folder / "run")], folder / "output.txt")
    time_bar, memory_bar = (None, None) if settings.quick else (at_most(120), at_most(2))
    yield Row(
        "`make demo` once installed: wall time",
        cost.seconds,
        "s",
        time_bar,
        note=f"{cost.cpu_seconds:.0f} s of processor time",
    )
    yield Row(
        "`make demo` once installed: peak memory",
        cost.peak_bytes / 1e9,
        "GB",
        memory_bar,
        note="server and 21 tenants in one process",
    )


BENCHMARK = Benchmark("demo", "`fedrec simulate demo`: ML-100K, 21 tenants, all arms; wall time and memory", 3, rows)


def cost_of(command: Sequence[str], output: Path) -> Cost:
    """Run `command` to its end. Raises FedrecError with the end of its output if it fails.

    The kernel counts the memory of the process that starts another as its own at first, so a peak below this process's
    is not seen; `run all` starts each benchmark afresh for that reason.
    """
    started = time.perf_counter()
    with output.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, cwd=output.parent)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = output.read_text(encoding="utf-8", errors="replace")[-LAST_CHARACTERS:].strip()
        raise FedrecError(f"'{' '.join(command)}' ended with exit code {process.returncode}: {end}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * KIBIBYTE)


def fedrec_command() -> str:
    """The command that was installed beside this Python."""
    return str(Path(sys.executable).parent / "fedrec")


def _light(path: Path) -> str:
    path.write_text(to_toml(configured("demo", models={"popularity": {}, "markov": {}})), encoding="utf-8")
    return str(path)
