"""The default encoder: hashed words, categories and prices. Light, and needs no download."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from fedrec.data.catalogue import Catalogue
from fedrec.models import validate
from fedrec.models.protocols import Float32Array, Float64Array

LOG2_PRICE_LOW, LOG2_PRICE_HIGH = -4.0, 16.0  # 6 cents to 65,536 of any currency; beyond counts as the end
CATEGORY_HASHES = 4  # signed coordinates of one category: two categories rarely share them all


@dataclass(frozen=True)
class HashedEncoder:
    """Parts side by side: words and character n-grams of the text, categories, and the price on a logarithmic
    scale.

    Each part has unit length times its weight. A part that an item lacks is left out and the rest brought to
    unit length, so a missing price is no price and not a price of zero. The `*_size` are the coordinates of
    the parts.
    """

    text_size: int = 384
    category_size: int = 112
    price_size: int = 16
    text_weight: float = 1.0
    category_weight: float = 1.0
    price_weight: float = 0.5

    name: ClassVar[str] = "hashed"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("text_size", "category_size"):
            validate.whole(name, getattr(self, name))
        validate.whole("price_size", self.price_size, at_least=2)
        for name in ("text_weight", "category_weight", "price_weight"):
            validate.positive(name, getattr(self, name))

    @property
    def digest(self) -> str:
        """See `ItemEncoder.digest`."""
        settings = json.dumps({"name": self.name, "version": self.version, **asdict(self)}, sort_keys=True)
        return hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()

    def encode(self, catalogue: Catalogue) -> Float32Array:
        """See `ItemEncoder.encode`."""
        parts = (
            self.text_weight * _unit(_text_part(catalogue.text, self.text_size)),
            self.category_weight * _unit(_category_part(catalogue.categories, self.category_size)),
            self.price_weight * _unit(_price_part(catalogue.prices, self.price_size)),
        )
        return _unit(np.hstack(parts)).astype(np.float32)


def _text_part(texts: Sequence[str | None], size: int) -> Float64Array:
    """Signed counts of hashed words, and of the 3 to 5 letters within words so that spellings and stems
    meet."""
    documents = [text or "" for text in texts]
    words = HashingVectorizer(n_features=size, norm="l2", stop_words="english")
    letters = HashingVectorizer(n_features=size, norm="l2", analyzer="char_wb", ngram_range=(3, 5))
    part: Float64Array = (words.transform(documents) + letters.transform(documents)).toarray()
    return part


def _category_part(categories: Sequence[tuple[str, ...]], size: int) -> Float64Array:
    hasher = HashingVectorizer(n_features=size, norm=None, analyzer=_category_tokens)
    part: Float64Array = hasher.transform(categories).toarray()
    return part


def _category_tokens(names: tuple[str, ...]) -> list[str]:
    return [f"{copy}:{name.casefold()}" for name in sorted(set(names)) for copy in range(CATEGORY_HASHES)]


def _price_part(prices: Float64Array, size: int) -> Float64Array:
    """Each price shared between the two nearest of `size` points on the scale; zero where there is none."""
    part = np.zeros((len(prices), size))
    known = np.flatnonzero(np.isfinite(prices))
    logs = np.log2(np.maximum(prices[known], 2.0**LOG2_PRICE_LOW))
    place = np.clip((logs - LOG2_PRICE_LOW) / (LOG2_PRICE_HIGH - LOG2_PRICE_LOW), 0.0, 1.0) * (size - 1)
    lower = np.minimum(place.astype(np.int64), size - 2)
    part[known, lower] = 1.0 - (place - lower)
    part[known, lower + 1] = place - lower
    return part


def _unit(rows: Float64Array) -> Float64Array:
    """Rows (n, d) of length 1; zero rows stay zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Float64Array = rows / np.where(norms > 0, norms, 1.0)
    return scaled
