"""Reading a catalogue from a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fedrec.data.arrays import FloatArray
from fedrec.data.catalogue import Catalogue
from fedrec.data.columns import Column, Sheet

SEPARATOR = "|"


def read_catalogue(sheet: Sheet, text_columns: Sequence[str] = ()) -> Catalogue:
    """The items of a table with `item_id` and any of `text` or `title`, `categories` and `price`.

    categories: a list, or text separated by '|'. `text_columns` are joined behind the text of each item.

    Raises:
        DataError: an id is missing or occurs twice, or a value is not what its column says.
    """
    ids = sheet.need("item_id")
    item_ids = tuple(ids.strings().to_pylist())
    _refuse_repeats(ids, item_ids)
    return Catalogue(
        item_ids,
        _texts(sheet, text_columns),
        _categories(sheet.find("categories"), len(item_ids)),
        _prices(sheet),
    )


def _refuse_repeats(column: Column, item_ids: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for row, item in enumerate(item_ids):
        if item in seen:
            column.refuse(f"item {item!r} is there twice", "keep one row per item", row)
        seen.add(item)


def _texts(sheet: Sheet, text_columns: Sequence[str]) -> tuple[str | None, ...]:
    column = sheet.find("text", "title")
    columns = [column] if column else []
    columns += [sheet.need(name) for name in text_columns]
    if not columns:
        return (None,) * int(sheet.table.num_rows)
    rows = zip(*(column.texts() for column in columns), strict=True)
    return tuple(" ".join(part for part in row if part) or None for row in rows)


def _categories(column: Column | None, num_items: int) -> tuple[tuple[str, ...], ...]:
    if column is None:
        return ((),) * num_items
    if pa.types.is_nested(column.values.type):
        cure = "give a list of texts, or one text separated by '|'"
        lists = column.cast(pa.list_(pa.large_string()), "{} is not a list of texts", cure)
        return tuple(_distinct(row or ()) for row in lists.to_pylist())
    return tuple(_distinct((text or "").split(SEPARATOR)) for text in column.texts())


def _distinct(names: Sequence[str | None]) -> tuple[str, ...]:
    stripped = (name.strip() for name in names if name)
    return tuple(dict.fromkeys(name for name in stripped if name))


def _prices(sheet: Sheet) -> FloatArray:
    column = sheet.find("price")
    if column is None:
        return np.full(sheet.table.num_rows, np.nan)
    prices = column.numbers("price")
    column.refuse_where(pa.array(prices < 0), "price {} is negative", "leave a missing price empty")
    return prices
