"""Rows that a command line names by the address of a database, or as `opening` knows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrec.cli import opening
from fedrec.data import Dataset
from fedrec.data.address import is_address
from fedrec.errors import ConfigError

if TYPE_CHECKING:
    from fedrec.deploy.tenant.source import Source

Query = Annotated[str | None, typer.Option("--query", metavar="SQL", help="Of a database: what gives the events.")]
Table = Annotated[str | None, typer.Option("--table", metavar="NAME", help="Of a database: where the events are.")]


def database_of(
    what: str,
    query: str | None,
    table: str | None,
    column: list[str] | None = None,
    duplicates: opening.Repeated = opening.Repeated.ERROR,
) -> Source | None:
    """The database that `what` names; None if it names something else. Raises ConfigError for a wrong address."""
    if not is_address(what):
        if query is not None or table is not None:
            raise ConfigError("--query and --table are for a database, such as postgresql://user@host/shop.")
        return None
    from fedrec.deploy.tenant.source import Source

    return Source.of(what, query, table, columns=opening.columns_of(column or []), duplicates=duplicates.value)


def rows_of(
    what: str,
    source: Source | None,
    column: list[str] | None = None,
    duplicates: opening.Repeated = opening.Repeated.ERROR,
    catalogue: Path | None = None,
    users: Path | None = None,
) -> Dataset:
    """The rows of `source`, or of the file, directory or public dataset `what`."""
    from fedrec.simulations.tenancy import load_dataset

    if source is None:
        return load_dataset(opening.source_of(what, catalogue, users, column, duplicates), seed=0)
    if catalogue is not None or users is not None:
        raise ConfigError("--catalogue and --users go with a file of events; a database gives the events only.")
    return source.read()
