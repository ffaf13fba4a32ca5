"""Item k-nearest neighbours by shrunk cosine (Sarwar et al., WWW 2001)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from fedrec.contribution import Total
from fedrec.data.histories import CsrMatrix, Histories
from fedrec.models import limits, noisy, scoring, triangle, validate
from fedrec.models.neighbours import nearest
from fedrec.models.protocols import Attribution, Float32Array, ItemFeatures, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import ItemGram


@dataclass(frozen=True)
class ItemKNN(Trainable):
    """Scores are sums over the history of s_ij = n_ij / (sqrt(n_i n_j) + shrinkage), j among the `neighbours`
    nearest of i.

    half_life, window: recency at scoring time. max_items_per_user: only so many of a user's newest items
    count; None for all. unit_norm: no user weighs more than another. catalogue_limit: refuse larger catalogues. Pairs
    that noise alone could have made are no neighbours.
    """

    neighbours: int = 50
    shrinkage: float = 10.0
    half_life: float | None = 1.5
    window: int | None = 50
    max_items_per_user: int | None = None
    unit_norm: bool = False
    catalogue_limit: int = limits.MAX_PAIR_ITEMS

    name: ClassVar[str] = "item_knn"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity", "neighbour_items", "similarities")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = False

    def __post_init__(self) -> None:
        validate.whole("neighbours", self.neighbours)
        validate.not_negative("shrinkage", self.shrinkage)
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        validate.boolean("unit_norm", self.unit_norm)
        validate.whole("catalogue_limit", self.catalogue_limit)
        _ = self.recency

    @property
    def recency(self) -> Recency:
        """How the events of a history are weighted at scoring time."""
        return Recency(self.half_life, self.window)

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`."""
        limits.check_pairs("ItemKNN", items.num_items, self.catalogue_limit, triangle.size(items.num_items))
        return {"num_items": np.array(items.num_items)}

    def next_statistic(self, weights: Weights) -> ItemGram | None:
        """See `ClosedForm.next_statistic`."""
        num_items = int(weights["num_items"])
        return (
            None
            if "similarities" in weights
            else ItemGram(num_items, self.max_items_per_user or num_items, self.unit_norm)
        )

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        std = total.noise.get("gram", 0.0)
        gram = triangle.unpack(noisy.clear(total.values["gram"], std), int(weights["num_items"]))
        counts = gram.diagonal().copy()
        norms = np.sqrt(np.maximum(counts, 1.0))  # a count below 1 is noise
        gram /= norms[:, None] * norms + self.shrinkage
        np.fill_diagonal(gram, 0.0)
        items, similarities = nearest(gram, self.neighbours)
        return {**weights, "popularity": counts, "neighbour_items": items, "similarities": similarities}

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, self.shared, self.name)
        scoring.check_catalogue(weights, histories)
        profiles = self.recency.profiles(histories).astype(np.float32)
        scores = (profiles @ _similarity_matrix(weights)).toarray()
        return scoring.popular_where_empty(scores, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        scoring.need(weights, self.shared, self.name)
        profile = self.recency.profiles(history)
        found = weights["neighbour_items"][profile.indices] == item
        column = (weights["similarities"][profile.indices] * found).sum(axis=1)
        return scoring.shares_of(profile, profile.data * column, weights, item)


def _similarity_matrix(weights: Weights) -> CsrMatrix:
    items, similarities = weights["neighbour_items"], weights["similarities"]
    num_items, neighbours = items.shape
    indptr = np.arange(num_items + 1) * neighbours
    return sp.csr_array((similarities.ravel(), items.ravel(), indptr), shape=(num_items, num_items))
