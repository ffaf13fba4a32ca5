"""Datasets as a command line names them: by a public name, a directory, or files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli import completion
from fedrec.config import SYNTHETIC, DataConfig
from fedrec.data import SOURCES, Dataset
from fedrec.data.sources import is_cached
from fedrec.errors import ConfigError
from fedrec.simulations.tenancy import load_dataset


class Repeated(StrEnum):
    """What to do with rows of the same user, item and time."""

    ERROR = "error"
    DROP = "drop"
    SUM = "sum"


What = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A public dataset, a dataset directory, or a CSV or Parquet file of events.",
        autocompletion=completion.datasets,
    ),
]
CatalogueFile = Annotated[Path | None, typer.Option("--catalogue", help="A CSV or Parquet file of items.")]
UsersFile = Annotated[Path | None, typer.Option("--users", help="A CSV or Parquet file of users.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="ROLE=NAME where a column is not called by its role, user_id=customer."),
]
Duplicates = Annotated[Repeated, typer.Option("--duplicates", help="Rows of the same user, item and time.")]


def source_of(
    what: str,
    catalogue: Path | None = None,
    users: Path | None = None,
    column: list[str] | None = None,
    duplicates: Repeated = Repeated.ERROR,
) -> DataConfig:
    """Where the rows come from. Raises ConfigError if `what` is neither a name nor a path."""
    columns = columns_of(column or [])
    if what in SOURCES or what == SYNTHETIC:
        return DataConfig(dataset=what)
    if not Path(what).exists():
        raise ConfigError(f"Expected a file, a directory or one of {[*SOURCES, SYNTHETIC]}, got {what!r}.")
    return DataConfig(path=Path(what), catalogue=catalogue, users=users, columns=columns, duplicates=duplicates.value)


def rows_of(what: str | None, catalogue: Path | None, column: list[str] | None, duplicates: Repeated) -> Dataset | None:
    """The rows of `what`; None without it. Raises ConfigError if only options of it are given."""
    if what is not None:
        return load_dataset(source_of(what, catalogue, None, column, duplicates), seed=0)
    if catalogue is not None or column:
        raise ConfigError("--catalogue and --column describe the rows of --data; give that, too.")
    return None


def show_licence(source: DataConfig, quiet: bool = False) -> None:
    """On stderr: the licence of a public dataset in full before it is fetched; later, unless `quiet`, where it is."""
    if source.dataset not in SOURCES:
        return
    licence = SOURCES[source.dataset].licence
    if not is_cached(source.dataset):
        typer.echo(licence, err=True)
    elif not quiet:
        typer.echo(licence.splitlines()[-1], err=True)


def columns_of(pairs: list[str]) -> dict[str, str]:
    """Role -> name of --column ROLE=NAME. Raises ConfigError for another form."""
    for pair in pairs:
        if "=" not in pair:
            raise ConfigError(f"Expected --column ROLE=NAME, got {pair!r}.")
    return {pair.split("=", 1)[0]: pair.split("=", 1)[1] for pair in pairs}
