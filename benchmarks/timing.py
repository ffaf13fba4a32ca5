"""Repeated timings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def seconds_of(action: Callable[[], object], repeats: int) -> list[float]:
    """Wall time of each of `repeats` runs of `action`."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return taken


def median(values: Sequence[float]) -> float:
    """The middle one: a single disturbance does not move it."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str | None:
    """How far the runs lay apart, for a row's note; nothing to say of one run."""
    return None if len(values) == 1 else f"median of {len(values)}, {min(values):.3g} to {max(values):.3g}"
