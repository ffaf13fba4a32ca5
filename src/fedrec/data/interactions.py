"""Who did what when: events of users on items, external ids kept as strings, events as integer codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrec.data.arrays import FloatArray, IntArray, frozen_floats, frozen_ints
from fedrec.errors import DataError


@dataclass(frozen=True, eq=False)
class Interactions:
    """Events in the order of their source; the order decides between events of one user at one time.

    user_ids, item_ids: unique external ids; an id is always a string here, so 7 and "7" are the same id.
    users, items: (num_events,) int64, positions in `user_ids` and `item_ids`.
    times: (num_events,) int64, unix seconds in UTC. weights: (num_events,) float64, finite, >= 0.
    All arrays are read-only.

    Raises:
        DataError: lengths differ, a code is out of range, an id occurs twice, or a weight is negative or not
        finite.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    users: IntArray
    items: IntArray
    times: IntArray
    weights: FloatArray

    def __post_init__(self) -> None:
        for name in ("users", "items", "times"):
            object.__setattr__(self, name, frozen_ints(getattr(self, name)))
        object.__setattr__(self, "weights", frozen_floats(self.weights))
        lengths = [len(self.users), len(self.items), len(self.times), len(self.weights)]
        if len(set(lengths)) != 1:
            raise DataError(
                f"users, items, times and weights have lengths {lengths}", cure="give one of each per event"
            )
        _check_codes("users", self.users, self.user_ids)
        _check_codes("items", self.items, self.item_ids)
        bad = ~(np.isfinite(self.weights) & (self.weights >= 0))
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"weight {self.weights[row]} is not a finite number >= 0",
                cure="drop the event or correct its weight",
                row=row + 1,
            )

    @property
    def num_events(self) -> int:
        """Number of events."""
        return len(self.users)

    @property
    def num_users(self) -> int:
        """Number of user ids, with events or without."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Number of item ids, with events or without."""
        return len(self.item_ids)

    def chronological(self) -> IntArray:
        """(num_events,) positions of the events by user, then time, then the order of the source."""
        return np.lexsort((self.times, self.users))


def _check_codes(name: str, codes: IntArray, ids: tuple[str, ...]) -> None:
    if len(set(ids)) != len(ids):
        raise DataError(f"the ids of {name} are not unique", cure="give each id once")
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(ids)):
        raise DataError(
            f"{name} has codes from {codes.min()} to {codes.max()} for {len(ids)} ids",
            cure="give positions in the list of ids",
        )
