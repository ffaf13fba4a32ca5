"""How many users have both items of each pair: the one sum behind item-kNN, EASE and PCA."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Block, Contribution, Float64Array, Layout
from fedrec.data.histories import CsrMatrix, Histories
from fedrec.models import triangle, validate
from fedrec.models.distinct import newest_distinct
from fedrec.models.protocols import AnyArray, Params
from fedrec.models.statistics import parts, wire

ROWS_AT_A_TIME = 512  # of the matrix: keeps the unpacked part small, and the sparse product in the cache


@dataclass(frozen=True)
class ItemGram:
    """Block `gram` (num_items * (num_items + 1) / 2,): upper triangle of X^T X, X the binary user-item
    matrix.

    A user with m distinct items adds m (m + 1) / 2 ones, so its L2 norm is at most the square root of that at
    m = `max_items_per_user`. The diagonal holds the item counts. unit_norm: its ones are scaled to an L2 norm of 1.
    weighed: of events that fade, X holds the roots of their weights; no entry is above 1, so the bounds are the same.
    """

    name: ClassVar[str] = "item_gram"
    num_items: int
    max_items_per_user: int
    unit_norm: bool = False
    weighed: bool = False

    def __post_init__(self) -> None:
        parts.check_catalogue(self.num_items, self.max_items_per_user)
        validate.boolean("unit_norm", self.unit_norm)
        validate.boolean("weighed", self.weighed)

    @property
    def key(self) -> str:
        """See `Statistic.key`."""
        return f"{self.name}/{self.num_items}/{self.max_items_per_user}/{self.unit_norm}/{self.weighed}"

    def layout(self) -> Layout:
        """See `Statistic.layout`."""
        most = triangle.size(min(self.max_items_per_user, self.num_items))
        norm, step = 1.0 if self.unit_norm else math.sqrt(most), parts.grid(self.unit_norm, self.weighed)
        return Layout((Block("gram", (triangle.size(self.num_items),), norm, 1.0, step, most, exact=True),))

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, self.num_items)
        parts.check_grid(histories, self.weighed)
        matrix = parts.root_matrix(newest_distinct(histories, self.max_items_per_user))
        counts = np.diff(matrix.indptr)
        weights = parts.unit_weights(counts * (counts + 1) // 2) if self.unit_norm else None
        return Contribution(self.layout(), {"gram": upper_gram(matrix, weights)}, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> ItemGram:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)


def upper_gram(matrix: CsrMatrix, weights: Float64Array | None = None) -> Float64Array:
    """Upper triangle of `matrix.T @ diag(weights) @ matrix` for a sparse (num_users, num_items) matrix; whole numbers,
    and multiples of a power of two, stay exact. weights: (num_users,), or None for ones."""
    num_items = matrix.shape[1]
    packed = np.empty(triangle.size(num_items))
    starts = triangle.row_starts(num_items)
    by_item, by_user = matrix.T.tocsr(), matrix.tocsc()
    if weights is not None:
        by_item.data = by_item.data * weights[by_item.indices]
    for first in range(0, num_items, ROWS_AT_A_TIME):
        block = (by_item[first : first + ROWS_AT_A_TIME] @ by_user[:, first:].tocsr()).toarray()
        for offset, row in enumerate(block):
            start = starts[first + offset]
            packed[start : start + len(row) - offset] = row[offset:]
    return packed
