"""Labels, what is known when, and what is held out, event by event."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.models.ctr import ClickEvents, hold_out
from tests.models.ctr.worlds import shop

ROWS = {"ann": [("a", 30, 5.0), ("b", 10, 3.9), ("c", 10, 4.0), ("d", 20, 1.0)], "bob": [("a", 10, 4.5)]}


def test_events_are_in_the_order_of_time_with_their_labels():
    events = ClickEvents.of(shop(ROWS), click_at=4.0)
    assert events.histories.row(0).tolist() == [1, 2, 3, 0]
    assert events.times.tolist() == [10, 10, 20, 30, 10]
    assert events.clicked.tolist() == [False, True, False, True, True]
    assert events.num_clicks.tolist() == [0, 0, 1, 1, 2, 3]


def test_only_strictly_earlier_events_of_the_same_user_are_known():
    events = ClickEvents.of(shop(ROWS), click_at=4.0)
    assert (events.known - events.first).tolist() == [0, 0, 2, 3, 0]


@pytest.mark.parametrize(
    ("count", "validation", "test"), [(1, [2], [3]), (2, [], [])], ids=["one each", "too few events for two each"]
)
def test_the_last_events_of_each_user_are_held_out(count, validation, test):
    split = hold_out(ClickEvents.of(shop(ROWS), click_at=4.0), count)
    assert np.flatnonzero(split.validation).tolist() == validation
    assert np.flatnonzero(split.test).tolist() == test
    np.testing.assert_array_equal(split.fit, ~split.test)
    np.testing.assert_array_equal(split.train, split.fit & ~split.validation)
