"""What a run knows of its items: the public catalogue, by the encoder that its configuration names."""

from __future__ import annotations

from fedrec.config import Config
from fedrec.config_content import NO_CONTENT
from fedrec.content.encoder import ItemEncoder
from fedrec.content.features import catalogue_features
from fedrec.content.registry import encoder_named
from fedrec.content.vectors import WithVectors, read_vectors
from fedrec.data import Catalogue
from fedrec.models import ItemFeatures


def encoder_of(config: Config) -> ItemEncoder | None:
    """The encoder of a run; None if items are known by their ids only. Raises DataError for images that are none."""
    content = config.content
    if content.encoder == NO_CONTENT:
        return None
    base = encoder_named(content.encoder)
    if content.images is None:
        return base
    return WithVectors(base, read_vectors(content.images, source=content.image_source))


def items_of(config: Config, catalogue: Catalogue) -> ItemFeatures:
    """The items of a run. Raises ModelError if the encoder is not installed."""
    encoder = encoder_of(config)
    return ItemFeatures(catalogue.num_items) if encoder is None else catalogue_features(catalogue, encoder)
