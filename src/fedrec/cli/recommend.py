"""`fedrec recommend`: what a run's global model recommends to a tenant's user, or to a visitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fedrec.cli import completion, opening
from fedrec.cli.exits import one_line_errors
from fedrec.formats import clean, percent, short

if TYPE_CHECKING:
    from fedrec.cli.recommending import Answer, Item

ITEM_WIDTH = 52
ID_WIDTH = 14
SERVED_BY = {
    None: "of all tenants",
    "federated": "of all tenants",
    "tuned": "of all tenants, tuned here",
    "fused": "and others, fused",
    "local": "of this tenant alone",
}
"""The arm by which a tenant is served -> whose recommender it is."""


def recommend(
    run: Annotated[
        Path | None,
        typer.Option(help="The folder of a run.", autocompletion=completion.runs, show_default="the newest in runs/"),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Id of a user of one of the tenants.")] = None,
    items: Annotated[
        str | None, typer.Option(help="For a visitor who had these items, a,b,c, the oldest first.")
    ] = None,
    interest: Annotated[
        str | None, typer.Option(help="For a visitor who wants this, categories or words, a,b,c.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="The user's tenant.", show_default="the one that has the user")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A recommender of the run.", autocompletion=completion.models, show_default="chosen on validation"
        ),
    ] = None,
    saved: Annotated[
        Path | None, typer.Option(help="A saved model in place of a run, for a tenant that was not in it.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="That tenant's rows: a dataset directory, or a CSV or Parquet file of events.")
    ] = None,
    catalogue: opening.CatalogueFile = None,
    column: opening.Columns = None,
    duplicates: opening.Duplicates = opening.Repeated.ERROR,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many items.")] = 10,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each recommendation rests on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Recommend items to a user, by what the tenant chose for itself, else by the run's or a saved global model.

    Left out are items that the user has had and items that the tenant does not sell.
    """
    with one_line_errors():
        from fedrec.cli import recommending, recommending_saved, run_folder

        asked = recommending.Question(user, _listed(items), tenant, model, number, explain, interest)
        if saved is not None:
            rows = opening.rows_of(data, catalogue, column, duplicates)
            path, answer = saved, recommending_saved.answer_saved(saved, rows, asked)
        else:
            found = run_folder.find(run)
            path, answer = found.path, recommending.answer(found, asked)
        if as_json:
            typer.echo(json.dumps(_as_json(answer, path), ensure_ascii=False))
        else:
            Console().print(_table(answer))


def _listed(items: str | None) -> tuple[str, ...] | None:
    return None if items is None else tuple(item.strip() for item in items.split(",") if item.strip())


def _as_json(answer: Answer, run: Path) -> dict[str, Any]:
    found = []
    for rank, item in enumerate(answer.items, start=1):
        entry = {"rank": rank, "item_id": item.item_id, "text": item.text, "score": item.score}
        if item.because is not None:
            entry["base"] = item.base
            entry["because"] = [
                {"item_id": share.item_id, "text": share.text, "share": share.share} for share in item.because
            ]
        found.append(entry)
    who: dict[str, Any] = {"user": answer.user} if answer.user is not None else {"items": list(answer.history)}
    if answer.interest is not None:
        who["interest"] = answer.interest
    by: dict[str, Any] = {} if answer.served_by is None else {"served_by": answer.served_by}
    if answer.leads:
        by["leads"] = "fused"
    return {"run": str(run), "model": answer.model, **by, "tenant": answer.tenant, **who, "recommendations": found}


def _table(answer: Answer) -> RenderableType:
    """The answer for a terminal."""
    whose = "a visitor" if answer.user is None else f"user {clean(answer.user)}"
    where = "" if answer.tenant is None else f" at {clean(answer.tenant)}"
    chosen = ", chosen on validation" if answer.is_choice else ", which leads its fused list" if answer.leads else ""
    why = ", with what speaks for it" if any(item.because is not None for item in answer.items) else ""
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    rows.add_column("", justify="right", style="dim")
    rows.add_column("item", max_width=ITEM_WIDTH)
    rows.add_column("id", no_wrap=True, overflow="ellipsis", max_width=ID_WIDTH)
    rows.add_column("score", justify="right", no_wrap=True)
    for rank, item in enumerate(answer.items, start=1):
        rows.add_row(str(rank), _cell(item), Text(clean(item.item_id)), f"{item.score:.4g}")
    title = Text(f"For {whose}{where}, by {answer.model} {SERVED_BY[answer.served_by]}{chosen}{why}", "bold")
    empty = Text("Nothing is left to recommend: everything that the tenant sells was had already.")
    return Padding(Group(title, Text(""), rows if answer.items else empty), (0, 1), expand=False)


def _cell(item: Item) -> RenderableType:
    name = Text(short(item.text or item.item_id, ITEM_WIDTH))
    if item.because is None:
        return name
    return Group(name, *(Text(reason, "dim") for reason in _reasons(item)))


def _reasons(item: Item) -> list[str]:
    """The largest shares, each a part of all that speaks for the item."""
    if not item.because:
        return ["   many have it"]
    names = [short(one.text or one.item_id, ITEM_WIDTH - 7) for one in item.because]
    return [f"{percent(one.weight):>5}  {name}" for one, name in zip(item.because, names, strict=True)]
