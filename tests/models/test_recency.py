from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError
from fedrec.models import Recency
from fedrec.models.distinct import is_newest, newest_distinct


def test_weight_halves_with_every_half_life() -> None:
    profiles = Recency(half_life=1.0, window=3).profiles(Histories.from_lists([[3, 0, 1, 2], [], [4]], 5))
    assert profiles.toarray().tolist() == [
        [0.25, 0.5, 1.0, 0, 0],
        [0] * 5,
        [0, 0, 0, 0, 1],
    ]


def test_no_half_life_weights_the_whole_history_alike() -> None:
    profiles = Recency().profiles(Histories.from_lists([[3, 0, 3, 1]], 4))
    assert profiles.toarray().tolist() == [[1, 1, 0, 1]]


def test_an_item_that_occurs_again_has_its_newest_weight() -> None:
    profiles = Recency(half_life=1.0).profiles(Histories.from_lists([[0, 1, 0]], 2))
    assert profiles.toarray().tolist() == [[1.0, 0.5]]


@pytest.mark.parametrize("wrong", [{"half_life": -1.0}, {"half_life": float("inf")}, {"window": 0}])
def test_impossible_weights_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="Expected"):
        Recency(**wrong)  # type: ignore[arg-type]


@given(rows=st.lists(st.lists(st.integers(0, 4), max_size=9), max_size=4), limit=st.integers(1, 6))
def test_newest_distinct_equals_walking_back_through_each_history(rows: list[list[int]], limit: int) -> None:
    kept = newest_distinct(Histories.from_lists(rows, 5), limit)
    for user, row in enumerate(rows):
        walked: list[int] = []
        for item in reversed(row):
            if item not in walked and len(walked) < limit:
                walked.insert(0, item)
        assert kept.row(user).tolist() == walked


def test_is_newest_marks_the_last_event_on_each_item() -> None:
    mask = is_newest(Histories.from_lists([[1, 2, 1], [1]], 3))
    assert mask.tolist() == [False, True, True, True]
    assert np.count_nonzero(mask) == 3
