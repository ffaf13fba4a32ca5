"""Items whose content is like that of the history: needs nobody's data, and recommends items nobody has had
yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.errors import ModelError
from fedrec.models import scoring, validate
from fedrec.models.protocols import Attribution, Float32Array, ItemFeatures, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import ItemCounts


@dataclass(frozen=True)
class ContentKNN(Trainable):
    """Scores h C C^T, C the public content vectors (num_items, d), h the weighted history.

    half_life, window: recency at scoring time. max_items_per_user: only so many of a user's newest items
    count towards the popularity that users without a history get; None for all.
    """

    half_life: float | None = 6.6
    window: int | None = 50
    max_items_per_user: int | None = None

    name: ClassVar[str] = "content_knn"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity", "content")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = True

    def __post_init__(self) -> None:
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        _ = self.recency

    @property
    def recency(self) -> Recency:
        """How the events of a history are weighted at scoring time."""
        return Recency(self.half_life, self.window)

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`. Raises ModelError without content vectors."""
        if items.content is None:
            raise ModelError(
                "ContentKNN needs content vectors; give ItemFeatures(num_items, content), "
                "for example from fedrec.content.HashedEncoder().encode(catalogue)."
            )
        return {"num_items": np.array(items.num_items), "content": items.content.astype(np.float32)}

    def next_statistic(self, weights: Weights) -> ItemCounts | None:
        """See `ClosedForm.next_statistic`."""
        num_items = int(weights["num_items"])
        return None if "popularity" in weights else ItemCounts(num_items, self.max_items_per_user or num_items)

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        return {**weights, "popularity": total.values["counts"]}

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, self.shared, self.name)
        scoring.check_catalogue(weights, histories)
        content = weights["content"]
        scores = (self.recency.profiles(histories).astype(np.float32) @ content) @ content.T
        return scoring.popular_where_empty(scores, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        scoring.need(weights, self.shared, self.name)
        content = weights["content"].astype(np.float64)
        return scoring.linear_attribution(self.recency.profiles(history), content @ content[item], weights, item)
