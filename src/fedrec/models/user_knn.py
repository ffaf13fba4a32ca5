"""User k-nearest neighbours. The neighbours are people: they stay with their tenant, so this recommender is
never federated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from fedrec.contribution import Total
from fedrec.data.histories import CsrMatrix, Histories
from fedrec.models import scoring, validate
from fedrec.models.distinct import newest_distinct
from fedrec.models.neighbours import nearest
from fedrec.models.protocols import Attribution, Float32Array, ItemFeatures, Weights
from fedrec.models.recency import Recency
from fedrec.models.recommender import Trainable
from fedrec.models.statistics import ItemCounts

COSINES_AT_A_TIME = 1 << 22  # 32 MB of them


@dataclass(frozen=True)
class UserKNN(Trainable):
    """Scores are sums of cosine(history, v) over the `neighbours` nearest users v of the same tenant who have
    the item.

    Only the popularity is federated. The histories of the tenant's own users, among whom the neighbours are
    found, are private weights, made by `localise`. half_life, window: recency of the history at scoring time.
    max_items_per_user: only so many of a user's newest items count; None for all.
    """

    neighbours: int = 50
    half_life: float | None = 3.0
    window: int | None = 50
    max_items_per_user: int | None = None

    name: ClassVar[str] = "user_knn"
    shared: ClassVar[tuple[str, ...]] = ("num_items", "popularity")
    private: ClassVar[tuple[str, ...]] = ("user_starts", "user_items")
    uses_content: ClassVar[bool] = False

    def __post_init__(self) -> None:
        validate.whole("neighbours", self.neighbours)
        validate.optional_whole("max_items_per_user", self.max_items_per_user)
        _ = self.recency

    @property
    def recency(self) -> Recency:
        """How the events of a history are weighted at scoring time."""
        return Recency(self.half_life, self.window)

    def begin(self, items: ItemFeatures) -> Weights:
        """See `ClosedForm.begin`."""
        return {"num_items": np.array(items.num_items)}

    def next_statistic(self, weights: Weights) -> ItemCounts | None:
        """See `ClosedForm.next_statistic`."""
        num_items = int(weights["num_items"])
        return None if "popularity" in weights else ItemCounts(num_items, self.max_items_per_user or num_items)

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """See `ClosedForm.absorb`."""
        return {**weights, "popularity": total.values["counts"]}

    def localise(self, weights: Weights, histories: Histories) -> Weights:
        """See `Localised.localise`."""
        kept = newest_distinct(histories, self.max_items_per_user or histories.num_items)
        return {**weights, "user_starts": kept.indptr, "user_items": kept.items}

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """See `ClosedForm.scores`. A user who is among the neighbours gains nothing but on its own items."""
        scoring.need(weights, (*self.shared, *self.private), self.name)
        scoring.check_catalogue(weights, histories)
        stored = _stored(weights)
        scores = np.zeros((histories.num_users, histories.num_items), dtype=np.float32)
        profiles = self.recency.profiles(histories)
        step = max(1, COSINES_AT_A_TIME // max(1, stored.shape[0]))
        for start in range(0, histories.num_users, step):
            near = self._neighbours(profiles[start : start + step], stored)
            scores[start : start + step] = (near @ stored).toarray()
        return scoring.popular_where_empty(scores, histories, weights)

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`: each cosine is itself a sum over the items in common."""
        scoring.need(weights, (*self.shared, *self.private), self.name)
        profile, stored = self.recency.profiles(history), _stored(weights)
        near = self._neighbours(profile, stored)
        chosen = stored[near.indices].tocsc()
        supports = chosen[:, [item]].toarray().ravel() * _reciprocal_norms(chosen.tocsr())
        column = chosen[:, profile.indices].T @ supports
        return scoring.shares_of(profile, profile.data * column * _reciprocal_norms(profile)[0], weights, item)

    def _neighbours(self, profiles: CsrMatrix, stored: CsrMatrix) -> CsrMatrix:
        """(num_users, num_stored) float32 cosines with the nearest stored users, 0 elsewhere."""
        common = (profiles @ stored.T.tocsc()).toarray()
        cosines = common * _reciprocal_norms(profiles)[:, None] * _reciprocal_norms(stored)
        columns, values = nearest(cosines, self.neighbours)
        indptr = np.arange(len(columns) + 1) * columns.shape[1]
        matrix = sp.csr_array((values.ravel(), columns.ravel(), indptr), shape=cosines.shape)
        matrix.eliminate_zeros()
        return matrix


def _stored(weights: Weights) -> CsrMatrix:
    histories = Histories(weights["user_starts"], weights["user_items"], int(weights["num_items"]))
    return histories.binary().astype(np.float32)


def _reciprocal_norms(matrix: CsrMatrix) -> Float32Array:
    norms = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    reciprocals: Float32Array = np.where(norms > 0, 1 / np.maximum(norms, 1e-30), 0.0).astype(np.float32)
    return reciprocals
