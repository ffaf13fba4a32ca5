import numpy as np
import pytest

from fedrec.data import Catalogue, Interactions
from fedrec.errors import DataError, UnknownItem


def small() -> Catalogue:
    return Catalogue(
        ("a", "b", "c"), ("red tent", None, "mug"), (("camp", "new"), (), ("cup",)), np.array([1, np.nan, 3])
    )


def test_positions_follow_the_order_of_the_catalogue():
    assert small().positions(["c", "a", "c"]).tolist() == [2, 0, 2]
    assert "b" in small()
    assert "z" not in small()


def test_unknown_item_is_named():
    with pytest.raises(UnknownItem, match="'z' is not among the 3 items"):
        small().positions(["a", "z"])


def test_subset_renumbers_the_items():
    chosen = small().subset([2, 0])
    assert chosen.item_ids == ("c", "a")
    assert chosen.text == ("mug", "red tent")
    assert chosen.prices.tolist() == [3, 1]
    assert chosen.positions(["a"]).tolist() == [1]


def test_extended_keeps_the_old_positions():
    longer = small().extended(["z"])
    assert longer.positions(["a", "z"]).tolist() == [0, 3]
    assert longer.text[3] is None
    assert np.isnan(longer.prices[3])


def test_primary_category_is_the_first():
    assert small().primary_categories() == ("camp", None, "cup")


@pytest.mark.parametrize(
    ("ids", "prices", "message"),
    [
        (("a", "a"), [1, 1], "an item twice"),
        (("a", "b"), [1], "lengths"),
        (("a", "b"), [1, -1], "negative or infinite"),
        (("a", "b"), [1, np.inf], "negative or infinite"),
    ],
)
def test_inconsistent_catalogue_is_refused(ids, prices, message):
    with pytest.raises(DataError, match=message):
        Catalogue(ids, (None, None), ((), ()), np.array(prices, dtype=float))


def test_prices_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        small().prices[0] = 0


@pytest.mark.parametrize(
    ("users", "weights", "message"),
    [([0, 2], [1, 1], "codes from 0 to 2 for 2 ids"), ([0, -1], [1, 1], "codes from -1"), ([0], [1, 1], "lengths"),
     ([0, 1], [1, -1], "row 2: weight -1.0"), ([0, 1], [np.nan, 1], "row 1: weight nan")],
)  # fmt: skip
def test_inconsistent_interactions_are_refused(users, weights, message):
    with pytest.raises(DataError, match=message):
        Interactions(("u", "v"), ("a",), users, [0, 0], [5, 6], weights)


def test_interactions_are_ordered_by_user_then_time_then_source():
    events = Interactions(("u", "v"), ("a", "b"), [1, 0, 1, 1], [0, 1, 1, 0], [9, 5, 2, 2], np.ones(4))
    assert events.chronological().tolist() == [1, 2, 3, 0]
