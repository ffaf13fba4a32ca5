"""What every party derives from the public catalogue, in the same way."""

from __future__ import annotations

from fedrec.content.hashed import HashedEncoder
from fedrec.data.catalogue import Catalogue
from fedrec.models.protocols import ItemFeatures


def catalogue_features(catalogue: Catalogue) -> ItemFeatures:
    """Content vectors of the default encoder."""
    return ItemFeatures(catalogue.num_items, HashedEncoder().encode(catalogue))
