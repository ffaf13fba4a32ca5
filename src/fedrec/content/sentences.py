"""Content vectors from a frozen language model, for tenants whose texts say more than their words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from fedrec.content.encoder import ItemEncoder, Modality
from fedrec.content.hashed import HashedEncoder
from fedrec.content.vector_cache import VectorCache
from fedrec.data.catalogue import Catalogue
from fedrec.data.fetching import cache_directory
from fedrec.models import validate
from fedrec.models.content_whitening import unit_rows
from fedrec.models.protocols import Field, Float32Array, Float64Array

SENTENCE = "sentence"
GRID = 4096  # vectors are rounded to 1 / GRID: the last bits depend on the processor and on the size of a batch
BASE = HashedEncoder(text_weight=0.5)
CACHE = "sentence-vectors.sqlite"


class SentenceModel(Protocol):
    """A frozen language model."""

    @property
    def name(self) -> str:
        """Short name, which is that of the encoder, too."""
        ...

    @property
    def digest(self) -> str:
        """Names its parameters and how it is used."""
        ...

    @property
    def width(self) -> int:
        """Coordinates of a vector."""
        ...

    def embed(self, sentences: Sequence[str]) -> Float32Array:
        """(num_sentences, width), each independent of the others up to rounding."""
        ...


@dataclass(frozen=True)
class SentenceEncoder(ItemEncoder):
    """The text and the categories of an item as one sentence, beside the fields of the hashed encoder.

    The hashed text is kept at half its weight: it knows the names that the model has never read. cache: an SQLite file
    for the vectors of sentences, by their hash; by default in the user's cache directory (`$FEDREC_CACHE`).
    """

    model: SentenceModel
    base: HashedEncoder = BASE
    sentence_weight: float = 1.0
    cache: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        validate.positive("sentence_weight", self.sentence_weight)

    @property
    def name(self) -> str:
        """See `ItemEncoder.name`."""
        return self.model.name

    @property
    def digest(self) -> str:
        """See `ItemEncoder.digest`."""
        settings = {"model": self.model.digest, "weight": self.sentence_weight, "base": asdict(self.base)}
        text = json.dumps(settings | {"base_digest": self.base.digest, "grid": GRID}, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def fields(self) -> tuple[Field, ...]:
        """See `ItemEncoder.fields`."""
        return (Field(SENTENCE, self.model.width), *self.base.fields)

    def modalities(self, catalogue: Catalogue) -> tuple[Modality, ...]:
        """See `ItemEncoder.modalities`."""
        rows = self._rows([sentence_of(*pair) for pair in zip(catalogue.text, catalogue.categories, strict=True)])
        return (Modality.of(SENTENCE, rows, self.sentence_weight), *self.base.modalities(catalogue))

    def _rows(self, sentences: Sequence[str]) -> Float64Array:
        """(num_items, width), zero for an empty sentence."""
        keys = [hashlib.blake2b(f"{self.model.digest}\0{one}".encode(), digest_size=16).digest() for one in sentences]
        cache = VectorCache(self.cache or cache_directory() / CACHE, self.model.width)
        known = cache.read(set(keys))
        missing = {key: one for key, one in zip(keys, sentences, strict=True) if one and key not in known}
        if missing:
            new = np.round(unit_rows(self.model.embed(list(missing.values())).astype(np.float64)) * GRID) / GRID
            found = dict(zip(missing, new.astype(np.float32), strict=True))
            cache.write(found)
            known |= found
        nothing = np.zeros(self.model.width, np.float32)
        rows = [known[key] if one else nothing for key, one in zip(keys, sentences, strict=True)]
        return np.array(rows, np.float64).reshape(len(sentences), self.model.width)


def sentence_of(text: str | None, categories: tuple[str, ...]) -> str:
    """What a model reads of an item: its text, then its categories; empty if it has neither."""
    return ". ".join(filter(None, (text or "", ", ".join(categories))))
