"""A schedule, by a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fedrec.deploy.platform.schedule import Schedule, repeat, seconds_of
from fedrec.errors import ConfigError, RoundFailed


class Hands:
    """A clock that stands still but where it is waited for, or set."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def wait_until(self, moment: float) -> None:
        self.at = max(self.at, moment)


def calls(every_s: float, times: int, clock: Hands, last: float | None = None, *lasting: float) -> list[float]:
    """When each time began. lasting: seconds that each takes, 0 for those that are not given."""
    begun: list[float] = []

    def once() -> None:
        begun.append(clock.now())
        clock.at += lasting[len(begun) - 1] if len(begun) <= len(lasting) else 0

    repeat(Schedule(every_s, times), clock, last, once, lambda error: None)
    return begun


def test_the_first_is_at_once_and_each_other_one_an_interval_later():
    assert calls(100, 3, Hands(5)) == [5, 105, 205]


def test_times_that_pass_during_a_long_one_are_left_out():
    assert calls(100, 3, Hands(0), None, 250) == [0, 300, 400]


def test_one_that_ends_when_the_next_is_due_is_not_followed_by_two():
    assert calls(100, 3, Hands(0), None, 100) == [0, 200, 300]


def test_whoever_goes_on_waits_for_the_rest_of_the_interval():
    assert calls(100, 2, Hands(1030), 1000) == [1100, 1200]


def test_of_the_times_that_were_missed_one_is_made_up():
    assert calls(100, 2, Hands(5000), 1000) == [5000, 5100]


def test_a_failure_is_told_and_the_next_time_comes():
    told: list[Exception] = []
    outcomes: list[Callable[[], None]] = [_fails, lambda: None, _fails]
    failures = repeat(Schedule(10, 3), Hands(0), None, lambda: outcomes.pop(0)(), told.append)
    assert failures == 2
    assert [str(error) for error in told] == ["nobody came"] * 2


def _fails() -> None:
    raise RoundFailed("nobody came")


def test_an_interruption_ends_it():
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repeat(Schedule(10), Hands(0), None, interrupted, lambda error: None)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86_400), ("1.5d", 129_600)])
def test_intervals_have_units(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "0h", "1w", "1h30m", "nan"])
def test_what_is_no_interval_is_refused(text):
    with pytest.raises(ConfigError, match="such as 90s"):
        seconds_of(text)


@pytest.mark.parametrize(("every_s", "times"), [(0, None), (float("inf"), None), (1, 0)])
def test_an_impossible_schedule_is_refused(every_s, times):
    with pytest.raises(ConfigError):
        Schedule(every_s, times)
