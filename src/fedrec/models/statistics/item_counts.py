"""How many users have each item."""

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
class ItemCounts:
    """Block `counts` (num_items,): number of users who have the item, among each one's newest distinct ones.

    One user adds at most `max_items_per_user` ones, so its L2 norm is at most the square root of that. unit_norm: its
    ones are scaled to an L2 norm of 1, so that no user weighs more than another. weighed: of events that fade, each
    adds its weight, at most 1, so that the bounds are the same, on a finer grid.
    """

    name: ClassVar[str] = "item_counts"
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
        most = min(self.max_items_per_user, self.num_items)
        norm, step = 1.0 if self.unit_norm else math.sqrt(most), parts.grid(self.unit_norm, self.weighed)
        return Layout((Block("counts", (self.num_items,), norm, 1.0, step, most, exact=True),))

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, self.num_items)
        parts.check_grid(histories, self.weighed)
        kept = newest_distinct(histories, self.max_items_per_user)
        counts = np.bincount(kept.items, parts.event_weights(kept, self.unit_norm), minlength=self.num_items).astype(
            np.float64
        )
        return Contribution(self.layout(), {"counts": counts}, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> ItemCounts:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)
