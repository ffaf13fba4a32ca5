"""`fedrec data`: list, fetch and describe datasets."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedrec.cli import completion, databases, opening
from fedrec.cli.exits import EPILOG, one_line_errors
from fedrec.content import ContentCard, content_card
from fedrec.content.features import catalogue_features
from fedrec.data.description import Description, describe
from fedrec.data.sources import SOURCES, fetch, is_cached, source_named
from fedrec.models import pooled_sum

app = typer.Typer(help="List, fetch and describe datasets.", no_args_is_help=True, epilog=EPILOG)

Content = Annotated[
    bool, typer.Option("--content", help="Also show which fields of the items' content tell what users take next.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """Show the public datasets that can be fetched."""
    rows = [
        {"name": source.name, "summary": source.summary, "fetched": is_cached(source.name)}
        for source in SOURCES.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table("name", "what it is", "fetched")
    for row in rows:
        table.add_row(str(row["name"]), str(row["summary"]), "yes" if row["fetched"] else "no")
    Console().print(table)


@app.command("fetch")
def fetch_dataset(
    name: Annotated[
        str, typer.Argument(help="A name that `fedrec data list` shows.", autocompletion=completion.public_datasets)
    ],
    out: Annotated[Path | None, typer.Option(help="Also write the dataset to this new directory.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a public dataset into the cache, showing its licence."""
    with one_line_errors():
        typer.echo(source_named(name).licence + "\n", err=True)
        with Console(stderr=True).status(f"fetching {name}"):
            dataset = fetch(name)
        if out is not None:
            dataset.write(out)
        _show(describe(dataset), as_json)


@app.command("describe")
def describe_dataset(
    what: opening.What,
    catalogue: opening.CatalogueFile = None,
    users: opening.UsersFile = None,
    column: opening.Columns = None,
    duplicates: opening.Duplicates = opening.Repeated.ERROR,
    query: databases.Query = None,
    table: databases.Table = None,
    content: Content = False,
    as_json: AsJson = False,
) -> None:
    """Show what is in a dataset, or in a database, and what about it makes evaluation delicate."""
    with one_line_errors():
        database = databases.database_of(what, query, table, column, duplicates)
        dataset = databases.rows_of(what, database, column, duplicates, catalogue, users)
        card = (
            content_card(catalogue_features(dataset.catalogue), pooled_sum([dataset.histories()])) if content else None
        )
        _show(describe(dataset), as_json, card)


def _show(description: Description, as_json: bool, card: ContentCard | None = None) -> None:
    """card: of the content, if it was asked for."""
    if as_json:
        content = {} if card is None else {"content": asdict(card)}
        typer.echo(json.dumps(asdict(description) | content, ensure_ascii=False))
        return
    d = description
    table = Table(title=d.name, show_header=False)
    price = "" if d.median_price is None else f", median {d.median_price:g}"
    for label, value in (
        ("users", f"{d.users:,}"),
        ("items", f"{d.items:,} ({d.items_with_events:,} with events)"),
        ("events", f"{d.events:,} (median {d.median_events_per_user:g} per user)"),
        ("density", f"{d.density:.3%}"),
        ("from", d.first),
        ("to", d.last),
        ("users tied at their last time", f"{d.tied_at_the_end:,} ({d.tied_at_the_end / d.users:.0%})"),
        ("users with fewer than 3 items", f"{d.too_short:,}"),
        ("items with text", f"{d.items_with_text:,}"),
        ("items with price", f"{d.items_with_price:,}{price}"),
        (
            "primary categories",
            f"{d.num_categories}: " + ", ".join(f"{k} {v:,}" for k, v in d.categories.items()),
        ),
        ("user attributes", ", ".join(d.user_attributes)),
        ("event attributes", ", ".join(d.event_attributes)),
    ):
        table.add_row(label, value)
    Console().print(table)
    if card is not None:
        typer.echo(str(card))
