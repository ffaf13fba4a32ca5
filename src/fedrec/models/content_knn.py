"""Items whose content is like that of the history: needs nobody's data, and recommends items nobody has had
yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models import content_space, scoring, validate
from fedrec.models.protocols import Attribution, Float32Array, Float64Array, ItemFeatures, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import ItemCounts


@dataclass(frozen=True)
class ContentKNN(Trainable):
    """Scores h V V^T, V the items' public content, whitened, (num_items, rank), h the weighted history.

    rank: directions of the content that are kept. half_life, window: recency at scoring time. max_items_per_user: only
    so many of a user's newest items count towards the popularity that users without a history get; None for all.
    """

    rank: int = 96
    half_life: float | None = 6.6
    window: int | None = 50
    max_items_per_user: int | None = None

    name: ClassVar[str] = "content_knn"
    shared: ClassVar[tuple[str, ...]] = content_space.SHARED
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = True

    def __post_init__(self) -> None:
        validate.whole("rank", self.rank)
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        _ = self.recency

    @property
    def recency(self) -> Recency:
        """How the events of a history are weighted at scoring time."""
        return Recency(self.half_life, self.window)

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`. Raises ModelError without content vectors."""
        content = content_space.content_of(items, "ContentKNN")
        whitening = content_space.of_catalogue(content, items.widths, self.rank)
        vectors = content_space.whitening_in(whitening).apply(content)
        return {**content_space.named(items), **whitening, "item_vectors": vectors.astype(np.float32)}

    def next_statistic(self, weights: Weights) -> ItemCounts | None:
        """See `ClosedForm.next_statistic`."""
        num_items = int(weights["num_items"])
        return None if "popularity" in weights else ItemCounts(num_items, self.max_items_per_user or num_items)

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        return {**weights, "popularity": total.values["counts"]}

    def over(self, weights: Weights, items: ItemFeatures, popularity: Float64Array) -> Weights:
        """See `Extendable.over`."""
        changed, content = content_space.over(weights, items, popularity, "ContentKNN")
        return {**changed, "item_vectors": content.astype(np.float32)}

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, ("popularity", "item_vectors"), self.name)
        scoring.check_catalogue(weights, histories)
        vectors = weights["item_vectors"]
        scores = (self.recency.profiles(histories).astype(np.float32) @ vectors) @ vectors.T
        return scoring.popular_where_empty(scores, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        scoring.need(weights, ("popularity", "item_vectors"), self.name)
        vectors = weights["item_vectors"].astype(np.float64)
        return scoring.linear_attribution(self.recency.profiles(history), vectors @ vectors[item], weights, item)
