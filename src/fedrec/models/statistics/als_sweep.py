"""One half-step of implicit ALS: the item side's normal equations, given item factors."""

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
from fedrec.models.normal_equations import fold_in_parts, outer_sums
from fedrec.models.protocols import AnyArray, Params
from fedrec.models.statistics import parts, wire

ITEMS_AT_A_TIME = 256
LEAST, MOST = 1e-9, 1e9
"""Of the hyper-parameters: with others, and made-up factors, an overflow would tell who has an item."""


@dataclass(frozen=True, eq=False)
class AlsSweep:
    """Sums over users of what their vectors u add to the normal equations of the items.

    Each user is folded in from its own items, given `item_factors` (num_items, d), and its vector is clipped to the
    norm `clip_norm`. An event of weight w, of those that fade, is w of an event and 1 - w of none. Blocks: `outer`
    (num_items, d (d + 1) / 2), for each item the upper triangle of sum u u^T over the users who have it; `linear`
    (num_items, d), sum u over the same; `everyone` (d (d + 1) / 2), sum u u^T over all users. The triangle of u u^T has
    an L2 norm of at most |u|^2; a user touches at most `max_items_per_user` items.
    """

    name: ClassVar[str] = "als_sweep"
    item_factors: Float64Array
    l2: float
    alpha: float
    clip_norm: float
    max_items_per_user: int

    def __post_init__(self) -> None:
        parts.check_factors("item_factors", self.item_factors)
        parts.check_catalogue(len(self.item_factors), self.max_items_per_user)
        for name in ("l2", "alpha", "clip_norm"):
            validate.within(name, getattr(self, name), LEAST, MOST)

    @property
    def key(self) -> str:
        """See `Statistic.key`."""
        settings = f"{self.l2:g}/{self.alpha:g}/{self.clip_norm:g}/{self.max_items_per_user}"
        return f"{self.name}/{parts.digest(self.item_factors)}/{settings}"

    def layout(self) -> Layout:
        """See `Statistic.layout`."""
        num_items, rank = self.item_factors.shape
        most = min(self.max_items_per_user, num_items)
        root, pairs = math.sqrt(most), triangle.size(rank)
        norm, square = self.clip_norm, self.clip_norm**2
        return Layout(
            (
                Block("outer", (num_items, pairs), root * square, square, parts.RESOLUTION, most * pairs),
                Block("linear", (num_items, rank), root * norm, norm, parts.RESOLUTION, most * rank),
                Block("everyone", (pairs,), square, square, parts.RESOLUTION),
            )
        )

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, len(self.item_factors))
        matrix = parts.root_matrix(newest_distinct(histories, self.max_items_per_user)).power(2)
        users = clipped(fold_in_parts(matrix, self.item_factors, self.alpha, self.l2), self.clip_norm)
        by_item = matrix.T.tocsr()
        values = {
            "outer": _outer_triangles(by_item, users),
            "linear": by_item @ users,
            "everyone": triangle.pack_each((users.T @ users)[None])[0],
        }
        return Contribution(self.layout(), values, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> AlsSweep:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)


def clipped(vectors: Float64Array, clip_norm: float) -> Float64Array:
    """Vectors (n, d), each shrunk to a norm of at most `clip_norm`; 0 for one that is infinite or no number."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    finite = np.isfinite(norms)
    scale = clip_norm / np.where(finite, np.maximum(norms, clip_norm), 1.0)
    shrunk: Float64Array = np.where(finite, vectors, 0.0) * scale
    return shrunk


def _outer_triangles(by_item: CsrMatrix, users: Float64Array) -> Float64Array:
    triangles = np.empty((by_item.shape[0], triangle.size(users.shape[1])))
    for start in range(0, len(triangles), ITEMS_AT_A_TIME):
        part = by_item[start : start + ITEMS_AT_A_TIME]
        triangles[start : start + ITEMS_AT_A_TIME] = triangle.pack_each(outer_sums(part, users))
    return triangles
