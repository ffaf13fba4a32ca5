"""How events fade, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.data.decay import ROOT_STEP, Decay
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, DataError

DECAY = Decay(half_life_s=100.0, as_of=1000)


def weights(*times: int) -> list[float]:
    return (DECAY.roots(np.array(times)) ** 2).tolist()


def test_two_half_lives_leave_a_quarter_and_four_a_sixteenth():
    assert weights(1000, 800, 600, 400) == [1.0, 1 / 4, 1 / 16, 1 / 64]


def test_one_half_life_leaves_a_half_but_for_the_grid():
    assert weights(900) == [(181 / 256) ** 2]
    assert abs((181 / 256) ** 2 - 0.5) < ROOT_STEP


def test_an_event_from_the_future_weighs_one():
    assert weights(1001, 5000, 1 << 40) == [1.0, 1.0, 1.0]


def test_after_eighteen_half_lives_nothing_is_left():
    assert weights(1000 - 1700, 1000 - 1801) == [(1 / 256) ** 2, 0.0]


def test_weights_are_within_a_step_of_the_exact_ones():
    ages = np.arange(0, 3000, 7)
    exact = 2.0 ** (-ages / 100)
    assert np.abs(DECAY.roots(1000 - ages) ** 2 - exact).max() < ROOT_STEP


def test_roots_and_times_stay_with_their_events():
    rows = Histories(np.array([0, 3, 4]), np.array([2, 0, 1, 2]), 3, np.array([400, 600, 800, 1000]))
    faded = DECAY.weighed(rows)
    chosen = faded.select(np.array([1, 0])).keep(np.array([True, False, True, True]))
    assert chosen.items.tolist() == [2, 0, 1]
    assert chosen.times is not None
    assert chosen.times.tolist() == [1000, 600, 800]
    assert chosen.roots is not None
    assert chosen.roots.tolist() == [1.0, 1 / 4, 1 / 2]
    assert rows.roots is None


def test_events_without_times_cannot_fade():
    with pytest.raises(DataError, match="cannot fade"):
        DECAY.weighed(Histories.from_lists([[0]], 1))


@pytest.mark.parametrize("half_life", [0.0, -1.0, float("inf"), float("nan")])
def test_a_half_life_is_a_time(half_life):
    with pytest.raises(ConfigError, match="half_life_s"):
        Decay(half_life, 0)
