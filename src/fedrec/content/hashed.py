"""The default encoder: hashed words, categories, prices and years. Light, and needs no download."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

from fedrec.content.encoder import ItemEncoder, Modality
from fedrec.data.catalogue import Catalogue
from fedrec.errors import ConfigError
from fedrec.models import validate
from fedrec.models.protocols import Field, Float64Array

LOG2_PRICE_LOW, LOG2_PRICE_HIGH = -4.0, 16.0  # 6 cents to 65,536 of any currency; beyond counts as the end
YEAR_LOW, YEAR_HIGH = 1900.0, 2055.0
YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
CATEGORY_HASHES = 4  # signed coordinates of one category: two categories rarely share them all
FIELDS = ("text", "category", "price", "year")


@dataclass(frozen=True)
class HashedEncoder(ItemEncoder):
    """Fields side by side: words and character n-grams of the text, categories, the price on a logarithmic scale, and
    the age of the item as the last year between 1900 and 2099 that its text names.

    The `*_size` are the coordinates of the fields, the `*_weight` what they count against each other; a field of
    weight 0 is left out. Settings cannot be mixed in a federation: they are part of the digest.
    """

    text_size: int = 384
    category_size: int = 112
    price_size: int = 16
    year_size: int = 32
    text_weight: float = 1.0
    category_weight: float = 1.0
    price_weight: float = 0.5
    year_weight: float = 0.5

    name: ClassVar[str] = "hashed"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for name in ("text_size", "category_size"):
            validate.whole(name, getattr(self, name))
        for name in ("price_size", "year_size"):
            validate.whole(name, getattr(self, name), at_least=2)
        for name in FIELDS:
            validate.not_negative(f"{name}_weight", getattr(self, f"{name}_weight"))
        if not self.fields:
            raise ConfigError("Expected a field with a weight > 0; every field of the encoder is left out.")

    @property
    def digest(self) -> str:
        """See `ItemEncoder.digest`."""
        settings = json.dumps({"name": self.name, "version": self.version, **asdict(self)}, sort_keys=True)
        return hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()

    @property
    def fields(self) -> tuple[Field, ...]:
        """See `ItemEncoder.fields`."""
        return tuple(Field(name, getattr(self, f"{name}_size")) for name in FIELDS if self._weight(name) > 0)

    def keeping(self, names: Iterable[str]) -> HashedEncoder:
        """The encoder with no other fields than `names`, in which a content card shows what helps."""
        left_out: dict[str, Any] = {f"{name}_weight": 0.0 for name in FIELDS if name not in set(names)}
        return replace(self, **left_out)

    def modalities(self, catalogue: Catalogue) -> tuple[Modality, ...]:
        """See `ItemEncoder.modalities`."""
        return tuple(
            Modality.of(field.name, _rows(field, catalogue), self._weight(field.name)) for field in self.fields
        )

    def _weight(self, name: str) -> float:
        return float(getattr(self, f"{name}_weight"))


def _rows(field: Field, catalogue: Catalogue) -> Float64Array:
    """(num_items, width) one field of the items; zero where it is not known."""
    if field.name == "text":
        return _text_rows(catalogue.text, field.width)
    if field.name == "category":
        return _category_rows(catalogue.categories, field.width)
    if field.name == "price":
        with np.errstate(divide="ignore"):
            return _scale(np.log2(catalogue.prices), LOG2_PRICE_LOW, LOG2_PRICE_HIGH, field.width)
    return _scale(_years(catalogue.text), YEAR_LOW, YEAR_HIGH, field.width)


def _text_rows(texts: Sequence[str | None], size: int) -> Float64Array:
    """Signed counts of hashed words, and of the 3 to 5 letters within words so that spellings and stems
    meet."""
    documents = [text or "" for text in texts]
    words = HashingVectorizer(n_features=size, norm="l2", stop_words="english")
    letters = HashingVectorizer(n_features=size, norm="l2", analyzer="char_wb", ngram_range=(3, 5))
    rows: Float64Array = (words.transform(documents) + letters.transform(documents)).toarray()
    return rows


def _category_rows(categories: Sequence[tuple[str, ...]], size: int) -> Float64Array:
    hasher = HashingVectorizer(n_features=size, norm=None, analyzer=_category_tokens)
    rows: Float64Array = hasher.transform(categories).toarray()
    return rows


def _category_tokens(names: tuple[str, ...]) -> list[str]:
    return [f"{copy}:{name.casefold()}" for name in sorted(set(names)) for copy in range(CATEGORY_HASHES)]


def _years(texts: Sequence[str | None]) -> Float64Array:
    """(num_items,) the last year that each text names, NaN where there is none."""
    found = (YEAR.findall(text or "") for text in texts)
    return np.array([float(years[-1]) if years else np.nan for years in found])


def _scale(values: Float64Array, low: float, high: float, size: int) -> Float64Array:
    """(n, size) each value shared between the two nearest of `size` points from low to high; zero for NaN."""
    rows = np.zeros((len(values), size))
    known = np.flatnonzero(~np.isnan(values))
    place = np.clip((values[known] - low) / (high - low), 0.0, 1.0) * (size - 1)
    lower = np.minimum(place.astype(np.int64), size - 2)
    rows[known, lower] = 1.0 - (place - lower)
    rows[known, lower + 1] = place - lower
    return rows
