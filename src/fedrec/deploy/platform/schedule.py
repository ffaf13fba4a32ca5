"""Again and again at equal intervals: when the next time is, and what a failure means for those after it."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fedrec.errors import ConfigError, FedrecError

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
NAP_S = 60.0
"""The clock is looked at so often: it may be set, and a machine may sleep."""


class Clock(Protocol):
    """The time of day."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def wait_until(self, moment: float) -> None:
        """Return when that moment has come; at once if it is past."""
        ...


class SystemClock:
    """This machine's clock."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.time()

    def wait_until(self, moment: float) -> None:
        """See `Clock.wait_until`."""
        while (left := moment - time.time()) > 0:
            time.sleep(min(left, NAP_S))


@dataclass(frozen=True)
class Schedule:
    """every_s: from one beginning to the next. times: how often; None without end."""

    every_s: float
    times: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.every_s < math.inf:
            raise ConfigError(f"Expected an interval > 0 seconds, got {self.every_s}.")
        if self.times is not None and self.times < 1:
            raise ConfigError(f"Expected times={self.times} >= 1.")

    def first(self, last: float | None, now: float) -> float:
        """When to begin, if the last time was at `last`. Of times that were missed meanwhile one is made up, now."""
        return now if last is None else max(now, last + self.every_s)

    def following(self, due: float, now: float) -> float:
        """The next time after `due` that is not past: of times that passed during a long one, none is made up."""
        return due + self.every_s * max(1, math.floor((now - due) / self.every_s) + 1)


def repeat(
    schedule: Schedule,
    clock: Clock,
    last: float | None,
    once: Callable[[], None],
    failed: Callable[[Exception], None],
) -> int:
    """Call `once` at each of the times, and `failed` with what it raised; how often it failed.

    last: when it was called before, by whoever went on until now. An interruption by the user ends it.
    """
    failures, due = 0, schedule.first(last, clock.now())
    for count in itertools.count(1):
        clock.wait_until(due)
        try:
            once()
        except (FedrecError, OSError) as error:
            failures += 1
            failed(error)
        if count == schedule.times:
            break
        due = schedule.following(due, clock.now())
    return failures


def seconds_of(text: str) -> float:
    """ "90s", "30m", "24h" or "7d" in seconds. Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None or float(found[1]) <= 0:
        raise ConfigError(f"Expected an interval such as 90s, 30m, 24h or 7d, got {text!r}.")
    return float(found[1]) * UNITS_S[found[2]]
