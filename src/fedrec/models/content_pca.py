"""PCA of a noisy Gram within what is public: popularity times content, and the directions that rise above the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse.linalg import eigsh

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError
from fedrec.models import limits, noisy, scoring, triangle, validate
from fedrec.models.protocols import Attribution, Float32Array, Float64Array, ItemFeatures, Statistic, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import ItemCounts, ItemGram
from fedrec.rng import derive

FEWEST = 2
"""Directions above the noise without which nothing is personal: the first is popularity itself."""


@dataclass(frozen=True)
class ContentPCA(Trainable):
    """Scores h Z Z^T, h the weighted history, Z Z^T the square root of the Gram within a subspace of the items.

    Noise on a Gram of n items has eigenvalues up to 2 std sqrt(n); within a subspace of d dimensions only up to 2 std
    sqrt(d). So the noisy Gram is taken within few directions that are likely to hold what users have in common: the
    noisy popularity, the popularity times each of `content_rank` directions of the public content, and those of its own
    `rank` first eigenvectors whose eigenvalue is above the noise. If fewer than two eigenvalues within the subspace are
    above its noise, everyone gets the noisy popularity: this model is never personal where it would be guessing. All of
    this is computed from released sums. Sums are of one or two releases: item counts, and the Gram.

    half_life, window: recency at scoring time. max_items_per_user: only so many of a user's newest items count.
    unit_norm: no user weighs more than another. catalogue_limit: refuse larger catalogues. personal: False does not ask
    for the Gram, and all of the budget is left for the popularity that everyone gets.
    """

    rank: int = 64
    content_rank: int = 64
    half_life: float | None = 3.0
    window: int | None = 20
    max_items_per_user: int | None = 100
    unit_norm: bool = True
    catalogue_limit: int = limits.MAX_PAIR_ITEMS
    personal: bool = True

    name: ClassVar[str] = "content_pca"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity", "directions", "item_vectors")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("rank", "content_rank", "catalogue_limit"):
            validate.whole(name, getattr(self, name))
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        validate.boolean("unit_norm", self.unit_norm)
        validate.boolean("personal", self.personal)
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
        limits.check_pairs("ContentPCA", num_items, self.catalogue_limit, triangle.size(num_items))
        return {
            "num_items": np.array(num_items),
            "directions": _directions(items.content, num_items, self.content_rank),
        }

    def next_statistic(self, weights: Weights) -> Statistic | None:
        """See `ClosedForm.next_statistic`."""
        if "item_vectors" in weights:
            return None
        num_items = int(weights["num_items"])
        limit = self.max_items_per_user or num_items
        kind = ItemGram if "popularity" in weights else ItemCounts
        return kind(num_items, limit, self.unit_norm)

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        if "counts" in total.values:
            counts = noisy.not_negative(total.values["counts"], total.noise.get("counts", 0.0))
            nothing = {} if self.personal else {"item_vectors": np.zeros((len(counts), 0), np.float32)}
            return {**weights, "popularity": counts, **nothing}
        gram = triangle.unpack(total.values["gram"], int(weights["num_items"]))
        subspace = np.hstack([weights["popularity"][:, None] * weights["directions"], self._above(gram, total)])
        vectors = _square_root(gram, subspace, total.noise.get("gram", 0.0))
        return {
            "num_items": weights["num_items"],
            "popularity": weights["popularity"],
            "item_vectors": vectors.astype(np.float32),
        }

    def _above(self, gram: Float64Array, total: Total) -> Float64Array:
        """(num_items, at most rank) eigenvectors of the Gram whose eigenvalues are above its noise."""
        least = noisy.sure_edge(total.noise.get("gram", 0.0), len(gram))
        start = derive(0, "content_pca", "lanczos").standard_normal(len(gram))
        if not gram.any():
            return np.zeros((len(gram), 0))
        values, vectors = eigsh(gram, k=self.rank, which="LA", v0=start)
        above: Float64Array = vectors[:, values > max(least, 1e-9 * values[-1])]
        return above

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, ("popularity", "item_vectors"), self.name)
        scoring.check_catalogue(weights, histories)
        vectors = weights["item_vectors"]
        if not vectors.shape[1]:
            return np.tile(weights["popularity"].astype(np.float32), (histories.num_users, 1))
        scores = (self.recency.profiles(histories).astype(np.float32) @ vectors) @ vectors.T
        return scoring.popular_where_empty(scores, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        scoring.need(weights, ("popularity", "item_vectors"), self.name)
        vectors = weights["item_vectors"].astype(np.float64)
        if not vectors.shape[1]:
            return Attribution(float(weights["popularity"][item]), np.empty(0, np.int64), np.empty(0))
        return scoring.linear_attribution(self.recency.profiles(history), vectors @ vectors[item], weights, item)


def _directions(content: Float32Array | None, num_items: int, rank: int) -> Float64Array:
    """(num_items, 1 + at most rank) ones, and the items' coordinates along the first directions of the content."""
    ones = np.ones((num_items, 1))
    if content is None or not content.any():
        return ones
    left, values, _ = np.linalg.svd(content.astype(np.float64), full_matrices=False)
    kept = min(rank, int((values > 1e-9 * values[0]).sum()))
    return np.hstack([ones, left[:, :kept] * values[:kept]])


def _square_root(gram: Float64Array, subspace: Float64Array, std: float) -> Float64Array:
    """(num_items, d) Z, with Z Z^T the square root of the positive part of the Gram within a subspace.

    subspace: (num_items, d), its columns need not be orthogonal. Without FEWEST directions above the noise, d is 0.
    """
    basis, triangular = np.linalg.qr(subspace)
    size = np.abs(triangular.diagonal())
    basis = basis[:, size > 1e-9 * max(float(size.max()), np.finfo(float).tiny)]
    within = basis.T @ gram @ basis
    values, vectors = np.linalg.eigh((within + within.T) / 2)
    if (values > max(noisy.edge(std, len(values)), 0.0)).sum() < FEWEST:
        return np.zeros((len(gram), 0))
    root: Float64Array = basis @ (vectors * np.maximum(values, 0.0) ** 0.25)
    return root
