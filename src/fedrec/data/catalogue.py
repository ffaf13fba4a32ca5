"""What can be recommended. The order of the catalogue defines the item positions used everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from fedrec.data.arrays import FloatArray, IntArray, frozen_floats
from fedrec.errors import DataError, UnknownItem


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items with what is publicly known of them, one entry per item in each field.

    item_ids: unique. text: None where an item has none. categories: the first one is the primary category.
    prices: (num_items,) float64, read-only, NaN where there is none, otherwise finite and >= 0.

    Raises:
        DataError: lengths differ, an id occurs twice, or a price is negative or infinite.
    """

    item_ids: tuple[str, ...]
    text: tuple[str | None, ...]
    categories: tuple[tuple[str, ...], ...]
    prices: FloatArray
    _positions: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prices", frozen_floats(self.prices))
        object.__setattr__(self, "_positions", {item: i for i, item in enumerate(self.item_ids)})
        lengths = [len(self.item_ids), len(self.text), len(self.categories), len(self.prices)]
        if len(set(lengths)) != 1:
            raise DataError(
                f"item_ids, text, categories and prices have lengths {lengths}",
                cure="give one of each per item",
            )
        if len(self._positions) != len(self.item_ids):
            raise DataError("the catalogue has an item twice", cure="give each item id once")
        if np.isinf(self.prices).any() or (self.prices < 0).any():
            raise DataError("a price is negative or infinite", cure="leave a missing price empty")

    @staticmethod
    def of_ids(item_ids: Sequence[str]) -> Catalogue:
        """Items of which nothing but the id is known."""
        num_items = len(item_ids)
        return Catalogue(tuple(item_ids), (None,) * num_items, ((),) * num_items, np.full(num_items, np.nan))

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._positions

    def positions(self, ids: Iterable[str]) -> IntArray:
        """(num_ids,) int64 position of each of `ids`.

        Raises:
            UnknownItem: an id is not in the catalogue.
        """
        try:
            return np.array([self._positions[item] for item in ids], dtype=np.int64)
        except KeyError as missing:
            raise UnknownItem(
                f"Item {missing} is not among the {self.num_items} items of the catalogue; "
                "add it to the catalogue or leave it out."
            ) from None

    def subset(self, positions: ArrayLike) -> Catalogue:
        """The items at `positions` (num_chosen,), in that order; their positions change."""
        chosen = np.asarray(positions, dtype=np.int64)
        return Catalogue(
            tuple(self.item_ids[i] for i in chosen),
            tuple(self.text[i] for i in chosen),
            tuple(self.categories[i] for i in chosen),
            self.prices[chosen],
        )

    def extended(self, item_ids: Sequence[str]) -> Catalogue:
        """This catalogue with `item_ids` behind its own items; nothing else is known of the added ones."""
        added = Catalogue.of_ids(item_ids)
        return Catalogue(
            self.item_ids + added.item_ids,
            self.text + added.text,
            self.categories + added.categories,
            np.concatenate([self.prices, added.prices]),
        )

    def primary_categories(self) -> tuple[str | None, ...]:
        """The first category of each item, None where it has none."""
        return tuple(names[0] if names else None for names in self.categories)
