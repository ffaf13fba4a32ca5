"""Noised validation as a sum: what a user adds, how much noise that takes, and what the sums tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fedrec.contribution import Total, Words, add
from fedrec.privacy.policy import Distributed, Local, Placed
from fedrec.privacy.release import noised_release_of
from fedrec.strategies.validation import contribution_of, layout_of, reached

RARE = 1e-8


@pytest.mark.parametrize("candidates", [1, 2, 5, 100])
def test_the_bound_is_that_of_the_farthest_user(candidates: int) -> None:
    """All metrics 0 or 1: each coordinate is 1/2 from the middle, the count is 1/2, too."""
    (block,) = layout_of(candidates).blocks
    assert block.user_l2 == pytest.approx(math.sqrt(candidates + 1) / 2)
    for metric in (0.0, 1.0):
        part = contribution_of([np.array([metric])] * candidates).values[block.name]
        assert np.linalg.norm(part) == pytest.approx(block.user_l2)
        assert np.abs(part).max() == block.user_max == 0.5


def test_values_out_of_range_are_cut_and_what_is_no_number_counts_nothing() -> None:
    values = np.array([7.0, -3.0, np.nan, np.inf, -np.inf])
    assert contribution_of([values]).values["0/scores"].tolist() == [0.5 - 0.5 - 0.5 + 0.5 - 0.5, 2.5]


def test_nobody_adds_nothing() -> None:
    found = contribution_of([np.zeros(0)] * 3)
    assert found.values["0/scores"].tolist() == [0.0] * 4
    assert found.num_users == 0


def test_the_sums_tell_the_means_and_how_far_noise_lets_them_be_trusted() -> None:
    """Four users of means .5 and .25; noise of 2 on each coordinate is 2 sqrt 2 on a difference, of four users."""
    contribution = contribution_of([np.array([1.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0, 0.0])])
    found = reached(Total(contribution.layout, contribution.values, 3, {"0/scores": 2.0}))
    assert found.means == (0.5, 0.25)
    assert found.users == 4.0
    assert found.margin == pytest.approx(math.sqrt(2) * 2 / 4)


def test_where_noise_hides_all_users_nothing_is_divided_by_nothing() -> None:
    layout = layout_of(1)
    found = reached(Total(layout, {"0/scores": np.array([3.0, -7.0])}, 3, {"0/scores": 9.0}))
    assert found.users == 1.0
    assert found.margin > 9.0


@pytest.mark.parametrize(("placement", "times"), [(Local(), 2.0), (Distributed(3), math.sqrt(4 / 3))])
def test_the_noise_is_what_is_stated(placement: Placed, times: float) -> None:
    """Of four clients without users. The sum of squares of 801 coordinates is chi-square: a false alarm has a chance of
    2e-8; so has the shape. Rounding adds a step at each coordinate to the bound of shared noise: under 1 %."""
    candidates, multiplier = 800, 1.5
    release = noised_release_of(layout_of(candidates), 4, 1000, placement, [multiplier])
    words: Words | None = None
    for _ in range(4):
        part = release.prepare(contribution_of([np.zeros(0)] * candidates))
        words = part if words is None else add(words, part)
    assert words is not None
    total = release.open(words, 4)
    std = total.noise["0/scores"]
    assert std == pytest.approx(times * multiplier * math.sqrt(candidates + 1) / 2, rel=1e-2)
    sample = total.values["0/scores"] / std
    low, high = stats.chi2.ppf([RARE / 2, 1 - RARE / 2], len(sample)) / len(sample)
    assert low < (sample**2).mean() < high
    assert stats.kstest(sample, "norm").pvalue > RARE
