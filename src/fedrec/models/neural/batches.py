"""Training batches of users: drawn anew each epoch from given generators, of like length, padded at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedrec.data.histories import Histories, IntArray
from fedrec.errors import ModelError
from fedrec.models.neural.protocol import Objective

LENGTH_JITTER = 0.3  # in units of log length: enough that batches differ between epochs, too little to pad much


@dataclass(frozen=True, eq=False)
class Batch:
    """What some users had and what came next; users are rows, and each row is of one user alone.

    inputs: (batch, length) items. lengths: (batch,) of them are there. targets, mask: (batch, width) items to be
    ranked first, and which of them are there. Under objective `next`, target p follows input p.
    """

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    mask: Tensor

    @property
    def num_targets(self) -> int:
        """Number of targets of all users."""
        return int(self.mask.sum())


class Batches:
    """Batches of `batch_size` of the users who have at least two events.

    max_length: newest events that are used of a history, as input and as targets.
    may_be_empty: private training says nothing of a tenant by which one could tell that it has no such user.
    Raises ModelError if there is no such user.
    """

    def __init__(
        self, histories: Histories, objective: Objective, max_length: int, batch_size: int, may_be_empty: bool = False
    ) -> None:
        self._users = np.flatnonzero(histories.lengths >= 2)
        if not len(self._users) and not may_be_empty:
            raise ModelError("Nobody has two events, so there is nothing to learn; give longer histories.")
        self._items = torch.from_numpy(np.array(histories.items))
        self._ends = histories.indptr[1:]
        self._lengths = histories.lengths
        self._objective, self._max_length, self._batch_size = objective, max_length, batch_size

    @property
    def num_users(self) -> int:
        """Users in an epoch."""
        return len(self._users)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._users) // self._batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Every user once."""
        return self.of_users(np.arange(self.num_users), self._batch_size, generator)

    def of_users(self, positions: IntArray, most: int, generator: torch.Generator) -> Iterator[Batch]:
        """The users at `positions` among those of an epoch, at most so many at a time."""
        chosen = self._users[positions]
        used = np.minimum(self._lengths[chosen], self._max_length + 1)
        for users in of_like_length(chosen, used, most, generator):
            yield self._next(users) if self._objective == "next" else self._rest(users, generator)

    def of_rows(self, positions: IntArray, rows: int, generator: torch.Generator) -> Iterator[tuple[Batch, int]]:
        """The users at `positions` in their order, and how many each batch has. All batches have one shape, whoever is
        in them: as many rows as `rows`, inputs and targets as wide as `max_length`. Rows after the users are made up.
        """
        chosen = self._users[positions]
        for start in range(0, len(chosen), rows):
            users = chosen[start : start + rows]
            batch = self._next(users) if self._objective == "next" else self._rest(users, generator)
            yield filled(batch, rows, self._max_length), len(users)

    def _next(self, users: IntArray) -> Batch:
        """Each event after the first, from all before it."""
        lengths = np.minimum(self._lengths[users] - 1, self._max_length)
        starts = self._ends[users] - 1 - lengths
        inputs, mask = self._window(starts, lengths)
        targets, _ = self._window(starts + 1, lengths)
        return Batch(inputs, torch.from_numpy(lengths), targets, mask)

    def _rest(self, users: IntArray, generator: torch.Generator) -> Batch:
        """The events after a random one, from those up to it."""
        usable = np.minimum(self._lengths[users], 2 * self._max_length)
        share = torch.rand(len(users), generator=generator, dtype=torch.float64).numpy()
        cuts = 1 + (share * (usable - 1)).astype(np.int64)
        moments = self._ends[users] - usable + cuts
        lengths = np.minimum(cuts, self._max_length)
        inputs, _ = self._window(moments - lengths, lengths)
        targets, mask = self._window(moments, np.minimum(usable - cuts, self._max_length))
        return Batch(inputs, torch.from_numpy(lengths), targets, mask)

    def _window(self, starts: IntArray, lengths: IntArray) -> tuple[Tensor, Tensor]:
        """(batch, longest) events from `starts` on, 0 where a window has ended, and the mask of what is there."""
        places = np.arange(int(lengths.max()))
        mask = torch.from_numpy(places < lengths[:, None])
        at = torch.from_numpy(np.minimum(starts[:, None] + places, len(self._items) - 1))
        return self._items[at] * mask, mask


def filled(batch: Batch, rows: int, width: int) -> Batch:
    """`batch` with made-up rows after its own, of one event and one target, and padding up to `width`."""
    made_up = torch.arange(width).expand(rows, width) == 0
    nothing = torch.zeros(rows, width, dtype=torch.int64)
    return Batch(
        _put(nothing, batch.inputs),
        _put(torch.ones(rows, dtype=torch.int64), batch.lengths),
        _put(nothing, batch.targets),
        _put(made_up, batch.mask),
    )


def _put(blank: Tensor, values: Tensor) -> Tensor:
    """A copy of `blank` whose first rows are `values`, and 0 where these have ended."""
    whole = blank.clone()
    whole[: len(values)] = 0
    whole[tuple(slice(size) for size in values.shape)] = values
    return whole


def of_like_length(users: IntArray, used: IntArray, batch_size: int, generator: torch.Generator) -> list[IntArray]:
    """`users` in groups of like length, the groups in random order. used: (num_users,) events, at least 1."""
    jitter = torch.rand(len(users), generator=generator, dtype=torch.float64).numpy()
    order = users[np.argsort(np.log(used) + LENGTH_JITTER * jitter, kind="stable")]
    groups = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [groups[index] for index in torch.randperm(len(groups), generator=generator).tolist()]
