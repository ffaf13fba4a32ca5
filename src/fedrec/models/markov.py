"""First-order Markov chain over the newest items (the floor of sequential recommendation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models import limits, noisy, scoring, validate
from fedrec.models.protocols import Attribution, Float32Array, ItemFeatures, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import Transitions


@dataclass(frozen=True)
class Markov(Trainable):
    """Scores are sums over the newest items i of P_ij = n_ij / (n_i + shrinkage), n_ij users having gone from
    i to j.

    half_life, window: recency at scoring time; the default weights the last three events 1, 0.5, 0.25.
    max_items_per_user: only so many of a user's newest steps count; None for as many as there are items.
    unit_norm: no user weighs more than another. catalogue_limit: refuse larger catalogues. Steps that noise alone could
    have made are left out.
    """

    shrinkage: float = 5.0
    half_life: float | None = 1.0
    window: int | None = 3
    max_items_per_user: int | None = None
    unit_norm: bool = False
    catalogue_limit: int = limits.MAX_PAIR_ITEMS

    name: ClassVar[str] = "markov"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity", "transitions")
    private: ClassVar[tuple[str, ...]] = ()
    uses_content: ClassVar[bool] = False

    def __post_init__(self) -> None:
        validate.positive("shrinkage", self.shrinkage)
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
        limits.check_pairs("Markov", items.num_items, self.catalogue_limit, items.num_items**2)
        return {"num_items": np.array(items.num_items)}

    def next_statistic(self, weights: Weights) -> Transitions | None:
        """See `ClosedForm.next_statistic`."""
        num_items = int(weights["num_items"])
        return (
            None
            if "transitions" in weights
            else Transitions(num_items, self.max_items_per_user or num_items, self.unit_norm)
        )

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`: the popularity of an item is its arrivals or departures, whichever are
        more."""
        counts = noisy.clear(total.values["transitions"], total.noise.get("transitions", 0.0))
        departures = counts.sum(axis=1)
        transitions = (counts / (departures + self.shrinkage)[:, None]).astype(np.float32)
        popularity = np.maximum(departures, counts.sum(axis=0))
        return {**weights, "popularity": popularity, "transitions": transitions}

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`."""
        scoring.need(weights, self.shared, self.name)
        scoring.check_catalogue(weights, histories)
        scores = self.recency.profiles(histories).astype(np.float32) @ weights["transitions"]
        return scoring.popular_where_empty(scores, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        scoring.need(weights, self.shared, self.name)
        column = weights["transitions"][:, item].astype(np.float64)
        return scoring.linear_attribution(self.recency.profiles(history), column, weights, item)
