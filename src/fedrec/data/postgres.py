"""Rows of a PostgreSQL query as an Arrow table, fetched in pieces by a cursor of the server's.

psycopg finds a password where libpq's programs do: in the address, in PGPASSWORD, in ~/.pgpass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fedrec.data.address import Address
from fedrec.data.database import Check
from fedrec.errors import ConfigError, DataError

if TYPE_CHECKING:
    import psycopg

ROWS_AT_ONCE = 1 << 16
PATIENCE_S = 10
_KINDS = {
    **dict.fromkeys(("int2", "int4", "int8"), pa.int64()),
    **dict.fromkeys(("float4", "float8", "numeric"), pa.float64()),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}
"""The types that have a form of their own in Arrow; values of others become text."""
_WHOLE = pa.decimal128(38, 0)


def read(address: Address, query: str, check: Check) -> pa.Table:
    """All rows of `query`, in one read-only transaction.

    Raises:
        ConfigError: psycopg is not installed.
        DataError: the server cannot be reached, or the query fails.
    """
    with _connected(address) as connection:
        import psycopg

        connection.read_only = True
        try:
            with connection.cursor(name="fedrec") as cursor:
                cursor.execute(query.encode())
                names = [column.name for column in cursor.description or ()]
                check(names)
                kinds = [_kind(connection, column) for column in cursor.description or ()]
                pieces = [_piece(names, kinds, [])]
                while rows := cursor.fetchmany(ROWS_AT_ONCE):
                    pieces.append(_piece(names, kinds, rows))
        except (psycopg.Error, pa.ArrowException, ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise _failed(address, error) from None
    return pa.concat_tables(pieces)


@contextmanager
def deleting(address: Address, statement: str, user: str) -> Iterator[int]:
    """See `Place.deleting`."""
    with _connected(address) as connection:
        import psycopg

        try:
            with connection.transaction():
                yield connection.execute(f"{statement}%s".encode(), (user,)).rowcount
        except psycopg.Error as error:
            raise _failed(address, error) from None


@contextmanager
def _connected(address: Address) -> Iterator[psycopg.Connection[Any]]:
    try:
        import psycopg
    except ImportError:
        raise ConfigError("PostgreSQL needs psycopg; install it with `pip install 'fedrec[postgres]'`.") from None
    patience = None if "connect_timeout=" in address.url else PATIENCE_S
    try:
        connection = psycopg.connect(address.url, connect_timeout=patience)
    except psycopg.Error as error:
        cure = "check the address, that the server runs, and the password in PGPASSWORD or ~/.pgpass"
        reason = " ".join(address.without_secrets(str(error)).split()).rstrip(".")
        problem = f"the server cannot be reached, or lets nobody in ({reason})"
        raise DataError(problem, cure=cure, source=address.shown) from None
    try:
        yield connection
    finally:
        connection.close()


def _kind(connection: psycopg.Connection[Any], column: psycopg.Column) -> pa.DataType:
    found = connection.adapters.types.get(column.type_code)
    name = found.name if found is not None else ""
    if name == "numeric" and column.scale == 0:
        return _WHOLE  # ids of many digits, which are no floats
    return _KINDS.get(name, pa.large_string())


def _piece(names: Sequence[str], kinds: Sequence[pa.DataType], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    arrays = [_array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return pa.table(arrays, names=list(names))


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], kind)
    if pa.types.is_large_string(kind):
        return pa.array([None if value is None else str(value) for value in values], kind)
    return pa.array(values, kind)


def _failed(address: Address, error: Exception) -> DataError:
    cure = "correct the query or the name of the table, or ask for the right to read it"
    reason = address.without_secrets(str(error)).strip().split("\n", 1)[0].rstrip(".")
    return DataError(f"the query failed ({reason})", cure=cure, source=address.shown)
