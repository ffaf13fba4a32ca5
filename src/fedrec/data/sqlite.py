"""Rows of an SQLite file as an Arrow table, in pieces, so that only one piece is ever held as Python values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pyarrow as pa

from fedrec.data.address import Address
from fedrec.data.database import Check
from fedrec.errors import DataError

ROWS_AT_ONCE = 1 << 16


def read(address: Address, query: str, check: Check) -> pa.Table:
    """All rows of `query`, from the file opened read-only.

    Raises:
        DataError: the query fails, or a column mixes kinds of values.
    """
    try:
        with _connected(address, "ro") as connection, closing(connection.execute(query)) as cursor:
            names = [str(column[0]) for column in cursor.description or ()]
            check(names)
            pieces = [_piece(names, [])]
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                pieces.append(_piece(names, rows))
        return pa.concat_tables(pieces, promote_options="permissive")
    except (sqlite3.Error, pa.ArrowException) as error:
        raise _failed(address, error) from None


@contextmanager
def deleting(address: Address, statement: str, user: str) -> Iterator[int]:
    """See `Place.deleting`."""
    try:
        with _connected(address, "rw") as connection, connection:
            yield connection.execute(f"{statement}?", (user,)).rowcount
    except sqlite3.Error as error:
        raise _failed(address, error) from None


@contextmanager
def _connected(address: Address, mode: str) -> Iterator[sqlite3.Connection]:
    path = address.path
    assert path is not None  # Address.of gives one to every file
    with closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True)) as connection:
        yield connection


def _piece(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return pa.table([pa.array(column) for column in columns], names=list(names))


def _failed(address: Address, error: Exception) -> DataError:
    reason = str(error).split("\n", 1)[0].rstrip(".")
    return DataError(f"the query failed ({reason})", cure="correct it, or name the right table", source=address.shown)
