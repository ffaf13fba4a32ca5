"""PCA of the binary user-item matrix (PureSVD: Cremonesi, Koren, Turrin, RecSys 2010)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse.linalg import eigsh

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError
from fedrec.models import limits, scoring, triangle, validate
from fedrec.models.protocols import Attribution, Float32Array, Float64Array, ItemFeatures, Statistic, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import GramProduct, ItemCounts, ItemGram
from fedrec.rng import derive

NOTHING = 1e-9  # an eigenvalue below this share of the largest is 0 but for rounding
DENSE_UP_TO = 400  # items: from here on Lanczos is faster


@dataclass(frozen=True)
class PCA(Trainable):
    """Scores h V V^T, V the top `rank` eigenvectors of the item-item Gram, h the weighted history.

    method: "gram" sums the Gram once; "subspace" sums `rounds` products with a thin random basis of rank +
    `oversample` columns (Halko, Martinsson, Tropp, SIAM Review 2011, algorithm 4.4), which works for
    catalogues of any size. half_life, window: recency at scoring time. max_items_per_user: only so many of a
    user's newest items count; None for all. unit_norm: no user weighs more than another. catalogue_limit: refuse
    larger catalogues under "gram". seed: of the random basis.
    """

    rank: int = 64
    method: str = "gram"
    rounds: int = 6
    oversample: int = 16
    half_life: float | None = 6.6
    window: int | None = 50
    max_items_per_user: int | None = None
    unit_norm: bool = False
    catalogue_limit: int = limits.MAX_PAIR_ITEMS
    seed: int = 0

    name: ClassVar[str] = "pca"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity", "components", "basis", "rounds_done")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("rank", "rounds", "catalogue_limit"):
            validate.whole(name, getattr(self, name))
        for name in ("oversample", "seed"):
            validate.whole(name, getattr(self, name), at_least=0)
        validate.one_of("method", self.method, ("gram", "subspace"))
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        validate.boolean("unit_norm", self.unit_norm)
        _ = self.recency

    @property
    def recency(self) -> Recency:
        """How the events of a history are weighted at scoring time."""
        return Recency(self.half_life, self.window)

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`."""
        num_items = items.num_items
        if self.rank >= num_items:
            raise ConfigError(f"Expected rank={self.rank} to be below the number of items, {num_items}.")
        if self.method == "gram":
            limits.check_pairs("PCA", num_items, self.catalogue_limit, triangle.size(num_items))
            return {"num_items": np.array(num_items)}
        width = min(self.rank + self.oversample, num_items)
        limits.check_coordinates("PCA", num_items * width, "Lower rank or oversample.")
        basis = _orthonormal(derive(self.seed, "pca", "basis").standard_normal((num_items, width)))
        return {"num_items": np.array(num_items), "basis": basis, "rounds_done": np.array(0)}

    def next_statistic(self, weights: Weights) -> Statistic | None:
        """See `ClosedForm.next_statistic`."""
        if "components" in weights:
            return None
        num_items = int(weights["num_items"])
        limit = self.max_items_per_user or num_items
        if self.method == "gram":
            return ItemGram(num_items, limit, self.unit_norm)
        if "popularity" in weights:
            return GramProduct(weights["basis"], limit)
        return ItemCounts(num_items, limit, self.unit_norm)

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        if "counts" in total.values:
            return {**weights, "popularity": total.values["counts"]}
        if "gram" in total.values:
            gram = triangle.unpack(total.values["gram"], int(weights["num_items"]))
            return {
                **weights,
                "popularity": gram.diagonal().copy(),
                "components": _top_vectors(gram, self.rank),
            }
        return self._advance(weights, total.values["product"])

    def _advance(self, weights: Weights, product: Float64Array) -> Weights:
        rounds_done = int(weights["rounds_done"]) + 1
        if rounds_done < self.rounds:
            return {**weights, "basis": _orthonormal(product), "rounds_done": np.array(rounds_done)}
        components = _ritz_vectors(weights["basis"], product, self.rank)
        return {
            "num_items": weights["num_items"],
            "popularity": weights["popularity"],
            "components": components,
        }

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, ("popularity", "components"), self.name)
        scoring.check_catalogue(weights, histories)
        components = weights["components"]
        scores = (self.recency.profiles(histories).astype(np.float32) @ components) @ components.T
        return scoring.popular_where_empty(scores, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        scoring.need(weights, ("popularity", "components"), self.name)
        components = weights["components"].astype(np.float64)
        return scoring.linear_attribution(self.recency.profiles(history), components @ components[item], weights, item)


def _top_vectors(gram: Float64Array, rank: int) -> Float32Array:
    """(num_items, rank) eigenvectors of the largest eigenvalues; items without events are 0 in all, at no cost.

    Columns beyond the number of items with events are 0.
    """
    active = np.flatnonzero(gram.any(axis=1))
    top = np.zeros((len(gram), rank), dtype=np.float32)
    found = _largest(gram[np.ix_(active, active)], min(rank, len(active))) if len(active) else top[:0, :0]
    top[active, : found.shape[1]] = found
    return top


def _largest(gram: Float64Array, rank: int) -> Float64Array:
    """(num_items, at most rank) eigenvectors: by Lanczos from a fixed start, or of a small matrix all, which is faster.

    Those of eigenvalues that are 0 but for rounding are left out: they could be any vectors, and say nothing.
    """
    if len(gram) <= max(DENSE_UP_TO, 2 * rank):
        values, vectors = np.linalg.eigh(gram)
    else:
        start = derive(0, "pca", "lanczos").standard_normal(len(gram))
        values, vectors = eigsh(gram, k=rank, which="LA", v0=start)
    kept = np.flatnonzero(values > NOTHING * values[-1])[::-1][:rank]
    largest: Float64Array = vectors[:, kept]
    return largest


def _orthonormal(columns: Float64Array) -> Float64Array:
    orthonormal: Float64Array = np.linalg.qr(columns)[0]
    return orthonormal


def _ritz_vectors(basis: Float64Array, product: Float64Array, rank: int) -> Float32Array:
    """Best eigenvectors of the Gram within `basis`, given `product` = Gram @ basis, one further step of the
    iteration."""
    improved, triangular = np.linalg.qr(product)
    left, _, _ = np.linalg.svd(triangular)
    vectors: Float32Array = (improved @ left[:, :rank]).astype(np.float32)
    return vectors
