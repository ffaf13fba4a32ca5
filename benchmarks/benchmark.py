"""What a benchmark is: a named function that yields rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.figures import Row


@dataclass(frozen=True)
class Settings:
    """How to measure. `quick`: on little data, to see that it works; such figures mean nothing."""

    quick: bool = False
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Benchmark:
    """A function that yields one row after the other, and what to expect of it.

    minutes: on two otherwise idle cores, with the datasets in the cache.
    """

    name: str
    summary: str
    minutes: float
    rows: Callable[[Settings], Iterator[Row]]
