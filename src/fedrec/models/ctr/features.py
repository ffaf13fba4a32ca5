"""What is known when an item is shown, hashed: rows of two tables whose size depends on no catalogue.

Each feature is a field and a value, such as an item or an hour of the day (UTC). Its key is a hash of both texts, so
tenants agree on it without having met. Crosses are features that say that two others were there together. Different
features may share a row; more rows make that rarer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedrec.data.arrays import BoolArray, IntArray
from fedrec.data.catalogue import Catalogue
from fedrec.models.ctr.events import ClickEvents

Keys = NDArray[np.uint64]
"""64-bit hashes of features; 0 where there is none."""

CATEGORIES = 4
"""So many categories of an item are used, the first ones."""
HABITS = 10
"""Users are told apart by the share of clicks among what they were shown before, in so many steps."""
FIELDS = ("item", "category", "hour", "weekday", "habit", "recent")
"""Fields of the deep part, in the order of their columns."""
_DAY_S, _HOUR_S, _FIRST_WEEKDAY = 86_400, 3_600, 3  # the first day of unix time was a Thursday, which is 3


class Settings(Protocol):
    """The hyper-parameters that features depend on."""

    @property
    def buckets(self) -> int:
        """Rows of each table."""
        ...

    @property
    def recent(self) -> int:
        """So many newest events of a user are features, each with its label."""
        ...


@dataclass(frozen=True, eq=False)
class Contexts:
    """Items that are or were shown, each with what is known of the user at that moment.

    items, times: (n,). habits: (n,) 0 for a new user, otherwise 1 + the step of the share of clicks. recent, clicked:
    (n, recent) what the user had before, the newest first, -1 where there is no more, and the labels.
    """

    items: IntArray
    times: IntArray
    habits: IntArray
    recent: IntArray
    clicked: BoolArray

    def part(self, which: slice) -> Contexts:
        """Some of them."""
        recent, clicked = self.recent[which], self.clicked[which]
        return Contexts(self.items[which], self.times[which], self.habits[which], recent, clicked)


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of a user at some moments: the events at positions `start` to `stop`. Both are (n,)."""

    start: IntArray
    stop: IntArray


@dataclass(frozen=True, eq=False)
class Hashed:
    """Rows of the tables, 0 for no feature. wide: (n, wide_width), with crosses. deep: (n, deep_width), by field."""

    wide: IntArray
    deep: IntArray


def contexts(events: ClickEvents, which: IntArray, recent: int) -> Contexts:
    """The contexts of the events at positions `which`."""
    seen = Seen(events.first[which], events.known[which])
    return _contexts(events, seen, (events.histories.items[which], events.times[which]), recent)


def contexts_at(events: ClickEvents, user: int, shown: tuple[IntArray, int], recent: int) -> Contexts:
    """The contexts of items that would be shown to a user, a row of `events`. shown: positions (n,), and the time."""
    items, time = shown
    start, stop = events.histories.indptr[user : user + 2]
    known = start + np.searchsorted(events.times[start:stop], time)
    seen = Seen(np.full(len(items), start), np.full(len(items), known))
    return _contexts(events, seen, (items, np.full(len(items), time)), recent)


def _contexts(events: ClickEvents, seen: Seen, shown: tuple[IntArray, IntArray], recent: int) -> Contexts:
    places = seen.stop[:, None] - 1 - np.arange(recent)
    there = places >= seen.start[:, None]
    places = np.maximum(places, 0)
    before = np.where(there, events.histories.items[places], -1)
    return Contexts(*shown, _habits(events, seen), before, events.clicked[places] & there)


def _habits(events: ClickEvents, seen: Seen) -> IntArray:
    clicks = events.num_clicks[seen.stop] - events.num_clicks[seen.start]
    steps = np.minimum(clicks * HABITS // np.maximum(seen.stop - seen.start, 1), HABITS - 1)
    habits: IntArray = np.where(seen.stop > seen.start, 1 + steps, 0)
    return habits


class Hashing:
    """Contexts over one catalogue, hashed."""

    def __init__(self, catalogue: Catalogue, settings: Settings) -> None:
        self._rows, self._recent = settings.buckets - 1, settings.recent
        self._items = _keys("item", catalogue.item_ids)
        self._categories = _category_keys(catalogue.categories)
        self._hours = _keys("hour", [str(hour) for hour in range(24)])
        self._weekdays = _keys("weekday", [str(day) for day in range(7)])
        self._habits = _keys("habit", [str(step) for step in range(HABITS + 1)])
        self._labels = _keys("recent", ["passed", "clicked"])

    def __call__(self, shown: Contexts) -> Hashed:
        """The rows of each context."""
        item, category = self._items[shown.items, None], self._categories[shown.items]
        hour = self._hours[shown.times // _HOUR_S % 24, None]
        weekday = self._weekdays[(shown.times // _DAY_S + _FIRST_WEEKDAY) % 7, None]
        habit = self._habits[shown.habits, None]
        known = crossed(self._items[shown.recent], self._labels[shown.clicked.astype(np.int64)])
        recent = np.where(shown.recent >= 0, known, np.uint64(0))
        plain = np.hstack([item, category, hour, weekday, habit, recent])
        crosses = [crossed(item, recent), crossed(category, habit), crossed(category, hour), crossed(weekday, hour)]
        return Hashed(self._row(np.hstack([plain, *crosses])), self._row(plain))

    def _row(self, keys: Keys) -> IntArray:
        return np.where(keys > 0, 1 + keys % np.uint64(self._rows), 0).astype(np.int64)


def field_widths(recent: int) -> tuple[int, ...]:
    """Columns of each of `FIELDS` in `Hashed.deep`."""
    return 1, CATEGORIES, 1, 1, 1, recent


def crossed(left: Keys, right: Keys) -> Keys:
    """Keys of "both", 0 where one of them is missing; the arrays are broadcast. The mixing is that of splitmix64."""
    mixed = left + right * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.where((left > 0) & (right > 0), np.maximum(mixed, np.uint64(1)), np.uint64(0))


def _keys(field: str, values: Sequence[str]) -> Keys:
    """(num_values,) keys."""
    digests = [hashlib.blake2b(f"{field}\x1f{value}".encode(), digest_size=8).digest() for value in values]
    return np.maximum(np.frombuffer(b"".join(digests), "<u8").astype(np.uint64), np.uint64(1))


def _category_keys(categories: Sequence[tuple[str, ...]]) -> Keys:
    """(num_items, CATEGORIES), 0 where an item has fewer."""
    names = list(dict.fromkeys(name for row in categories for name in row[:CATEGORIES]))
    of_name = dict(zip(names, _keys("category", names), strict=True))
    keys = np.zeros((len(categories), CATEGORIES), np.uint64)
    for item, row in enumerate(categories):
        keys[item, : len(row[:CATEGORIES])] = [of_name[name] for name in row[:CATEGORIES]]
    return keys
