import numpy as np
import pytest

from fedrec.data.histories import Histories

ROWS = Histories.from_lists([[3, 1, 3], [], [0]], num_items=4)


def test_shape_counts_users_with_empty_rows():
    assert (ROWS.num_users, ROWS.num_events, ROWS.num_items) == (3, 4, 4)
    assert ROWS.lengths.tolist() == [3, 0, 1]
    assert ROWS.rows.tolist() == [0, 0, 0, 2]


def test_age_is_zero_for_the_newest_event_of_each_user():
    assert ROWS.ages.tolist() == [2, 1, 0, 0]


def test_select_repeats_and_reorders_rows():
    chosen = ROWS.select(np.array([2, 0, 2]))
    assert [chosen.row(u).tolist() for u in range(3)] == [[0], [3, 1, 3], [0]]


def test_keep_leaves_users_without_events_in_place():
    kept = ROWS.keep(np.array([False, True, False, False]))
    assert [kept.row(u).tolist() for u in range(3)] == [[1], [], []]


def test_newest_cuts_from_the_front():
    assert ROWS.newest(2).row(0).tolist() == [1, 3]


def test_binary_has_one_per_distinct_item():
    assert ROWS.binary().toarray().tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_weights_of_a_repeated_item_are_added_up():
    weighted = ROWS.weighted(np.array([1.0, 2.0, 4.0, 8.0]))
    assert weighted.toarray().tolist() == [[0, 2, 0, 5], [0, 0, 0, 0], [8, 0, 0, 0]]


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        ROWS.items[0] = 2
