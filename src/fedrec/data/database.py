"""Events in a database of their owner's: PostgreSQL, DuckDB or SQLite, by its address and a query or a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType

import pyarrow as pa

from fedrec.data.address import Address
from fedrec.data.columns import Sheet
from fedrec.errors import ConfigError

Check = Callable[[Sequence[str]], None]
"""Is given the names of the columns before a row is fetched; raises if it does not like them."""


@dataclass(frozen=True)
class Place:
    """The rows of a query, or of a table: exactly one of the two. `schema.orders` names a table of a schema.

    Raises ConfigError unless one of them is given.
    """

    address: Address
    query: str | None = None
    table: str | None = None

    def __post_init__(self) -> None:
        if (self.query is None) == (self.table is None):
            raise ConfigError(f"Give either a query or a table for the events in {self.address.shown}.")

    @property
    def name(self) -> str:
        """What the rows are called in messages."""
        return f"{self.address.shown}, {'query' if self.table is None else f'table {self.table}'}"

    def sheet(self, roles: Mapping[str, str], wanted: frozenset[str]) -> Sheet:
        """The columns of `wanted` that are there, in one read-only transaction. roles: see `Sheet.columns`.

        Raises DataError for a server that cannot be reached, a query that fails, and a column that is missing.
        """

        def check(names: Sequence[str]) -> None:
            sheet = Sheet(pa.table([pa.nulls(0)] * len(names), names=list(names)), self.name, roles)
            for role in (("user_id",), ("item_id",), ("timestamp", "datetime")):
                sheet.need(*role)

        statement = self.query
        if self.table is not None:
            listed = ", ".join(quoted(name) for name in self._columns(check) if name in wanted)
            statement = f"SELECT {listed} FROM {_table(self.table)}"
        table = _backend(self.address).read(self.address, statement, check)
        return Sheet(table.select([name for name in table.column_names if name in wanted]), self.name, roles)

    def deleting(self, column: str, user: str) -> AbstractContextManager[int]:
        """Delete a user's rows: yields how many there were; they are gone at the end of the block, unless it raises.

        column: that holds the users' ids. Raises ConfigError for a query, whose rows are in nobody knows which table.
        """
        if self.table is None:
            raise ConfigError(f"The rows come from a query of {self.address.shown}; delete the user there by hand.")
        statement = f"DELETE FROM {_table(self.table)} WHERE CAST({quoted(column)} AS VARCHAR) = "
        rows: AbstractContextManager[int] = _backend(self.address).deleting(self.address, statement, user)
        return rows

    def _columns(self, check: Check) -> list[str]:
        found: list[str] = []

        def note(names: Sequence[str]) -> None:
            check(names)
            found.extend(names)

        _backend(self.address).read(self.address, f"SELECT * FROM {_table(self.table or '')} LIMIT 0", note)
        return found


def quoted(name: str) -> str:
    """A name as SQL has it, letter by letter."""
    return '"' + name.replace('"', '""') + '"'


def _table(name: str) -> str:
    return ".".join(quoted(part) for part in name.split("."))


def _backend(address: Address) -> ModuleType:
    """The module with `read` and `deleting` for a kind of database; only who queries one pays for loading them."""
    address.check_file()
    from fedrec.data import postgres, sql, sqlite

    return {"postgresql": postgres, "duckdb": sql, "sqlite": sqlite}[address.kind]
