"""Vectors that a tenant brings in a file, such as those of its images: item id -> vector. No code is read, only
numbers.

    .npz          arrays `item_id` (n,) text and `vector` (n, d)
    .parquet      columns `item_id` and `vector`, a list of numbers
    .safetensors  one tensor (d,) for each item, under its id
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors

from fedrec.content.encoder import ItemEncoder, Modality
from fedrec.data.catalogue import Catalogue
from fedrec.errors import DataError
from fedrec.files import write_bytes, write_text
from fedrec.models import validate
from fedrec.models.protocols import AnyArray, Field, Float32Array

IMAGE = "image"
IMAGES, SOURCE = "images", "source.txt"
"""Where a tenant keeps its own: <store>/images/vectors.* and what made them."""
MAX_WIDTH = 128
"""Longer vectors are projected onto so many coordinates."""

DAMAGED = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error, SafetensorError, pa.ArrowException)
"""What the readers raise for a file that is no such file."""


@dataclass(frozen=True, eq=False)
class VectorFile:
    """The vectors of some items, as they were read and projected.

    vectors: (n, width) float32. digest: names what made them, see `read_vectors`. content: digest of the file itself.
    """

    name: str
    item_ids: tuple[str, ...]
    vectors: Float32Array
    digest: str
    content: str = ""
    _positions: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_positions", {item: i for i, item in enumerate(self.item_ids)})

    def rows(self, catalogue: Catalogue) -> Float32Array:
        """(num_items, width) for the items of a catalogue, zero for those that are not in the file."""
        rows = np.zeros((catalogue.num_items, self.vectors.shape[1]), np.float32)
        places = [(i, self._positions[item]) for i, item in enumerate(catalogue.item_ids) if item in self._positions]
        if places:
            here, there = np.array(places).T
            rows[here] = self.vectors[there]
        return rows


@dataclass(frozen=True, eq=False)
class WithVectors(ItemEncoder):
    """Another encoder with one more field, from a file. Items that are not in the file lack the field."""

    base: ItemEncoder
    file: VectorFile
    weight: float = 1.0

    def __post_init__(self) -> None:
        validate.positive("weight", self.weight)

    @property
    def name(self) -> str:
        """See `ItemEncoder.name`."""
        return f"{self.base.name}+{self.file.name}"

    @property
    def digest(self) -> str:
        """See `ItemEncoder.digest`."""
        text = f"{self.base.digest} {self.file.name} {self.file.digest} {self.weight:g}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def own(self) -> str:
        """See `ItemEncoder.own`."""
        return self.file.content

    @property
    def fields(self) -> tuple[Field, ...]:
        """See `ItemEncoder.fields`."""
        return (*self.base.fields, Field(self.file.name, self.file.vectors.shape[1]))

    def modalities(self, catalogue: Catalogue) -> tuple[Modality, ...]:
        """See `ItemEncoder.modalities`."""
        own = Modality.of(self.file.name, self.file.rows(catalogue), self.weight)
        return (*self.base.modalities(catalogue), own)


def keep_vectors(folder: Path, path: str | Path, source: str | None) -> None:
    """Copy a file of image vectors into a tenant's `folder`, with what made them. Raises DataError if it is none."""
    read_vectors(path, source=source)
    write_bytes(folder / IMAGES / f"vectors{Path(path).suffix}", Path(path).read_bytes())
    if source is not None:
        write_text(folder / IMAGES / SOURCE, source)


def kept_vectors(folder: Path) -> VectorFile | None:
    """The image vectors in a tenant's `folder`, if it has any."""
    found = sorted((folder / IMAGES).glob("vectors.*"))
    if not found:
        return None
    source = folder / IMAGES / SOURCE
    return read_vectors(found[0], source=source.read_text(encoding="utf-8") if source.exists() else None)


def read_vectors(path: str | Path, source: str | None = None) -> VectorFile:
    """The vectors of a file; more than `MAX_WIDTH` coordinates are projected by public signs.

    source: names the model that made the vectors, such as "clip-vit-b32 1.0". Tenants with catalogues of their own
    bring different files, and then the source is what has to agree. None: everyone must have this very file.

    Raises:
        DataError: the file cannot be read, is of another kind, holds an item twice, or a number that is not finite.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        item_ids, vectors = _reader(path)(content)
    except DAMAGED as error:
        if isinstance(error, DataError):
            raise
        raise _wrong(path, f"it cannot be read as vectors ({error})") from error
    _check(path, item_ids, vectors)
    width = vectors.shape[1]
    whole = hashlib.sha256(content).hexdigest()
    said = f"{width} {source}" if source is not None else f"{width} {whole}"
    digest = hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
    return VectorFile(IMAGE, item_ids, projected(vectors.astype(np.float64)), digest, whole)


def projected(vectors: AnyArray) -> Float32Array:
    """(n, at most MAX_WIDTH): wide vectors times a fixed matrix of signs, the same everywhere, which keeps angles up to
    about 1 / sqrt(MAX_WIDTH) (Achlioptas, 2003)."""
    width = vectors.shape[1]
    if width <= MAX_WIDTH:
        return np.asarray(vectors, np.float32)
    octets = hashlib.shake_256(f"fedrec projection {width} {MAX_WIDTH}".encode()).digest(width * MAX_WIDTH // 8)
    signs = np.unpackbits(np.frombuffer(octets, np.uint8)).reshape(width, MAX_WIDTH) * 2.0 - 1.0
    return np.asarray(vectors @ signs / np.sqrt(MAX_WIDTH), np.float32)


Read = tuple[tuple[str, ...], AnyArray]


def _reader(path: Path) -> Callable[[bytes], Read]:
    readers = {".npz": _read_npz, ".parquet": _read_parquet, ".safetensors": _read_safetensors}
    if path.suffix not in readers:
        raise _wrong(path, f"vectors are read from {', '.join(readers)}, not from '{path.suffix}'")
    return readers[path.suffix]


def _read_npz(content: bytes) -> Read:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return tuple(str(item) for item in arrays["item_id"]), arrays["vector"]


def _read_parquet(content: bytes) -> Read:
    table = pq.read_table(pa.BufferReader(content))
    ids = table["item_id"].cast(pa.string()).to_pylist()
    vectors: Any = np.array(table["vector"].to_pylist(), dtype=np.float64)
    return tuple(ids), vectors


def _read_safetensors(content: bytes) -> Read:
    tensors = read_tensors(content)
    return tuple(tensors), np.array(list(tensors.values()), dtype=np.float64)


def _check(path: Path, item_ids: tuple[str, ...], vectors: AnyArray) -> None:
    if vectors.ndim != 2 or len(vectors) != len(item_ids) or not vectors.size:
        raise _wrong(path, f"it has {len(item_ids)} items and vectors of shape {vectors.shape}")
    if not np.issubdtype(vectors.dtype, np.floating) or not np.isfinite(vectors).all():
        raise _wrong(path, "a vector holds something that is not a finite number")
    if len(set(item_ids)) != len(item_ids):
        raise _wrong(path, "an item is there twice")


def _wrong(path: Path, problem: str) -> DataError:
    return DataError(problem, cure="give one vector of the same length for each item id", source=str(path))
