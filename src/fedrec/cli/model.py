"""`fedrec model`: what a saved model is, before anyone serves by it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fedrec.cli.exits import one_line_errors

if TYPE_CHECKING:
    from fedrec.content import ContentCard
    from fedrec.models import Recommender


def model(
    folder: Annotated[Path, typer.Argument(help="The folder of a saved model, such as RUN/server/models/ease.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show what a saved model is: hyper-parameters, items, and the encoder of their content with what helps of it."""
    with one_line_errors():
        from fedrec.content.card_file import read_card
        from fedrec.models import load

        found = load(folder)
        card = read_card(folder, found.encoder)
        if as_json:
            typer.echo(json.dumps(_described(found) | _content(card), ensure_ascii=False))
            return
        table = Table(title=str(folder), show_header=False)
        for name, value in _described(found).items():
            table.add_row(name.replace("_", " "), _cell(value))
        Console().print(table)
        if card is not None:
            typer.echo(str(card))


def _described(found: Recommender) -> dict[str, Any]:
    from fedrec.models import parameters_of

    encoder = found.encoder
    return {
        "recommender": found.algorithm.name,
        "parameters": parameters_of(found.algorithm),
        "items": len(found.item_ids),
        "encoder": None if encoder is None else {"name": encoder.name, "digest": encoder.digest},
        "weights": {name: list(array.shape) for name, array in found.weights.items()},
        "users_on_board": len(found.user_ids),
    }


def _content(card: ContentCard | None) -> dict[str, Any]:
    return {} if card is None else {"content": asdict(card) | {"helps": list(card.useful)}}


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(one)}" for key, one in value.items())
    if isinstance(value, list):
        return " x ".join(map(str, value)) or "one number"
    return "none" if value is None else str(value)
