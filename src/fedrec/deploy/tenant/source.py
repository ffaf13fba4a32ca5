"""The tenant's own database, as the tenant's folder remembers it: `source.toml`, which holds no password.

What training reads is a snapshot in `rows/`, not the database: rows must not change within a run, since what it holds
out follows from them, and a query that was refined in between would change them all. `fedrec tenant ingest` without a
file takes what is new there: rows of a user, item and time that the snapshot does not have. Rows that were changed or
deleted in the database stay in the snapshot as they were; `fedrec tenant forget` removes a user's.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedrec.client.incoming import SOURCE
from fedrec.data import Dataset
from fedrec.data.address import Address
from fedrec.data.database import Place
from fedrec.data.reading import Duplicates
from fedrec.errors import ConfigError
from fedrec.files import write_bytes

_HEAD = """\
# Where `fedrec tenant ingest` without a file finds new rows. A password does not belong here: libpq's PGPASSWORD and
# ~/.pgpass are asked for it.
"""


@dataclass(frozen=True)
class Source:
    """Events in a database. columns, duplicates: see `ReadOptions`."""

    place: Place
    columns: Mapping[str, str] = field(default_factory=dict)
    duplicates: Duplicates = "error"

    @classmethod
    def of(cls, address: str, query: str | None, table: str | None, **how: Any) -> Source:
        """The source that a command line names. Raises ConfigError if it does so wrongly."""
        return cls(Place(Address.of(address), query, table), **how)

    def read(self) -> Dataset:
        """All rows that are there now. Raises DataError if they cannot be had."""
        place = self.place
        name = place.table or place.address.kind
        options: dict[str, Any] = {"name": name, "columns": self.columns, "duplicates": self.duplicates}
        return Dataset.from_database(place.address.url, place.query, place.table, **options)

    def deleting(self, user: str) -> AbstractContextManager[int]:
        """See `Place.deleting`."""
        return self.place.deleting(self.columns.get("user_id", "user_id"), user)

    def write(self, folder: Path) -> None:
        """Remember the source in a tenant's folder, readable by its owner only."""
        place = self.place
        values = {"database": place.address.shown, "query": place.query, "table": place.table}
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
        lines += [f"duplicates = {json.dumps(self.duplicates)}", "[columns]"]
        lines += [f"{json.dumps(role)} = {json.dumps(name)}" for role, name in self.columns.items()]
        write_bytes(folder / SOURCE, (_HEAD + "\n".join(lines) + "\n").encode(), mode=0o600)


def source_of(folder: Path) -> Source | None:
    """The source that a tenant's folder remembers; None if its rows came from a file.

    Raises ConfigError for a file that somebody spoilt.
    """
    path = folder / SOURCE
    if not path.exists():
        return None
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        how = {"columns": raw.get("columns", {}), "duplicates": raw.get("duplicates", "error")}
        return Source.of(raw["database"], raw.get("query"), raw.get("table"), **how)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error) if isinstance(error, ConfigError) else repr(error)
        raise ConfigError(f"{path} names no database: {reason}") from None
