"""Rows of a DuckDB query as an Arrow table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from fedrec.data.address import Address
from fedrec.data.database import Check
from fedrec.errors import DataError


@contextmanager
def connected(database: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """`database` itself if it is a connection, otherwise one to this path, read-only, closed at the end.

    Raises:
        DataError: the file cannot be opened.
    """
    if isinstance(database, duckdb.DuckDBPyConnection):
        yield database
        return
    try:
        connection = duckdb.connect(str(database), read_only=str(database) != ":memory:")
    except (duckdb.Error, RuntimeError) as error:
        cure = "give the path of a DuckDB file or an open connection"
        raise DataError(f"the database cannot be opened ({_reason(error)})", cure=cure, source=str(database)) from None
    with connection:
        yield connection


def query_table(connection: duckdb.DuckDBPyConnection, query: str, source: str) -> pa.Table:
    """All rows of `query`.

    Raises:
        DataError: the query fails or returns no table.
    """
    try:
        return connection.execute(query).to_arrow_table()
    except (duckdb.Error, pa.ArrowException, RuntimeError) as error:
        raise DataError(f"the query failed ({_reason(error)})", cure="correct the query", source=source) from None


def read(address: Address, query: str, check: Check) -> pa.Table:
    """All rows of `query`, from the file opened read-only.

    Raises:
        DataError: the file cannot be opened, or the query fails.
    """
    with connected(address.path) as connection:
        try:
            names = [str(column[0]) for column in connection.execute(query).description or ()]
        except (duckdb.Error, RuntimeError) as error:
            raise _failed(address, error) from None
        check(names)
        return connection.to_arrow_table()


@contextmanager
def deleting(address: Address, statement: str, user: str) -> Iterator[int]:
    """See `Place.deleting`."""
    try:
        with duckdb.connect(str(address.path)) as connection:
            connection.begin()
            found = connection.execute(f"{statement}?", [user]).fetchone()
            yield int(found[0]) if found else 0
            connection.commit()
    except (duckdb.Error, RuntimeError) as error:
        raise _failed(address, error) from None


def _failed(address: Address, error: Exception) -> DataError:
    cure = "correct it, or name the right table"
    return DataError(f"the query failed ({_reason(error)})", cure=cure, source=address.shown)


def _reason(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(".")
