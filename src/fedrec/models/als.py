"""Implicit ALS: matrix factorisation of what users have, and weakly of what they have not (Hu, Koren,
Volinsky, ICDM 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Float64Array, Total
from fedrec.data.histories import Histories
from fedrec.models import limits, scoring, triangle, validate
from fedrec.models.normal_equations import fold_in, solve_each, system
from fedrec.models.protocols import Attribution, ItemFeatures, Statistic, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import AlsSweep, ItemCounts
from fedrec.rng import derive

ITEMS_AT_A_TIME = 1024


@dataclass(frozen=True)
class ALS(Trainable):
    """Item factors Y (num_items, rank) by `sweeps` sums; a user's vector is solved from its own history
    wherever that is.

    l2, alpha: an item a user has is wanted with confidence 1 + alpha, any other is not with confidence 1.
    clip_norm: public bound on the norm of a user's vector within a sum. half_life, window: recency of the
    confidences at scoring time. max_items_per_user: only so many of a user's newest items count; None for
    all. seed: of the first factors.
    """

    rank: int = 64
    sweeps: int = 8
    l2: float = 30.0
    alpha: float = 10.0
    clip_norm: float = 2.0
    half_life: float | None = 3.0
    window: int | None = 50
    max_items_per_user: int | None = None
    seed: int = 0

    name: ClassVar[str] = "als"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity", "item_factors", "sweeps_done")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("rank", "sweeps"):
            validate.whole(name, getattr(self, name))
        for name in ("l2", "alpha", "clip_norm"):
            validate.positive(name, getattr(self, name))
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        validate.whole("seed", self.seed, at_least=0)
        _ = self.recency

    @property
    def recency(self) -> Recency:
        """How the events of a history are weighted at scoring time."""
        return Recency(self.half_life, self.window)

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`."""
        coordinates = items.num_items * (triangle.size(self.rank) + self.rank)
        limits.check_coordinates("ALS", coordinates, 'Lower rank, or use PCA(method="subspace").')
        factors = derive(self.seed, "als", "item_factors").standard_normal((items.num_items, self.rank))
        return {
            "num_items": np.array(items.num_items),
            "item_factors": 0.1 * factors / np.sqrt(self.rank),
            "sweeps_done": np.array(0),
        }

    def next_statistic(self, weights: Weights) -> Statistic | None:
        """See `ClosedForm.next_statistic`."""
        num_items = int(weights["num_items"])
        limit = self.max_items_per_user or num_items
        if "popularity" not in weights:
            return ItemCounts(num_items, limit)
        if int(weights["sweeps_done"]) >= self.sweeps:
            return None
        return AlsSweep(weights["item_factors"], self.l2, self.alpha, self.clip_norm, limit)

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        if "counts" in total.values:
            return {**weights, "popularity": total.values["counts"]}
        sweeps_done = np.array(int(weights["sweeps_done"]) + 1)
        return {**weights, "item_factors": self._solved_items(total), "sweeps_done": sweeps_done}

    def _solved_items(self, total: Total) -> Float64Array:
        outer, linear = total.values["outer"], total.values["linear"]
        everyone = triangle.unpack_each(total.values["everyone"][None], self.rank)[0]
        base = everyone + self.l2 * np.eye(self.rank)
        factors = np.zeros_like(linear)
        active = np.flatnonzero(linear.any(axis=1))  # the others' factors are 0
        for start in range(0, len(active), ITEMS_AT_A_TIME):
            part = active[start : start + ITEMS_AT_A_TIME]
            matrices = base + self.alpha * triangle.unpack_each(outer[part], self.rank)
            factors[part] = solve_each(matrices, (1.0 + self.alpha) * linear[part])
        return factors

    def scores(self, weights: Weights, histories: Histories) -> Float64Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, self.shared, self.name)
        scoring.check_catalogue(weights, histories)
        factors = weights["item_factors"]
        users = fold_in(self.recency.profiles(histories), factors, self.alpha, self.l2)
        return scoring.popular_where_empty(users @ factors.T, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`: eq. 7 of the paper, the share of item j is y_item^T A^-1 y_j c_j."""
        scoring.need(weights, self.shared, self.name)
        factors, profile = weights["item_factors"], self.recency.profiles(history)
        matrix = system(profile, factors, self.alpha, self.l2)
        influence = factors[profile.indices] @ np.linalg.solve(matrix, factors[item])
        return scoring.shares_of(profile, (1.0 + self.alpha * profile.data) * influence, weights, item)
