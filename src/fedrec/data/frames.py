"""Frames of any library as Arrow tables, by the Arrow PyCapsule interface: no frame library is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from fedrec.errors import DataError


def to_table(frame: Any, source: str) -> pa.Table:
    """The rows of `frame`, which has `__arrow_c_stream__` or is a mapping of column name -> values.

    Raises:
        DataError: it is neither, or a column mixes kinds of values.
    """
    if isinstance(frame, pa.Table):
        return frame
    try:
        if isinstance(frame, Mapping):
            return pa.table(dict(frame))
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(frame).read_all()
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".")
        raise DataError(
            f"the frame cannot be turned into an Arrow table ({reason})",
            cure="give each column values of one kind",
            source=source,
        ) from None
    raise DataError(
        f"a {type(frame).__name__} is not a frame",
        cure="give a pandas, polars or Arrow frame, or use Dataset.from_files for paths",
        source=source,
    )
