"""How many users went from one item straight to another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Block, Contribution, Layout
from fedrec.data.histories import Histories
from fedrec.models import validate
from fedrec.models.distinct import newest_distinct
from fedrec.models.protocols import AnyArray, Params
from fedrec.models.statistics import parts, wire


@dataclass(frozen=True)
class Transitions:
    """Block `transitions` (num_items, num_items): users with an event on the row's item, then on the
    column's.

    Each distinct pair of consecutive items counts once per user, and only the newest `max_items_per_user` of
    them, so one user adds at most so many ones. unit_norm: its ones are scaled to an L2 norm of 1. weighed: of events
    that fade, a pair adds what its later one weighs, at most 1.
    """

    name: ClassVar[str] = "transitions"
    num_items: int
    max_items_per_user: int
    unit_norm: bool = False
    weighed: bool = False

    def __post_init__(self) -> None:
        parts.check_catalogue(self.num_items, self.max_items_per_user)
        validate.boolean("unit_norm", self.unit_norm)
        validate.boolean("weighed", self.weighed)

    @property
    def key(self) -> str:
        """See `Statistic.key`."""
        return f"{self.name}/{self.num_items}/{self.max_items_per_user}/{self.unit_norm}/{self.weighed}"

    def layout(self) -> Layout:
        """See `Statistic.layout`."""
        most = min(self.max_items_per_user, self.num_items**2)
        shape = (self.num_items, self.num_items)
        norm, step = 1.0 if self.unit_norm else math.sqrt(most), parts.grid(self.unit_norm, self.weighed)
        return Layout((Block("transitions", shape, norm, 1.0, step, most, exact=True),))

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, self.num_items)
        parts.check_grid(histories, self.weighed)
        pairs = newest_distinct(consecutive_pairs(histories), self.max_items_per_user)
        counts = np.bincount(
            pairs.items, parts.event_weights(pairs, self.unit_norm), minlength=self.num_items**2
        ).astype(np.float64)
        values = {"transitions": counts.reshape(self.num_items, self.num_items)}
        return Contribution(self.layout(), values, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> Transitions:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)


def consecutive_pairs(histories: Histories) -> Histories:
    """Each user's steps in order, a step from item i to item j being the position i * num_items + j. A step is made,
    and fades, with the later event."""
    has_next = histories.ages > 0
    codes = histories.items[:-1] * histories.num_items + histories.items[1:]
    roots = None if histories.roots is None else histories.roots[1:][has_next[:-1]]
    lengths = np.maximum(histories.lengths - 1, 0)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Histories(indptr, codes[has_next[:-1]], histories.num_items**2, roots=roots)
