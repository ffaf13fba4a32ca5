"""The floor that every other recommender has to beat: what most users have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models import noisy, scoring, validate
from fedrec.models.protocols import Attribution, Float64Array, ItemFeatures, Weights
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import ItemCounts


@dataclass(frozen=True)
class Popularity(Trainable):
    """The same scores for everyone: the number of users of each item.

    max_items_per_user: only so many of a user's newest items count; None for all. unit_norm: no user weighs more than
    another.
    """

    max_items_per_user: int | None = None
    unit_norm: bool = False

    name: ClassVar[str] = "popularity"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = False

    def __post_init__(self) -> None:
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        validate.boolean("unit_norm", self.unit_norm)

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`."""
        return {"num_items": np.array(items.num_items)}

    def next_statistic(self, weights: Weights) -> ItemCounts | None:
        """See `ClosedForm.next_statistic`."""
        num_items = int(weights["num_items"])
        return (
            None
            if "popularity" in weights
            else ItemCounts(num_items, self.max_items_per_user or num_items, self.unit_norm)
        )

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        counts = noisy.not_negative(total.values["counts"], total.noise.get("counts", 0.0))
        return {**weights, "popularity": counts}

    def scores(self, weights: Weights, histories: Histories) -> Float64Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, self.shared, self.name)
        scoring.check_catalogue(weights, histories)
        return np.tile(weights["popularity"].astype(np.float64), (histories.num_users, 1))

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`: the count is all there is."""
        scoring.need(weights, self.shared, self.name)
        return Attribution(float(weights["popularity"][item]), np.empty(0, np.int64), np.empty(0))
