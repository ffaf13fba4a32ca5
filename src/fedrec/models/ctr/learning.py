"""What is learnt about clicks: batches of users with their labelled events, and the loss of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fedrec.data.arrays import BoolArray, IntArray
from fedrec.errors import ModelError
from fedrec.models.ctr.rows import ClickRows
from fedrec.models.ctr.widedeep import WideDeepNetwork, tensors_of
from fedrec.models.neural.batches import of_like_length


@dataclass(frozen=True, eq=False)
class ClickBatch:
    """Events of some users; users are rows, and each row is of one user alone.

    wide, deep: (batch, width, columns) rows of the tables. clicked: (batch, width) labels, 0 or 1. mask: which events
    are there.
    """

    wide: Tensor
    deep: Tensor
    clicked: Tensor
    mask: Tensor

    @property
    def num_targets(self) -> int:
        """Number of events of all users."""
        return int(self.mask.sum())


class Clicks:
    """See `fedrec.models.neural.objectives.Task`.

    chosen: (num_events,) the events whose labels are learnt; of each user the newest `max_events`. Raises ModelError if
    there is none.
    """

    def __init__(self, rows: ClickRows, chosen: BoolArray, batch_size: int) -> None:
        self.private = rows.model.private
        self._rows, self._batch_size = rows, batch_size
        self._learnt = np.flatnonzero(chosen)
        counts = np.bincount(rows.events.histories.rows[self._learnt], minlength=rows.events.histories.num_users)
        self._users = np.flatnonzero(counts)
        if not len(self._users):
            raise ModelError("Nobody has an event to learn from; give longer histories, or hold out fewer events.")
        self._ends, self._lengths = np.cumsum(counts), np.minimum(counts, rows.model.max_events)

    @property
    def num_users(self) -> int:
        """Users in an epoch."""
        return len(self._users)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._users) // self._batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[ClickBatch]:
        """Every user once."""
        for users in of_like_length(self._users, self._lengths[self._users], self._batch_size, generator):
            yield self._batch(users)

    def loss(self, network: WideDeepNetwork, batch: ClickBatch, generator: torch.Generator) -> Tensor:
        """Mean cross-entropy of the labels; nothing is drawn."""
        return user_losses(network, batch).sum() / batch.num_targets

    def _batch(self, users: IntArray) -> ClickBatch:
        lengths = self._lengths[users]
        places = np.arange(int(lengths.max()))
        mask = places < lengths[:, None]
        which = self._learnt[((self._ends[users] - lengths)[:, None] + places)[mask]]
        wide, deep = tensors_of(self._rows.hashed(which))
        clicked, there = torch.from_numpy(self._rows.events.clicked[which]).float(), torch.from_numpy(mask)
        return ClickBatch(_padded(wide, there), _padded(deep, there), _padded(clicked, there), there)


def user_losses(network: WideDeepNetwork, batch: ClickBatch) -> Tensor:
    """(batch,) sum of the cross-entropies of each user's events; row u depends on user u's rows only."""
    log_odds = network(batch.wide, batch.deep)
    losses = binary_cross_entropy_with_logits(log_odds, batch.clicked.to(log_odds.dtype), reduction="none")
    return torch.where(batch.mask, losses, 0.0).sum(1)


def _padded(values: Tensor, there: Tensor) -> Tensor:
    """(batch, width, ...) with `values` (n, ...) where `there` (batch, width) says so, 0 elsewhere."""
    padded = torch.zeros(*there.shape, *values.shape[1:], dtype=values.dtype)
    padded[there] = values
    return padded
