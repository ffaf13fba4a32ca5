"""The sums of an evaluation: all that leaves a client, as the blocks of one bounded `Contribution`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.contribution import Block, Contribution, Layout, Total
from fedrec.errors import ConfigError, ContributionError
from fedrec.metrics.bootstrap import MAX_WEIGHT, replicate_sums
from fedrec.metrics.evaluate import UserMetrics
from fedrec.metrics.lists import exposure
from fedrec.metrics.protocol import RankingProtocol
from fedrec.metrics.ranks import IntArray
from fedrec.metrics.slices import MAX_SLICES_PER_USER, SLICES
from fedrec.metrics.summary import Summary, summarise

Float64Array = NDArray[np.float64]

RESOLUTION = 2.0**-20


@dataclass(frozen=True)
class MetricSums:
    """Sums over users by block name, shaped as in `layout`; two clients' sums add up to those of both."""

    protocol: RankingProtocol
    num_items: int
    values: Mapping[str, Float64Array]

    @staticmethod
    def layout(protocol: RankingProtocol, num_items: int) -> Layout:
        """The blocks and what one user can add to each.

        A user is in at most `MAX_SLICES_PER_USER` slices, metrics are in [0, 1], a list shows an item once.

        users: (num_slices,) users in each slice. metrics: (num_slices, num_metrics) sums.
        exposure: (num_items,) lists that show each item. novelty: (1,) sum, in bits.
        diversity: (2,) number of users that have one, and its sum.
        bootstrap_users: (num_slices, num_bootstrap), bootstrap_metrics: (num_slices, 2, num_bootstrap): the
        same for every replicate and the protocol's `main_metrics`; a user weighs at most `MAX_WEIGHT`.
        """
        num_slices, num_metrics = len(SLICES), len(protocol.metric_names)
        slices, replicates = MAX_SLICES_PER_USER, protocol.num_bootstrap
        shown = min(protocol.list_length, num_items)
        blocks = [
            Block("users", (num_slices,), math.sqrt(slices), 1.0),
            Block("metrics", (num_slices, num_metrics), math.sqrt(slices * num_metrics), 1.0, RESOLUTION),
            Block("exposure", (num_items,), math.sqrt(shown), 1.0),
            Block("novelty", (1,), protocol.novelty_cap, resolution=RESOLUTION),
            Block("diversity", (2,), math.hypot(1.0, 2.0), 2.0, RESOLUTION),
        ]
        if replicates:
            counts, sums = (num_slices, replicates), (num_slices, 2, replicates)
            count_l2 = MAX_WEIGHT * math.sqrt(slices * replicates)
            metric_l2 = MAX_WEIGHT * math.sqrt(slices * 2 * replicates)
            blocks.append(Block("bootstrap_users", counts, count_l2, MAX_WEIGHT))
            blocks.append(Block("bootstrap_metrics", sums, metric_l2, MAX_WEIGHT, RESOLUTION))
        return Layout(tuple(blocks))

    @staticmethod
    def of(metrics: UserMetrics, *, tenant: str, positions: IntArray | None = None) -> MetricSums:
        """The sums of one client's users.

        tenant: names the client's own stream of bootstrap weights. positions: (rows of the fold,) each user's
        place in that stream, by default the row. Give the positions in the tenant's dataset (`Fold.users`):
        they stay when another user has nothing to evaluate, so no user changes another's weights.
        """
        protocol, slices = metrics.protocol, [metrics.slices[name] for name in SLICES]
        places = metrics.users if positions is None else positions[metrics.users]
        defined = ~np.isnan(metrics.diversity)
        values = {
            "users": np.array([float(len(part.members)) for part in slices]),
            "metrics": np.stack([part.values.sum(axis=0) for part in slices]),
            "exposure": exposure(metrics.lists, metrics.num_items),
            "novelty": np.array([metrics.novelty.sum()]),
            "diversity": np.array([float(defined.sum()), metrics.diversity[defined].sum()]),
            **_bootstrap(metrics, tenant, places),
        }
        return MetricSums(protocol, metrics.num_items, values)

    @staticmethod
    def zero(protocol: RankingProtocol, num_items: int) -> MetricSums:
        """The sums of no users: of a client that has nobody to evaluate."""
        blocks = MetricSums.layout(protocol, num_items).blocks
        return MetricSums(protocol, num_items, {block.name: np.zeros(block.shape) for block in blocks})

    @staticmethod
    def from_total(total: Total, protocol: RankingProtocol) -> MetricSums:
        """The sums of all clients, from a released total; ContributionError if it is of another protocol."""
        shapes = {block.name: block.shape for block in total.layout.blocks}
        num_items = math.prod(shapes.get("exposure", (0,)))
        expected = {block.name: block.shape for block in MetricSums.layout(protocol, num_items).blocks}
        if shapes != expected:
            raise ContributionError(
                f"Expected a total with the blocks {expected} of this protocol, got {shapes}; "
                "read it with the protocol under which the clients evaluated."
            )
        return MetricSums(protocol, num_items, dict(total.values))

    @property
    def num_users(self) -> int:
        """Users evaluated."""
        return round(float(self.values["users"][0]))

    def __add__(self, other: MetricSums) -> MetricSums:
        if (self.protocol, self.num_items) != (other.protocol, other.num_items):
            raise ConfigError(
                f"Expected sums of one protocol and catalogue, got {self.protocol}, {self.num_items} items, "
                f"and {other.protocol}, {other.num_items} items; evaluate both alike."
            )
        values = {name: value + other.values[name] for name, value in self.values.items()}
        return MetricSums(self.protocol, self.num_items, values)

    def contribution(self) -> Contribution:
        """The same as a bounded contribution to a federated sum."""
        return Contribution(self.layout(self.protocol, self.num_items), self.values, self.num_users)

    def summary(self, confidence: float = 0.95) -> Summary:
        """slice -> metric -> figures (mean, users, and low, high where bootstrapped); see `summarise`."""
        return summarise(self.values, self.protocol, confidence)


def _bootstrap(metrics: UserMetrics, tenant: str, positions: IntArray) -> dict[str, Float64Array]:
    protocol = metrics.protocol
    if not protocol.num_bootstrap:
        return {}
    columns = [protocol.metric_names.index(name) for name in protocol.main_metrics]
    table = np.zeros((len(metrics.users), len(SLICES), 3))
    for index, name in enumerate(SLICES):
        part = metrics.slices[name]
        table[part.members, index, 0] = 1.0
        table[part.members, index, 1:] = part.values[:, columns]
    flat = table.reshape(len(table), 3 * len(SLICES))
    sums = replicate_sums(flat, positions, protocol.num_bootstrap, protocol.seed, tenant)
    by_slice = sums.T.reshape(len(SLICES), 3, protocol.num_bootstrap)
    return {"bootstrap_users": by_slice[:, 0], "bootstrap_metrics": by_slice[:, 1:]}
