"""What users choose before a moment and after it: shares of groups of items, one vector a user for each period."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrec.contribution import Block, Contribution, Float64Array, Layout
from fedrec.data.histories import Histories, IntArray
from fedrec.errors import ConfigError, ContributionError
from fedrec.models import validate
from fedrec.models.protocols import AnyArray, Params
from fedrec.models.statistics import parts, wire


@dataclass(frozen=True, eq=False)
class PeriodShares:
    """Blocks `then` and `now` (num_groups,): sums over users of the shares of the groups among their events up to
    `since`, and later than that up to `until`. Block `users` (2,): how many users have an event in each.

    One user's shares add up to 1, so a period's part has an L2 norm of at most 1, however much the user did. A sum over
    n users spreads no more than counts of n independent choices: the covariance of shares with mean p is at most
    diag(p) - p p^T, that of a single choice, which is what a test of the difference may count on.

    groups: (num_items,) the group of each item, public. since, until: unix seconds.
    """

    name: ClassVar[str] = "period_shares"
    groups: IntArray
    num_groups: int
    since: int
    until: int

    def __post_init__(self) -> None:
        validate.whole("num_groups", self.num_groups)
        if self.groups.dtype != np.int64 or self.groups.ndim != 1 or not self.groups.size:
            raise ConfigError(f"Expected groups to be int64 (num_items,), got {self.groups.dtype} {self.groups.shape}.")
        if self.groups.min() < 0 or self.groups.max() >= self.num_groups:
            raise ConfigError(f"Expected groups within 0..{self.num_groups - 1}.")
        if not self.since < self.until:
            raise ConfigError(f"Expected since={self.since} < until={self.until}.")

    @property
    def key(self) -> str:
        """See `Statistic.key`."""
        return f"{self.name}/{parts.digest(self.groups)}/{self.num_groups}/{self.since}/{self.until}"

    def layout(self) -> Layout:
        """See `Statistic.layout`."""
        periods = (Block(name, (self.num_groups,), 1.0, 1.0, parts.RESOLUTION) for name in ("then", "now"))
        return Layout((*periods, Block("users", (2,), math.sqrt(2), 1.0)))

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`. Raises ContributionError if nobody knows when the events were."""
        parts.check_histories(histories, len(self.groups))
        if histories.times is None:
            raise ContributionError("Events without times are in no period; measure drift on rows that have times.")
        then = self._period(histories, histories.times <= self.since)
        now = self._period(histories, (histories.times > self.since) & (histories.times <= self.until))
        values = {"then": then[0], "now": now[0], "users": np.array([then[1], now[1]], dtype=np.float64)}
        return Contribution(self.layout(), values, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> PeriodShares:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)

    def _period(self, histories: Histories, within: NDArray[np.bool_]) -> tuple[Float64Array, int]:
        """The summed shares of a period, and how many users are in it."""
        kept = histories.keep(within)
        weights = 1.0 / np.maximum(kept.lengths, 1)
        shares = np.bincount(self.groups[kept.items], weights[kept.rows], minlength=self.num_groups)
        return shares.astype(np.float64), int(np.count_nonzero(kept.lengths))
