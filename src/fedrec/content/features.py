"""What every party derives from the public catalogue, in the same way."""

from __future__ import annotations

from fedrec.content.encoder import ItemEncoder
from fedrec.content.hashed import HashedEncoder
from fedrec.data.catalogue import Catalogue
from fedrec.models.protocols import ItemFeatures


def catalogue_features(catalogue: Catalogue, encoder: ItemEncoder | None = None) -> ItemFeatures:
    """Content vectors of `encoder`, or of the default one."""
    return ItemFeatures(catalogue.num_items, (encoder or HashedEncoder()).encode(catalogue))
