"""How many users have each item."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Block, Contribution, Layout
from fedrec.data.histories import Histories
from fedrec.models.distinct import newest_distinct
from fedrec.models.protocols import AnyArray, Params
from fedrec.models.statistics import parts, wire


@dataclass(frozen=True)
class ItemCounts:
    """Block `counts` (num_items,): number of users who have the item, among each one's newest distinct ones.

    One user adds at most `max_items_per_user` ones, so its L2 norm is at most the square root of that.
    """

    name: ClassVar[str] = "item_counts"
    num_items: int
    max_items_per_user: int

    def __post_init__(self) -> None:
        parts.check_catalogue(self.num_items, self.max_items_per_user)

    @property
    def key(self) -> str:
        """See `Statistic.key`."""
        return f"{self.name}/{self.num_items}/{self.max_items_per_user}"

    def layout(self) -> Layout:
        """See `Statistic.layout`."""
        most = min(self.max_items_per_user, self.num_items)
        return Layout((Block("counts", (self.num_items,), user_l2=math.sqrt(most), user_max=1.0),))

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, self.num_items)
        items = newest_distinct(histories, self.max_items_per_user).items
        counts = np.bincount(items, minlength=self.num_items).astype(np.float64)
        return Contribution(self.layout(), {"counts": counts}, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> ItemCounts:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)
