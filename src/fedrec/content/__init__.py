"""Vectors of items from what is publicly known of them."""

from __future__ import annotations

from fedrec.content.card import ContentCard, content_card
from fedrec.content.encoder import ItemEncoder, Modality
from fedrec.content.hashed import HashedEncoder
from fedrec.content.minilm import minilm_encoder
from fedrec.content.registry import ENCODERS, encoder_named
from fedrec.content.vectors import WithVectors, read_vectors

__all__ = [
    "ENCODERS",
    "ContentCard",
    "HashedEncoder",
    "ItemEncoder",
    "Modality",
    "WithVectors",
    "content_card",
    "encoder_named",
    "minilm_encoder",
    "read_vectors",
]
