"""Which content goes with which: learnt from everyone's histories, and good for items that nobody has had yet.

The idea is that of predicting what a user has from its profile, as EASE does (Steck, WWW 2019), with the content of
items in the place of their ids. V being the items' whitened content, the map is

    W = (C + shrinkage t I)^-1 C (V^T V + l2 I)^-1

with C = sum q q^T over the users' profiles q of length 1, t the mean eigenvalue of C, and V in the second inverse that
of the items which somebody has. So a direction of content counts as much as users agree on it, and C is all that leaves
the tenants: one matrix, whose size is that of the content and not of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Total
from fedrec.data.histories import Histories, IntArray
from fedrec.models import content_space, noisy, scoring, triangle, validate
from fedrec.models.content_whitening import whitening_of
from fedrec.models.protocols import Attribution, Float32Array, Float64Array, ItemFeatures, Statistic, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import ContentMoments, ContentProfiles, ItemCounts
from fedrec.models.statistics.content_profiles import with_bias

WHITENINGS = ("catalogue", "users")


@dataclass(frozen=True)
class ContentMap(Trainable):
    """Scores h V W V^T, h the weighted history, V the items' content (num_items, rank + 1), W learnt.

    rank: directions of the whitened content that are kept. whitening: "catalogue" takes them from the public
    catalogue, "users" from one more sum over users, for tenants whose catalogues are private. bias: the weight of what
    all items have in common, a vector's length being 1. shrinkage: how much users must agree on a direction for it to
    count, in mean eigenvalues. l2: regularisation of items onto their content. half_life, window: recency at scoring
    time. max_items_per_user: only so many of a user's newest items count; None for all.
    """

    rank: int = 80
    whitening: str = "catalogue"
    bias: float = 0.15
    shrinkage: float = 0.5
    l2: float = 1.0
    half_life: float | None = 6.6
    window: int | None = 50
    max_items_per_user: int | None = None

    name: ClassVar[str] = "content_map"
    shared: ClassVar[tuple[str, ...]] = (*content_space.SHARED, "content", "map")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = True

    def __post_init__(self) -> None:
        validate.whole("rank", self.rank)
        validate.one_of("whitening", self.whitening, WHITENINGS)
        for name in ("bias", "shrinkage", "l2"):
            validate.positive(name, getattr(self, name))
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        _ = self.recency

    @property
    def recency(self) -> Recency:
        """How the events of a history are weighted at scoring time."""
        return Recency(self.half_life, self.window)

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`. Raises ModelError without content vectors."""
        content, widths = content_space.content_of(items, "ContentMap"), items.widths
        known = {**content_space.named(items), "content": content, "widths": widths}
        return known if self.whitening == "users" else known | content_space.of_catalogue(content, widths, self.rank)

    def next_statistic(self, weights: Weights) -> Statistic | None:
        """See `ClosedForm.next_statistic`."""
        if "map" in weights:
            return None
        num_items = int(weights["num_items"])
        limit = self.max_items_per_user or num_items
        if "popularity" not in weights:
            return ItemCounts(num_items, limit)
        content = weights["content"]
        if "basis" not in weights:
            return ContentMoments(content, weights["widths"], limit)
        return ContentProfiles(content, weights["widths"], weights["mean"], weights["basis"], self.bias, limit)

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        if "counts" in total.values:
            counts = noisy.not_negative(total.values["counts"], total.noise.get("counts", 0.0))
            return {**weights, "popularity": counts}
        if "moment" in total.values:
            return {**weights, **self._whitening(weights["widths"], total)}
        return self._fitted(weights, total)

    def _whitening(self, widths: IntArray, total: Total) -> Weights:
        order = int(widths.sum()) + len(widths)
        moment = triangle.unpack(total.values["moment"], order)
        least = noisy.edge(total.noise.get("moment", 0.0), order)
        return content_space.weights_of(whitening_of(moment, widths, self.rank, least))

    def _fitted(self, weights: Weights, total: Total) -> Weights:
        vectors = with_bias(content_space.whitening_in(weights).apply(weights["content"]), self.bias)
        noise = total.noise.get("profiles", 0.0)
        agreed = _agreement(triangle.unpack(total.values["profiles"], vectors.shape[1]), self.shrinkage, noise)
        had = weights["popularity"] > 0  # what nobody has had tells nothing of what users want; noise hides which it is
        known = vectors if noise else vectors[had]
        ridge = known.T @ known + self.l2 * np.eye(vectors.shape[1])
        kept = {name: value for name, value in weights.items() if name != "content"}
        learnt = np.linalg.solve(ridge, agreed).T
        return {**kept, "item_vectors": vectors.astype(np.float32), "map": learnt.astype(np.float32)}

    def over(self, weights: Weights, items: ItemFeatures, popularity: Float64Array) -> Weights:
        """See `Extendable.over`."""
        changed, content = content_space.over(weights, items, popularity, "ContentMap")
        return {**changed, "item_vectors": with_bias(content, self.bias).astype(np.float32)}

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, ("popularity", "item_vectors", "map"), self.name)
        scoring.check_catalogue(weights, histories)
        vectors = weights["item_vectors"]
        wanted = (self.recency.profiles(histories).astype(np.float32) @ vectors) @ weights["map"]
        return scoring.popular_where_empty(wanted @ vectors.T, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        scoring.need(weights, ("popularity", "item_vectors", "map"), self.name)
        vectors = weights["item_vectors"].astype(np.float64)
        column = vectors @ (weights["map"] @ vectors[item])
        return scoring.linear_attribution(self.recency.profiles(history), column, weights, item)


def _agreement(profiles: Float64Array, shrinkage: float, noise: float) -> Float64Array:
    """(C + f I)^-1 C, within the positive directions of C; noise can make others. f is shrinkage t, and half the
    largest eigenvalue that noise of standard deviation `noise` makes."""
    values, vectors = np.linalg.eigh(profiles)
    kept = np.maximum(values, 0.0)
    floor = shrinkage * max(float(values.mean()), np.finfo(float).tiny) + noisy.edge(noise, len(values)) / 2
    agreed: Float64Array = (vectors * (kept / (kept + floor))) @ vectors.T
    return agreed
