"""Lists as shown, and their exposure, novelty and diversity."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.metrics.lists import (
    coverage,
    diversity,
    exposure,
    gini,
    novelty,
    self_information,
    top_lists,
    unit_rows,
)


@given(
    st.lists(st.sampled_from([-math.inf, 0.0, 1.0, 2.0, math.inf]), min_size=1, max_size=12),
    st.integers(1, 6),
    st.data(),
)
def test_a_list_is_ordered_by_score_then_position(scores: list[float], length: int, data: st.DataObject) -> None:
    excluded = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    candidates = [item for item in range(len(scores)) if not excluded[item]]
    expected = sorted(candidates, key=lambda item: (-scores[item], item))[:length]
    got = top_lists(np.array([scores]), np.array([excluded]), length)
    assert got.tolist() == [expected + [-1] * (length - len(expected))]


def test_self_information_is_minus_log2_of_the_share_of_events() -> None:
    # shares 8/16, 4/16, 4/16; the item without events counts as met once in 16
    assert self_information(np.array([8, 4, 4, 0]), cap=20.0).tolist() == [1.0, 2.0, 2.0, 4.0]
    assert self_information(np.array([8, 4, 4, 0]), cap=3.0).tolist() == [1.0, 2.0, 2.0, 3.0]


def test_self_information_of_counts_below_zero_stays_within_its_bounds() -> None:
    assert self_information(np.array([-3.0, 2.0]), cap=5.0).tolist() == [1.0, 0.0]


def test_novelty_is_the_mean_over_the_items_that_are_there() -> None:
    information = np.array([1.0, 2.0, 4.0])
    assert novelty(np.array([[0, 2], [1, -1], [-1, -1]]), information).tolist() == [2.5, 2.0, 0.0]


def test_diversity_counts_what_categories_do_not_share() -> None:
    units = unit_rows(np.array([[1, 0], [2, 0], [0, 1], [1, 1], [0, 0]]))
    got = diversity(np.array([[0, 1], [0, 2], [0, 3], [4, 4], [0, -1]]), units)
    assert got[:4] == pytest.approx([0.0, 1.0, 1 - 1 / math.sqrt(2), 1.0])
    assert math.isnan(got[4])


def test_diversity_is_one_minus_the_mean_cosine_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(30, 4))
    lists = np.array([rng.choice(30, 5, replace=False) for _ in range(10)])
    for row, got in zip(lists, diversity(lists, unit_rows(vectors)), strict=True):
        cosines = [
            vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b])
            for a, b in itertools.combinations(row, 2)
        ]
        assert got == pytest.approx(1 - np.mean(cosines))


def test_exposure_counts_lists_and_skips_empty_places() -> None:
    counts = exposure(np.array([[0, 3], [3, -1]]), num_items=5)
    assert counts.tolist() == [1.0, 0.0, 0.0, 2.0, 0.0]
    assert coverage(counts) == 2 / 5


def test_gini_is_the_mean_difference_over_twice_the_mean() -> None:
    shown = np.array([1.0, 0.0, 0.0, 2.0, 5.0])
    mean_difference = np.abs(shown[:, None] - shown).sum() / 25
    assert gini(shown) == pytest.approx(mean_difference / (2 * shown.mean()))


def test_gini_runs_from_equal_shares_to_one_item_that_takes_all() -> None:
    assert gini(np.full(8, 3.0)) == 0.0
    assert gini(np.array([0.0, 0.0, 0.0, 9.0])) == 3 / 4
    assert math.isnan(gini(np.zeros(3)))
