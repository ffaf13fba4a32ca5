"""Times of events: unix seconds, or dates and times that are turned into them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedrec.data.arrays import IntArray
from fedrec.data.columns import Column, Sheet

_LATEST_S = 1e11  # in the year 5138; in milliseconds it is March 1973
_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
_SECONDS_CURE = 'give unix seconds, or pass ISO dates as columns={"datetime": "..."}'


def unix_seconds(sheet: Sheet) -> IntArray:
    """(num_rows,) int64 seconds in UTC of the `timestamp` column, or else of the `datetime` column.

    Fractions of a second are dropped. A date without time is midnight; a time without zone is UTC.

    Raises:
        DataError: both columns are missing, or a time is missing, unreadable or in milliseconds.
    """
    column = sheet.need("timestamp", "datetime")
    column.refuse_where(column.values.is_null(), "the time is missing", "fill it in or drop the row")
    if pa.types.is_date(column.values.type) or pa.types.is_timestamp(column.values.type):
        return _of_instants(column.values)
    if column.name == sheet.columns.get("datetime", "datetime"):
        return _of_iso_text(column)
    return _of_numbers(column)


def _of_instants(values: pa.Array) -> IntArray:
    instants = values.cast(pa.timestamp("s"), safe=False) if pa.types.is_date(values.type) else values
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[instants.type.unit]
    ticks = instants.cast(pa.int64()).to_numpy(zero_copy_only=False)
    seconds: IntArray = np.floor_divide(ticks, per_second).astype(np.int64)
    return seconds


def _of_numbers(column: Column) -> IntArray:
    numbers = column.numbers("time", _SECONDS_CURE)
    column.refuse_where(pa.array(np.isnan(numbers)), "the time is missing", "fill it in or drop the row")
    column.refuse_where(
        pa.array(np.abs(numbers) > _LATEST_S),
        "the time {} looks like milliseconds",
        "divide it by 1000: times are unix seconds",
    )
    return np.floor(numbers).astype(np.int64)


def _of_iso_text(column: Column) -> IntArray:
    if not column.is_text:
        column.refuse(f"{column.values.type} values are not dates", _SECONDS_CURE)
    zoned = pc.match_substring_regex(column.values, _ZONE)
    seconds = np.empty(len(column.values), dtype=np.int64)
    for mask, target in ((zoned, pa.timestamp("us", "UTC")), (pc.invert(zoned), pa.timestamp("us"))):
        rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
        part = Column(column.values.take(pa.array(rows)), column.name, column.source)
        seconds[rows] = _of_instants(_cast_dates(part, target, rows))
    return seconds


def _cast_dates(part: Column, target: pa.DataType, rows: IntArray) -> pa.Array:
    try:
        return part.values.cast(target)
    except (pa.ArrowException, ValueError):
        row = part.first_failure(target)
        part.refuse(f"{part.shown(row)} is not an ISO date", "write it as 2026-01-31T12:00:00", int(rows[row]))
