"""Vectors of items from what is publicly known of them."""

from __future__ import annotations

from fedrec.content.encoder import ItemEncoder
from fedrec.content.hashed import HashedEncoder

__all__ = ["HashedEncoder", "ItemEncoder"]
