"""What is held out to choose (validation) and to report (test); everything is per user and in order of time.

An event is a *discovery* if its user had not met the item before. Only discoveries are targets, since items
that were already met are removed from every ranking. Events of one user at one time keep the order of the
source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fedrec.data.arrays import BoolArray, IntArray, frozen_ints
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, FedrecError

if TYPE_CHECKING:
    from fedrec.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Fold:
    """Users with something to predict, all three aligned: row i belongs to one user.

    history: what is known of the user. targets: what comes next, at least one item. users: (num_rows,) int64,
    the users' positions in the dataset, ascending.
    """

    history: Histories
    targets: Histories
    users: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", frozen_ints(self.users))

    @property
    def num_users(self) -> int:
        """Number of rows."""
        return self.history.num_users


@dataclass(frozen=True, eq=False)
class Split:
    """One division of a dataset. `train` and `fit` have a row for every user of it.

    train: to fit models that are compared on `validation`. fit: train and validation together, to fit the
    chosen model. The test fold is had once, from `open_test`.
    """

    train: Histories
    validation: Fold
    fit: Histories
    _test: Fold = field(repr=False)
    _opened: list[bool] = field(default_factory=list, init=False, repr=False)

    def open_test(self) -> Fold:
        """The test fold. It may be opened once, so that nothing is chosen by it.

        Raises:
            FedrecError: it was opened before.
        """
        if self._opened:
            raise FedrecError(
                "The test fold was already opened: what is chosen after reading a test result is no test; "
                "compare on `validation`, keep the fold that was returned, or split the dataset again."
            )
        self._opened.append(True)
        return self._test

    @property
    def left_out_of_validation(self) -> int:
        """Number of users who are not in the validation fold."""
        return self.train.num_users - self.validation.num_users

    @property
    def left_out_of_test(self) -> int:
        """Number of users who are not in the test fold."""
        return self.fit.num_users - self._test.num_users


def leave_last_out(histories: Histories) -> Split:
    """The last discovery of each user is the test target, the last one before it the validation target.

    A history is every event before its target in the order of `histories`: by time and, within equal times,
    in the order of the source. What follows the test target (only items met before) is used nowhere. Users
    with fewer than 3 distinct items keep all their events in `train` and `fit` and are in no fold.
    """
    discoveries = _discoveries(histories)
    position = np.arange(histories.num_events)
    num_distinct = np.bincount(histories.rows[discoveries], minlength=histories.num_users)
    tested = num_distinct >= 3
    last = _last_where(discoveries, histories)
    before = _last_where(discoveries & (position < last[histories.rows]), histories)
    in_no_fold = ~tested[histories.rows]

    def fold(target: IntArray) -> Fold:
        users = np.flatnonzero(tested)
        history = histories.keep(position < target[histories.rows]).select(users)
        targets = Histories(np.arange(len(users) + 1), histories.items[target[users]], histories.num_items)
        return Fold(history, targets, users)

    train = histories.keep(in_no_fold | (position < before[histories.rows]))
    fit = histories.keep(in_no_fold | (position < last[histories.rows]))
    return Split(train, fold(before), fit, fold(last))


def global_time_split(dataset: Dataset, validation: float = 0.1, test: float = 0.1, new_users: bool = False) -> Split:
    """`split_at` the moments of `start_moments`.

    Raises:
        ConfigError: a share is not between 0 and 1, together they leave no training event, or a period has no
        target.
    """
    split = split_at(dataset, *start_moments(dataset, validation, test), new_users)
    if not split.validation.num_users or split.left_out_of_test == dataset.num_users:
        raise ConfigError("No user discovers an item in a period of the split; choose larger shares.")
    return split


def start_moments(dataset: Dataset, validation: float = 0.1, test: float = 0.1) -> tuple[int, int]:
    """When validation and test begin (unix seconds), so that about such shares of the events are in each.

    Raises:
        ConfigError: a share is not between 0 and 1, or together they leave no training event.
    """
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ConfigError(f"Expected 0 < validation, test and a sum < 1, got {validation=}, {test=}.")
    ordered = np.sort(dataset.interactions.times)
    test_start = int(ordered[int(len(ordered) * (1 - test))])
    validation_start = int(ordered[int(len(ordered) * (1 - test - validation))])
    if ordered[0] >= validation_start or validation_start == test_start:
        raise ConfigError(
            f"Too many events share one second to cut off {validation=} and {test=}; choose larger shares "
            "or use leave_last_out."
        )
    return validation_start, test_start


def split_at(dataset: Dataset, validation_start: int, test_start: int, new_users: bool = False) -> Split:
    """Everything from one moment on is validation, from a later moment on it is test, for all users alike.

    Events of the same second are never separated. Targets are a user's discoveries within the period. Users
    who had no event before the period are in its fold only with `new_users`, then with an empty history. A
    fold may be empty.
    """
    histories = dataset.histories()
    times = dataset.interactions.times[dataset.interactions.chronological()]
    train, fit = times < validation_start, times < test_start
    return Split(
        histories.keep(train),
        _period(histories, train, fit & ~train, new_users),
        histories.keep(fit),
        _period(histories, fit, ~fit, new_users),
    )


def _period(histories: Histories, before: BoolArray, within: BoolArray, new_users: bool) -> Fold:
    history, targets = histories.keep(before), histories.keep(_discoveries(histories) & within)
    kept = targets.lengths > 0
    if not new_users:
        kept &= history.lengths > 0
    users = np.flatnonzero(kept)
    return Fold(history.select(users), targets.select(users), users)


def _discoveries(histories: Histories) -> BoolArray:
    """(num_events,) whether the event is its user's first on its item."""
    first = np.unique(histories.rows * histories.num_items + histories.items, return_index=True)[1]
    mask = np.zeros(histories.num_events, dtype=np.bool_)
    mask[first] = True
    return mask


def _last_where(mask: BoolArray, histories: Histories) -> IntArray:
    """(num_users,) position of each user's last event where `mask` is true, -1 if there is none."""
    last = np.full(histories.num_users, -1, dtype=np.int64)
    events = np.flatnonzero(mask)
    last[histories.rows[events]] = events  # positions ascend, so the last one stays
    return last
