"""Contexts by hand, and hashes against slow twins."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from fedrec.data import Dataset
from fedrec.models.ctr import ClickEvents, ClickRows, Hashing, contexts
from fedrec.models.ctr.features import CATEGORIES, contexts_at, crossed, field_widths
from tests.models.ctr.worlds import DAY, HOUR, TINY, shop

ROWS = {
    "ann": [("a", 0, 5.0), ("b", HOUR, 1.0), ("c", HOUR, 4.0), ("d", 3 * DAY + 5 * HOUR, 5.0), ("f", 9 * DAY, 2.0)],
    "bob": [("a", 0, 1.0)],
}
SHOP = shop(ROWS)
EVENTS = ClickEvents.of(SHOP, 4.0)
ALL = np.arange(6)
START = np.cumsum([0, *field_widths(TINY.recent)])
ITEM, CATEGORY, HOUR_OF_DAY, WEEKDAY, HABIT, RECENT = (slice(*ends) for ends in pairwise(START))


def hashed(rows=SHOP, which=ALL):
    return ClickRows.of(rows, TINY).hashed(which)


def row(field: str, value: str) -> int:
    key = int.from_bytes(hashlib.blake2b(f"{field}\x1f{value}".encode(), digest_size=8).digest(), "little")
    return 1 + key % (TINY.buckets - 1)


def test_what_is_known_of_a_user():
    shown = contexts(EVENTS, ALL, recent=3)
    assert shown.items.tolist() == [0, 1, 2, 3, 5, 0]
    assert shown.recent.tolist() == [[-1, -1, -1], [0, -1, -1], [0, -1, -1], [2, 1, 0], [3, 2, 1], [-1, -1, -1]]
    assert shown.clicked[:5].tolist() == [
        [False] * 3,
        [True, False, False],
        [True, False, False],
        [True, False, True],
        [True, True, False],
    ]
    assert shown.habits.tolist() == [0, 10, 10, 1 + 6, 1 + 7, 0]  # shares none, 1, 1, 2/3, 3/4, none


def test_plain_features_are_hashes_of_field_and_value():
    deep = hashed().deep
    assert deep[3, ITEM].tolist() == [row("item", "d")]
    assert deep[3, CATEGORY].tolist() == [row("category", name) for name in "yzxw"]  # the fifth is left out
    assert deep[1, CATEGORY].tolist() == [row("category", "x"), row("category", "y"), 0, 0]
    assert deep[3, HOUR_OF_DAY].tolist() == [row("hour", "5")]
    assert deep[0, WEEKDAY].tolist() == [row("weekday", "3")]  # 1 January 1970 was a Thursday
    assert deep[3, WEEKDAY].tolist() == [row("weekday", "6")]
    assert deep[3, HABIT].tolist() == [row("habit", "7")]
    assert deep[0, RECENT].tolist() == [0, 0, 0]


def test_a_recent_item_is_another_feature_if_it_was_clicked():
    clicked, passed = hashed(), hashed(shop({**ROWS, "ann": [("a", 0, 1.0), *ROWS["ann"][1:]]}))
    assert clicked.deep[1, RECENT][0] != passed.deep[1, RECENT][0]
    assert clicked.deep[1, ITEM] == passed.deep[1, ITEM]


def test_the_wide_part_has_the_plain_features_and_their_crosses():
    found = hashed()
    np.testing.assert_array_equal(found.wide[:, : START[-1]], found.deep)
    crosses = found.wide[:, START[-1] :]
    assert crosses.shape[1] == TINY.recent + 2 * CATEGORIES + 1
    assert (crosses[0, : TINY.recent] == 0).all()  # nothing recent, nothing to cross it with
    assert (crosses[3, : TINY.recent] > 0).all()


def test_no_feature_tells_the_label_of_its_event_or_what_comes_with_or_after_it():
    before = hashed()
    for changed in range(5):
        item, time, weight = ROWS["ann"][changed]
        rows = list(ROWS["ann"])
        rows[changed] = ("e" if changed else item, time, 5.0 - weight + 1)
        after = hashed(shop({**ROWS, "ann": rows}))
        blind = [event for event in range(5) if ROWS["ann"][event][1] <= time and event != changed] + [5]
        np.testing.assert_array_equal(after.wide[blind], before.wide[blind])
        kept = shop({**ROWS, "ann": [*ROWS["ann"][:changed], (item, time, 6.0 - weight), *ROWS["ann"][changed + 1 :]]})
        np.testing.assert_array_equal(hashed(kept).wide[changed], before.wide[changed])


def test_tenants_agree_on_features_without_sharing_a_catalogue():
    other = pa.table({"item_id": ["f", "q", "d"], "categories": ["z", "", "y|z|x|w|v"]})
    events = pa.table({"user_id": ["eve"], "item_id": ["d"], "timestamp": [0], "weight": [1.0]})
    elsewhere = hashed(Dataset.from_frame(events, other), np.array([0]))
    here = hashed(shop({"eve": [("d", 0, 1.0)]}), np.array([0]))
    np.testing.assert_array_equal(elsewhere.wide, here.wide)


def test_rows_are_within_the_tables():
    small = replace(TINY, buckets=2)
    found = Hashing(SHOP.catalogue, small)(contexts(EVENTS, ALL, small.recent))
    assert set(np.unique(found.wide)) == {0, 1}


def test_crosses_are_those_of_a_slow_twin_and_depend_on_the_order():
    left, right = np.array([3, 2**63 + 5, 0], np.uint64), np.array([7, 2**64 - 1, 9], np.uint64)
    found = [int(key) for key in crossed(left, right)]
    assert found == [slow_cross(int(one), int(other)) for one, other in zip(left, right, strict=True)]
    assert found[2] == 0
    assert [int(key) for key in crossed(right, left)][:2] != found[:2]


def slow_cross(left: int, right: int) -> int:
    if 0 in (left, right):
        return 0
    word = (1 << 64) - 1
    mixed = (left + right * 0x9E3779B97F4A7C15) & word
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & word
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & word
    return mixed ^ (mixed >> 31)


def test_an_item_that_would_be_shown_has_the_context_of_an_event_at_that_time():
    for event in range(5):
        time = int(EVENTS.times[event])
        asked = contexts_at(EVENTS, 0, (EVENTS.histories.items[event : event + 1], time), recent=3)
        there = contexts(EVENTS, np.array([event]), recent=3)
        for name in ("items", "times", "habits", "recent", "clicked"):
            np.testing.assert_array_equal(getattr(asked, name), getattr(there, name))
