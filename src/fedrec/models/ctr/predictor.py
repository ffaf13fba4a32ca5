"""A trained model of clicks: how probable is a click on an item, if it is shown to a user at a given time?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedrec.data.dataset import Dataset
from fedrec.models.ctr.features import contexts_at
from fedrec.models.ctr.rows import ClickRows
from fedrec.models.ctr.widedeep import WideDeep, WideDeepNetwork, probabilities
from fedrec.models.ids import Ids
from fedrec.models.neural.network import put_arrays
from fedrec.models.protocols import AnyArray
from fedrec.models.recommender import Id, Recommendation


@dataclass(frozen=True, eq=False)
class ClickPredictor:
    """A model, its weights, and the rows of the users that it knows, in memory only."""

    model: WideDeep
    weights: Mapping[str, AnyArray]
    dataset: Dataset

    @cached_property
    def network(self) -> WideDeepNetwork:
        """The network, ready to predict."""
        network = self.model.build(self.dataset.num_items, 0, 0)
        put_arrays(network, self.weights)
        return network.eval()

    @cached_property
    def rows(self) -> ClickRows:
        """The dataset as the model sees it."""
        return ClickRows.of(self.dataset, self.model)

    def rank(self, user: Id, at: int, item_ids: Iterable[Id] | None = None) -> list[Recommendation]:
        """Items with the probability of a click as their score, best first; of equals, the earlier in the catalogue.

        at: unix seconds; what the user did from then on is not looked at. item_ids: None is the whole catalogue. Raises
        UnknownUser, UnknownItem.
        """
        catalogue, users = self.dataset.catalogue, self.dataset.interactions.user_ids
        row = int(Ids("user", tuple(users)).positions([user])[0])
        wanted = catalogue.item_ids if item_ids is None else [str(item) for item in item_ids]
        items = np.unique(catalogue.positions(wanted))
        shown = contexts_at(self.rows.events, row, (items, at), self.model.recent)
        predicted = probabilities(self.network, self.rows.hashing, shown)
        order = np.argsort(-predicted, kind="stable")
        return [Recommendation(catalogue.item_ids[items[place]], float(predicted[place])) for place in order]
