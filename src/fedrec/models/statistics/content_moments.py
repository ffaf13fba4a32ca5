"""Mean and second moments of the content that users have: what content vectors are whitened by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrec.contribution import Block, Contribution, Layout
from fedrec.data.histories import Histories, IntArray
from fedrec.models import triangle, validate
from fedrec.models.content_whitening import with_lengths
from fedrec.models.distinct import newest_distinct
from fedrec.models.protocols import AnyArray, Float32Array, Params
from fedrec.models.statistics import parts, wire


@dataclass(frozen=True, eq=False)
class ContentMoments:
    """Block `moment`: upper triangle of the sum over users of the mean, over a user's newest distinct items, of
    g g^T / 2.

    g is the item's content vector with the lengths of its fields behind it, so that the sum holds the second moments of
    the content, its means (in the columns of the lengths) and how much of each field is known (on the diagonal). Both
    halves of g are at most 1 long, so g g^T / 2 and any mean of such have an L2 norm of at most 1, however many items a
    user has. Of events that fade, each counts in the mean with its weight, at most 1.

    content: (num_items, d) unit vectors, which each client makes from its own catalogue; longer ones are shortened.
    widths: (num_fields,) coordinates of each field.

    The unit of privacy is the user: the sum is over what users have had, so that an item that nobody had is not in it,
    and a tenant's range of goods only as far as its users had them. A public catalogue needs no such sum; its own
    moments can be taken from it by anyone.
    """

    name: ClassVar[str] = "content_moments"
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
        size = triangle.size(self.content.shape[1] + len(self.widths))
        return Layout((Block("moment", (size,), user_l2=1.0, resolution=parts.RESOLUTION),))

    def contribute(self, histories: Histories) -> Contribution:
        """See `Statistic.contribute`."""
        parts.check_histories(histories, len(self.content))
        kept = newest_distinct(histories, self.max_items_per_user)
        share = np.repeat(1.0 / np.maximum(kept.lengths, 1), kept.lengths)
        share = share if kept.roots is None else share * kept.roots**2
        weights = np.bincount(kept.items, share, minlength=len(self.content))
        used = np.flatnonzero(weights)
        rows = with_lengths(parts.shortened(self.content[used]), self.widths)
        moment = (rows * weights[used, None]).T @ rows / 2
        return Contribution(self.layout(), {"moment": triangle.pack_each(moment[None])[0]}, histories.num_users)

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """See `Statistic.to_wire`."""
        return wire.to_wire(self)

    @classmethod
    def from_wire(cls, params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> ContentMoments:
        """The statistic `to_wire` took apart. Raises ProtocolError."""
        return wire.from_wire(cls, params, arrays)
