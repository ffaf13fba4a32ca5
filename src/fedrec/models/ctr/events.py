"""Events with a label: was it a click? And which of them a model is fitted on, chosen by and measured on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedrec.data.arrays import BoolArray, IntArray
from fedrec.data.dataset import Dataset
from fedrec.data.histories import Histories


@dataclass(frozen=True, eq=False)
class ClickEvents:
    """The events of one owner's users, user by user, oldest first, as in `histories`.

    times: (num_events,) unix seconds. clicked: (num_events,) the labels.
    """

    histories: Histories
    times: IntArray
    clicked: BoolArray

    @staticmethod
    def of(dataset: Dataset, click_at: float) -> ClickEvents:
        """An event is a click if its weight is at least `click_at`: a rating, a quantity, or 0 and 1."""
        order = dataset.interactions.chronological()
        times, weights = dataset.interactions.times[order], dataset.interactions.weights[order]
        return ClickEvents(dataset.histories(), times, weights >= click_at)

    @cached_property
    def first(self) -> IntArray:
        """(num_events,) position of the oldest event of the same user."""
        first: IntArray = np.repeat(self.histories.indptr[:-1], self.histories.lengths)
        return first

    @cached_property
    def known(self) -> IntArray:
        """(num_events,) events from `first` up to here, without this one, are known when the event happens.

        Events of one second do not know of each other: their order may be that of a file.
        """
        position = np.arange(self.histories.num_events)
        begins = np.ones(len(position), dtype=np.bool_)
        begins[1:] = (np.diff(self.times) > 0) | (np.diff(self.histories.rows) > 0)
        known: IntArray = np.maximum.accumulate(np.where(begins, position, 0))
        return known

    @cached_property
    def num_clicks(self) -> IntArray:
        """(num_events + 1,) clicks among the events before each position."""
        clicks: IntArray = np.concatenate([[0], np.cumsum(self.clicked)])
        return clicks


@dataclass(frozen=True, eq=False)
class ClickSplit:
    """Masks (num_events,) over the events. train: to fit models that are compared on `validation`; fit: both, to fit
    the model that is measured on `test`. The history of an event is all that its user did before, in whichever part."""

    train: BoolArray
    validation: BoolArray
    fit: BoolArray
    test: BoolArray


def hold_out(events: ClickEvents, count: int) -> ClickSplit:
    """The last `count` events of each user are for the test, as many before them for validation.

    Users with fewer than three times as many keep all of them in `train` and `fit`.
    """
    histories = events.histories
    ages, few = histories.ages, (histories.lengths < 3 * count)[histories.rows]
    fit, train = few | (ages >= count), few | (ages >= 2 * count)
    return ClickSplit(train, fit & ~train, fit, ~fit)
