"""EASE: the linear item-item recommender in closed form (Steck, "Embarrassingly Shallow Autoencoders for
Sparse Data", WWW 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import lapack

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models import limits, noisy, scoring, triangle, validate
from fedrec.models.protocols import Attribution, Float32Array, Float64Array, ItemFeatures, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import ItemGram


@dataclass(frozen=True)
class EASE(Trainable):
    """Item weights B that minimise |X - X B|^2 + l2 |B|^2 with a zero diagonal: B_ij = -P_ij / P_jj, P = (X^T
    X + l2 I)^-1.

    l2: the more users, the larger. half_life, window: recency at scoring time, see `Recency`; the default is
    a weight of 0.9 per event of age. max_items_per_user: only so many of a user's newest items count; None
    for all. unit_norm: no user weighs more than another. catalogue_limit: refuse larger catalogues.

    Where the Gram has noise, l2 is raised by the largest eigenvalue that noise alone has.
    """

    l2: float = 300.0
    half_life: float | None = 6.6
    window: int | None = 50
    max_items_per_user: int | None = None
    unit_norm: bool = False
    catalogue_limit: int = limits.MAX_PAIR_ITEMS

    name: ClassVar[str] = "ease"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity", "item_weights")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = False

    def __post_init__(self) -> None:
        validate.positive("l2", self.l2)
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
        limits.check_pairs("EASE", items.num_items, self.catalogue_limit, triangle.size(items.num_items))
        return {"num_items": np.array(items.num_items)}

    def next_statistic(self, weights: Weights) -> ItemGram | None:
        """See `ClosedForm.next_statistic`."""
        num_items = int(weights["num_items"])
        return (
            None
            if "item_weights" in weights
            else ItemGram(num_items, self.max_items_per_user or num_items, self.unit_norm)
        )

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        gram = triangle.unpack(total.values["gram"], int(weights["num_items"]))
        std = total.noise.get("gram", 0.0)
        popularity = noisy.not_negative(gram.diagonal().copy(), std)
        l2 = self.l2 + noisy.edge(std, len(gram))
        return {**weights, "popularity": popularity, "item_weights": _item_weights(gram, l2)}

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, self.shared, self.name)
        scoring.check_catalogue(weights, histories)
        scores = self.recency.profiles(histories).astype(np.float32) @ weights["item_weights"]
        return scoring.popular_where_empty(scores, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        scoring.need(weights, self.shared, self.name)
        column = weights["item_weights"][:, item].astype(np.float64)
        return scoring.linear_attribution(self.recency.profiles(history), column, weights, item)


def _item_weights(gram: Float64Array, l2: float) -> Float32Array:
    """(num_items, num_items) B of a Gram, which is overwritten. Items without events have weights 0 at no cost."""
    active = np.flatnonzero(gram.any(axis=1))
    if len(active) == len(gram):
        return _solved(gram, l2)
    weights = np.zeros(gram.shape, dtype=np.float32)
    if len(active):
        weights[np.ix_(active, active)] = _solved(gram[np.ix_(active, active)], l2)
    return weights


def _solved(gram: Float64Array, l2: float) -> Float32Array:
    """As `_item_weights`, for items that all have events. In float64: float32 is only twice as fast."""
    diagonal = np.arange(len(gram))
    gram[diagonal, diagonal] += l2
    inverse = _inverse(gram, smallest=l2)
    inverse /= -inverse.diagonal().copy()
    inverse[diagonal, diagonal] = 0.0
    return inverse.astype(np.float32)


def _inverse(matrix: Float64Array, smallest: float) -> Float64Array:
    """Inverse of a symmetric matrix; eigenvalues below `smallest`, which only noise can make, are raised to
    it."""
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=0, clean=0)
    if failed:
        values, vectors = np.linalg.eigh(matrix)
        inverse: Float64Array = (vectors / np.maximum(values, smallest)) @ vectors.T
        return inverse
    lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    upper: Float64Array = lower.T  # in C order, without a copy
    triangle.mirror(upper)
    return upper
