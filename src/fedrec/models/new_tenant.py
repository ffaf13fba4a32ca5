"""A model at a tenant that had no part in its training: its users from their own histories, its items by id or content.

A recommender that knows items by their content takes on the tenant's whole catalogue. Any other one knows the items
whose ids it was trained with; the tenant's other items are read past in a history and ranked behind all known ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fedrec.data.histories import Histories, IntArray
from fedrec.errors import ModelError
from fedrec.models.protocols import AnyArray, Attribution, Extendable, Float64Array, Scoring, Weights
from fedrec.models.recommender import Recommender

if TYPE_CHECKING:
    from fedrec.content import ItemEncoder
    from fedrec.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Aligned:
    """A recommender over another catalogue, the items of which it knows as far as they are its own.

    fitted: its weights over its own catalogue; those that `scores` is given are only the popularity here. positions:
    (num_items,) where each item of this catalogue is among its own, -1 for none.
    """

    base: Scoring
    fitted: Weights
    positions: IntArray

    name: ClassVar[str] = "aligned"
    uses_content: ClassVar[bool] = False
    shared: ClassVar[tuple[str, ...]] = ("popularity",)
    private: ClassVar[tuple[str, ...]] = ()

    def scores(self, weights: Weights, histories: Histories) -> Float64Array:
        """See `ClosedForm.scores`; -inf for items that the recommender does not know."""
        known = self.positions >= 0
        scores = np.full((histories.num_users, histories.num_items), -np.inf)
        scores[:, known] = self.base.scores(self.fitted, self._own(histories))[:, self.positions[known]]
        return scores

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`. Raises ModelError for an item that the recommender does not know."""
        if self.positions[item] < 0:
            raise ModelError(f"{self.base.name} was trained without this item, so there is nothing to explain.")
        why = self.base.attribution(self.fitted, self._own(history), int(self.positions[item]))
        here = np.full(len(self.fitted["popularity"]), -1, np.int64)
        here[self.positions[self.positions >= 0]] = np.flatnonzero(self.positions >= 0)
        return Attribution(why.base, here[why.items], why.shares)

    def _own(self, histories: Histories) -> Histories:
        """Histories over the recommender's own catalogue, without the items that it does not know."""
        part = histories.keep(self.positions[histories.items] >= 0)
        return Histories(part.indptr, self.positions[part.items], len(self.fitted["popularity"]))


def for_tenant(recommender: Recommender, dataset: Dataset, encoder: ItemEncoder | None = None) -> Recommender:
    """A saved or received model for the users and the items of a tenant that it was trained without.

    encoder: of the tenant's items, where the model knows items by content; by default the one that it names.

    Raises:
        ModelError: the model was fitted with another encoder, or knows items by ids of which the tenant has none.
    """
    if tuple(recommender.item_ids) == tuple(dataset.catalogue.item_ids):
        return recommender.attach(dataset)
    if isinstance(recommender.algorithm, Extendable):
        return recommender.over(dataset.catalogue, encoder).attach(dataset)
    return _aligned(recommender, dataset.catalogue.item_ids).attach(dataset)


def _aligned(recommender: Recommender, item_ids: Sequence[str]) -> Recommender:
    own = {item: position for position, item in enumerate(recommender.item_ids)}
    positions = np.array([own.get(item, -1) for item in item_ids], np.int64)
    if (positions < 0).all():
        raise ModelError(
            f"{recommender.algorithm.name} knows items by their ids, such as '{recommender.item_ids[0]}', and the "
            f"tenant has none of them; use content_map or content_knn, which know items by their content."
        )
    counts: AnyArray = recommender.weights["popularity"]
    popularity = np.where(positions >= 0, counts[positions], 0.0)
    return Recommender(
        Aligned(recommender.algorithm, recommender.weights, positions), {"popularity": popularity}, item_ids
    )
