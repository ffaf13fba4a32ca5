"""What turns an item's public description into a vector, the same at every tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedrec.data.catalogue import Catalogue
from fedrec.models.content_whitening import unit_rows
from fedrec.models.protocols import AnyArray, EncoderId, Field, Float32Array, Float64Array

ITEMS_AT_A_TIME = 4096  # keeps the temporaries of a large catalogue small


@dataclass(frozen=True, eq=False)
class Modality:
    """One field of the descriptions of some items.

    vectors: (num_items, width) of length 1, or zero where the field is not known. weight: against other fields.
    """

    name: str
    vectors: Float64Array
    weight: float

    @staticmethod
    def of(name: str, rows: AnyArray, weight: float) -> Modality:
        """The field whose vectors point along `rows` (num_items, width)."""
        return Modality(name, unit_rows(np.asarray(rows, np.float64)), weight)

    @property
    def present(self) -> NDArray[np.bool_]:
        """(num_items,) whether the field is known."""
        return np.asarray(self.vectors.any(axis=1))


class ItemEncoder(Protocol):
    """Public, frozen and deterministic: equal digests give equal vectors for equal descriptions, on any machine.

    Gives its implementations everything but `name`, `digest`, `fields` and `modalities`.
    """

    @property
    def name(self) -> str:
        """Short name."""
        ...

    @property
    def digest(self) -> str:
        """Names everything the vectors depend on besides the catalogue."""
        ...

    @property
    def own(self) -> str:
        """Names what the vectors depend on at this party only, such as a file of its own for its own items."""
        return ""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The parts of a vector, side by side."""
        ...

    def modalities(self, catalogue: Catalogue) -> tuple[Modality, ...]:
        """The fields of `catalogue`, as `fields` lists them, each by itself."""
        ...

    @property
    def identity(self) -> EncoderId:
        """What two parties compare before one uses the other's vectors, or a model made from them."""
        return EncoderId(self.name, self.digest)

    def encode(self, catalogue: Catalogue) -> Float32Array:
        """(num_items, d) unit vectors; zero for an item of which nothing is known."""
        vectors = np.empty((catalogue.num_items, sum(field.width for field in self.fields)), np.float32)
        for start in range(0, catalogue.num_items, ITEMS_AT_A_TIME):
            stop = min(start + ITEMS_AT_A_TIME, catalogue.num_items)
            vectors[start:stop] = fused(self.modalities(catalogue.subset(np.arange(start, stop))))
        return vectors


def fused(modalities: Sequence[Modality]) -> Float64Array:
    """(num_items, d) the fields side by side, each as long as its weight.

    A field that an item lacks is left out and the rest brought to length 1, so a missing price is no price and not a
    price of zero: what is said by fewer fields is said as loudly.
    """
    return unit_rows(np.hstack([modality.weight * modality.vectors for modality in modalities]))
