"""The item-item Gram times a thin public matrix: what subspace iteration needs, at any size of catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Block, Contribution, Float64Array, Layout
from fedrec.data.histories import Histories
from fedrec.models.distinct import newest_distinct
from fedrec.models.protocols import AnyArray, Params
from fedrec.models.statistics import parts, wire


@dataclass(frozen=True, eq=False)
class GramProduct:
    """Block `product` (num_items, rank): X^T X Q, X the binary user-item matrix and Q = `basis` (num_items,
    rank).

    A user with the m items of the 0/1 vector x adds x (x^T Q). Its L2 norm is |x| |x^T Q| <= m |Q|_2, and
    also at most sqrt(m) times the sum of the m largest row norms of Q; a coordinate is at most sqrt(m) times
    the largest column norm. All of that holds for entries of x below 1, too: the roots of what events weigh that fade.
    """

    name: ClassVar[str] = "gram_product"
    basis: Float64Array
    max_items_per_user: int

    def __post_init__(self) -> None:
        parts.check_factors("basis", self.basis)
        parts.check_catalogue(len(self.basis), self.max_items_per_user)

    @property
    def key(self) -> str:
        """See `Statistic.key`."""
        return f"{self.name}/{parts.digest(self.basis)}/{self.max_items_per_user}"

    def layout(self) -> Layout:
        """See `Statistic.layout`."""
        user_l2, user_max = self._bounds()
        touched = min(self.max_items_per_user, len(self.basis)) * self.basis.shape[1]
        return Layout((Block("product", self.basis.shape, user_l2, user_max, parts.RESOLUTION, touched),))

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, len(self.basis))
        matrix = parts.root_matrix(newest_distinct(histories, self.max_items_per_user))
        return Contribution(self.layout(), {"product": matrix.T @ (matrix @ self.basis)}, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> GramProduct:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)

    def _bounds(self) -> tuple[float, float]:
        """L2 and coordinate bound of one user, with room for rounding errors; 1.0 if Q is zero."""
        most = min(self.max_items_per_user, len(self.basis))
        row_norms = np.sort(np.linalg.norm(self.basis, axis=1))[::-1]
        spectral = math.sqrt(max(float(np.linalg.eigvalsh(self.basis.T @ self.basis)[-1]), 0.0))
        projected = min(math.sqrt(most) * spectral, float(row_norms[:most].sum())) * (1 + 1e-9)
        user_l2 = math.sqrt(most) * projected
        user_max = min(
            user_l2, projected, math.sqrt(most) * float(np.linalg.norm(self.basis, axis=0).max()) * (1 + 1e-9)
        )
        return (user_l2, user_max) if user_max > 0 else (1.0, 1.0)
