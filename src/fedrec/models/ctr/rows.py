"""One owner's rows as a model of clicks sees them: labelled, split, hashed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedrec.data.arrays import BoolArray, IntArray
from fedrec.data.catalogue import Catalogue
from fedrec.data.dataset import Dataset
from fedrec.models.ctr.events import ClickEvents, ClickSplit, hold_out
from fedrec.models.ctr.features import Hashed, Hashing, contexts
from fedrec.models.ctr.metrics import ClickProtocol, ClickSums
from fedrec.models.ctr.widedeep import WideDeep, WideDeepNetwork, probabilities


@dataclass(frozen=True, eq=False)
class ClickRows:
    """Events over a catalogue, for one model."""

    model: WideDeep
    catalogue: Catalogue
    events: ClickEvents

    @staticmethod
    def of(dataset: Dataset, model: WideDeep) -> ClickRows:
        """The rows of a dataset."""
        return ClickRows(model, dataset.catalogue, ClickEvents.of(dataset, model.click_at))

    @cached_property
    def split(self) -> ClickSplit:
        """What is held out."""
        return hold_out(self.events, self.model.held_out)

    @cached_property
    def hashing(self) -> Hashing:
        """Of contexts over the catalogue."""
        return Hashing(self.catalogue, self.model)

    def hashed(self, which: IntArray) -> Hashed:
        """The features of the events at positions `which`."""
        return self.hashing(contexts(self.events, which, self.model.recent))


def measured(network: WideDeepNetwork, rows: ClickRows, chosen: BoolArray, protocol: ClickProtocol) -> ClickSums:
    """How well the events that `chosen` (num_events,) marks are predicted."""
    which, events = np.flatnonzero(chosen), rows.events
    predicted = probabilities(network, rows.hashing, contexts(events, which, rows.model.recent))
    return ClickSums.of(events.histories.rows[which], events.clicked[which], predicted, protocol)
