"""The public catalogue as a file of its own: what the server knows of the items."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq

from fedrec.data.catalogue import Catalogue
from fedrec.data.columns import Sheet
from fedrec.data.files import read_table
from fedrec.data.items import read_catalogue
from fedrec.data.storage import items_table
from fedrec.files import write_bytes


def write_catalogue_file(catalogue: Catalogue, path: Path) -> None:
    """Write `catalogue` as one Parquet file, whole or not at all."""
    buffer = io.BytesIO()
    pq.write_table(items_table(catalogue), buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())


def read_catalogue_file(path: Path) -> Catalogue:
    """Read what `write_catalogue_file` wrote. Raises DataError if the file is missing or damaged."""
    return read_catalogue(Sheet(read_table(path), str(path)))
