"""Which fields of the content tell what a user takes next: counts over users, one for each field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrec.contribution import Block, Contribution, Float64Array, Layout
from fedrec.data.histories import CsrMatrix, Histories, IntArray
from fedrec.models import validate
from fedrec.models.content_whitening import unit_rows
from fedrec.models.distinct import newest_distinct
from fedrec.models.protocols import AnyArray, Float32Array, Params
from fedrec.models.statistics import parts, wire

COMPARED = 1000  # items of the catalogue that a user's newest one is compared with, evenly spaced
USERS_AT_A_TIME = 512
TIE = 1e-9  # likenesses that differ by less are equal but for rounding


@dataclass(frozen=True, eq=False)
class FieldRelevance:
    """Blocks of one number for each field of the content, each within [0, 1] for one user.

    `asked`: users whose newest item and some older one are known in the field. `ahead`: over the same users, the share
    of other items that are less like the user's older items in this field than the newest one is; ties count half, so
    that 1/2 of `asked` is chance. `spread`: over the same users, one minus the squared length of the mean of the field
    over their older items: 0 if all are alike in it. Where events fade, a user counts with the weight of its newest.

    content: (num_items, d), which each client makes from its own catalogue. widths: (num_fields,).
    """

    name: ClassVar[str] = "field_relevance"
    content: Float32Array
    widths: IntArray
    max_items_per_user: int

    def __post_init__(self) -> None:
        parts.check_content(self.content, self.widths)
        validate.whole("max_items_per_user", self.max_items_per_user)

    @property
    def key(self) -> str:
        """See `Statistic.key`."""
        return f"{self.name}/{parts.digest(self.content)}/{self.widths.tolist()}/{self.max_items_per_user}"

    def layout(self) -> Layout:
        """See `Statistic.layout`."""
        fields = len(self.widths)
        root, grid = math.sqrt(fields), parts.RESOLUTION
        return Layout(
            (
                Block("asked", (fields,), root, 1.0),
                Block("ahead", (fields,), root, 1.0, grid),
                Block("spread", (fields,), root, 1.0, grid),
            )
        )

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, len(self.content))
        kept = newest_distinct(histories, self.max_items_per_user)
        kept = kept.select(np.flatnonzero(kept.lengths > 1))
        stops = np.cumsum(self.widths)
        per_field = [_field(self.content[:, stop - w : stop], kept) for stop, w in zip(stops, self.widths, strict=True)]
        asked, ahead, spread = (np.array(column, dtype=np.float64) for column in zip(*per_field, strict=True))
        return Contribution(self.layout(), {"asked": asked, "ahead": ahead, "spread": spread}, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> FieldRelevance:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)


def _field(content: Float32Array, histories: Histories) -> tuple[float, float, float]:
    """What the users of `histories`, who all have two items, add for one field."""
    units = unit_rows(content.astype(np.float64))
    known = np.asarray(units.any(axis=1))
    sums = np.zeros(3)
    for start in range(0, histories.num_users, USERS_AT_A_TIME):
        users = np.arange(start, min(start + USERS_AT_A_TIME, histories.num_users))
        sums += _users(units, known, histories.select(users))
    return float(sums[0]), float(sums[1]), float(sums[2])


def _users(units: Float64Array, known: NDArray[np.bool_], histories: Histories) -> Float64Array:
    newest = histories.items[histories.indptr[1:] - 1]
    older = histories.keep((histories.ages > 0) & known[histories.items])
    compared = np.unique(np.linspace(0, len(units) - 1, min(len(units), COMPARED)).astype(np.int64))
    compared = compared[known[compared]]
    others = 1.0 - histories.binary()[:, compared].toarray()  # what the user has is not compared
    asked = known[newest] & (older.lengths > 0) & (others.sum(axis=1) > 0)
    profiles = _means(older.binary(), units)
    own = np.einsum("ij,ij->i", profiles, units[newest])[:, None]
    like = profiles @ units[compared].T
    less = ((like < own - TIE) + 0.5 * (np.abs(like - own) <= TIE)) * others
    ahead = less.sum(axis=1) / np.maximum(others.sum(axis=1), 1.0)
    spread = 1.0 - np.minimum((profiles**2).sum(axis=1), 1.0)
    left = np.ones(len(newest)) if histories.roots is None else histories.roots[histories.indptr[1:] - 1] ** 2
    left = left[asked]
    return np.array([left.sum(), (left * ahead[asked]).sum(), (left * spread[asked]).sum()])


def _means(matrix: CsrMatrix, units: Float64Array) -> Float64Array:
    means: Float64Array = (matrix @ units) / np.maximum(np.diff(matrix.indptr), 1)[:, None]
    return means
