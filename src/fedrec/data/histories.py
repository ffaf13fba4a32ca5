"""Each user's items in order of time: the form in which recommenders and metrics see data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
CsrMatrix = sp.csr_array


@dataclass(frozen=True)
class Histories:
    """A ragged array: row `u` is `items[indptr[u]:indptr[u + 1]]`, oldest first.

    indptr: (num_users + 1,) int64. items: (num_events,) int64 positions in a catalogue of `num_items`.
    An item may occur several times in a row. times: (num_events,) int64 unix seconds, where they are known. roots:
    (num_events,) square roots of the events' weights, where events fade; see `fedrec.data.decay`.
    """

    indptr: IntArray
    items: IntArray
    num_items: int
    times: IntArray | None = None
    roots: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for array in (self.indptr, self.items, self.times, self.roots):
            if array is not None:
                array.flags.writeable = False

    @staticmethod
    def from_lists(rows: list[list[int]], num_items: int) -> Histories:
        """One row for each list of item positions."""
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        flat = np.array([item for row in rows for item in row], dtype=np.int64)
        return Histories(indptr, flat, num_items)

    @property
    def num_users(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @property
    def num_events(self) -> int:
        """Number of entries in all rows."""
        return len(self.items)

    @property
    def lengths(self) -> IntArray:
        """(num_users,) events of each user."""
        return np.diff(self.indptr)

    @property
    def rows(self) -> IntArray:
        """(num_events,) the user of each event."""
        return np.repeat(np.arange(self.num_users), self.lengths)

    @property
    def ages(self) -> IntArray:
        """(num_events,) how many later events its user has: 0 for the newest."""
        return np.repeat(self.indptr[1:], self.lengths) - 1 - np.arange(self.num_events)

    def row(self, user: int) -> IntArray:
        """The items of one user, oldest first."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def select(self, users: IntArray) -> Histories:
        """The rows of `users`, in that order."""
        lengths = self.lengths[users]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        offsets = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
        return self._events(indptr, np.repeat(self.indptr[users], lengths) + offsets)

    def keep(self, mask: NDArray[np.bool_]) -> Histories:
        """The events where `mask` (num_events,) is true; every user stays, perhaps with an empty row."""
        counts = np.bincount(self.rows[mask], minlength=self.num_users)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return self._events(indptr, mask)

    def newest(self, count: int) -> Histories:
        """At most the `count` newest events of each user."""
        return self.keep(self.ages < count)

    def weighted(self, weights: NDArray[np.float64]) -> CsrMatrix:
        """(num_users, num_items) CSR of one weight per event (num_events,); a repeated item has their sum."""
        shape = (self.num_users, self.num_items)
        matrix = sp.csr_array((weights, self.items, self.indptr), shape=shape, copy=True)
        matrix.sum_duplicates()
        return matrix

    def _events(self, indptr: IntArray, chosen: IntArray | NDArray[np.bool_]) -> Histories:
        times = None if self.times is None else self.times[chosen]
        roots = None if self.roots is None else self.roots[chosen]
        return Histories(indptr, self.items[chosen], self.num_items, times, roots)

    def binary(self) -> CsrMatrix:
        """(num_users, num_items) float64 CSR with 1.0 wherever a user has the item, however often."""
        matrix = self.weighted(np.ones(self.num_events))
        matrix.data[:] = 1.0
        return matrix
