"""Which content goes together in users' histories: the one sum behind the content map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Block, Contribution, Layout
from fedrec.data.histories import CsrMatrix, Histories, IntArray
from fedrec.models import triangle, validate
from fedrec.models.content_whitening import Whitening, unit_rows
from fedrec.models.distinct import newest_distinct
from fedrec.models.protocols import AnyArray, Float32Array, Float64Array, Params
from fedrec.models.statistics import parts, wire


@dataclass(frozen=True, eq=False)
class ContentProfiles:
    """Block `profiles`: upper triangle of the sum over users of q q^T, q the user's profile.

    A profile is the sum of the vectors of the user's newest distinct items, scaled to length 1; a vector is the item's
    whitened content with `bias` behind it. So one user adds a matrix of L2 norm 1, or 0 without items, whatever the
    items are and however many: the bound holds by construction, and nothing has to be clipped. Of events that fade,
    each counts in the profile with its weight, and q is as long as the root of their mean: what is left of the user.

    content: (num_items, d), which each client makes from its own catalogue. widths, mean, basis: see `Whitening`.
    """

    name: ClassVar[str] = "content_profiles"
    content: Float32Array
    widths: IntArray
    mean: Float64Array
    basis: Float64Array
    bias: float
    max_items_per_user: int

    def __post_init__(self) -> None:
        parts.check_content(self.content, self.widths)
        parts.check_whitening(self.widths, self.mean, self.basis)
        validate.within("bias", self.bias, parts.LEAST_SIZE, parts.MOST_SIZE)
        validate.whole("max_items_per_user", self.max_items_per_user)

    @property
    def key(self) -> str:
        """See `Statistic.key`."""
        arrays = "/".join(parts.digest(array) for array in (self.content, self.widths, self.mean, self.basis))
        return f"{self.name}/{arrays}/{self.bias:g}/{self.max_items_per_user}"

    def layout(self) -> Layout:
        """See `Statistic.layout`."""
        size = triangle.size(self.basis.shape[1] + 1)
        return Layout((Block("profiles", (size,), user_l2=1.0, resolution=parts.RESOLUTION),))

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, len(self.content))
        vectors = with_bias(Whitening(self.widths, self.mean, self.basis).apply(self.content), self.bias)
        weights = parts.root_matrix(newest_distinct(histories, self.max_items_per_user)).power(2)
        profiles = unit_rows(weights @ vectors) * _left(weights)
        packed = triangle.pack_each((profiles.T @ profiles)[None])[0]
        return Contribution(self.layout(), {"profiles": packed}, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> ContentProfiles:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)


def _left(weights: CsrMatrix) -> Float64Array:
    """(num_users, 1) the root of the mean weight of each user's items; 1 where events do not fade."""
    counts = np.maximum(np.diff(weights.indptr), 1)
    left: Float64Array = np.sqrt(np.asarray(weights.sum(axis=1)).reshape(-1) / counts)[:, None]
    return left


def with_bias(vectors: Float64Array, bias: float) -> Float64Array:
    """(n, d + 1) vectors (n, d) with `bias` behind each: what all items have in common."""
    return np.hstack([vectors, np.full((len(vectors), 1), bias)])
