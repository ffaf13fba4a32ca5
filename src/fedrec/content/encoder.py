"""What turns an item's public description into a vector, the same at every tenant."""

from __future__ import annotations

from typing import Protocol

from fedrec.data.catalogue import Catalogue
from fedrec.models.protocols import Float32Array


class ItemEncoder(Protocol):
    """Public, frozen and deterministic: equal digests give equal vectors for equal descriptions, on any
    machine."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    @property
    def digest(self) -> str:
        """Names everything the vectors depend on besides the catalogue."""
        ...

    def encode(self, catalogue: Catalogue) -> Float32Array:
        """(num_items, d) unit vectors; zero for an item of which nothing is known."""
        ...
