"""`fedrec evaluate`: recommenders on one table, without a federation."""

from __future__ import annotations

import json
import logging
from enum import StrEnum
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
from fedrec.config import Config, DataConfig, EvaluationConfig
from fedrec.formats import clean, count, metric, plural
from fedrec.simulations.tenancy import load_dataset

if TYPE_CHECKING:
    from fedrec.simulations.report.schema import Measure, ModelCard, Report, Result

    Slices = dict[str, dict[str, Measure]]

LABEL = "One table, no federation"
DEFAULT_MODELS = ("markov", "item_knn", "ease")
DESCRIBED = {"leave-last-out": "each user's last discovery", "time": "what came last in time"}


class Rule(StrEnum):
    """What is held out."""

    LAST = "leave-last-out"
    TIME = "time"


def evaluate(
    what: opening.What,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A recommender, ease or ease:l2=100|300,window=20; values separated by | are chosen among on "
            "validation. May be repeated; popularity is always there.",
            autocompletion=completion.models,
            show_default=", ".join(DEFAULT_MODELS),
        ),
    ] = None,
    catalogue: opening.CatalogueFile = None,
    users: opening.UsersFile = None,
    column: opening.Columns = None,
    duplicates: opening.Duplicates = opening.Repeated.ERROR,
    holdout: Annotated[Rule, typer.Option(help="Each user's last discovery, or what came last in time.")] = Rule.LAST,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Length of the lists that are measured.")] = 10,
    saved: Annotated[
        list[Path] | None,
        typer.Option(help="The folder of a model that was trained without these rows, to be measured beside. Repeat."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals' resampling, and of generated data.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure recommenders on one table: no tenants, no federation.

    Fits on the training rows, chooses on validation, reads the test once, by the code that a federation runs. A saved
    model of a federation is measured as it is: so a tenant sees what it would get before it joins.
    """
    with one_line_errors():
        source = opening.source_of(what, catalogue, users, column, duplicates)
        name = source.dataset or str(source.path)
        evaluation = EvaluationConfig(holdout=holdout.value, ks=(k,), headline=f"NDCG@{k}")
        config = _configured(name, model or list(DEFAULT_MODELS), evaluation, seed)
        opening.show_licence(source, quiet)
        elsewhere = _zero_shot(saved or [], config, source)
        report = _measure(config, source, quiet)
        if as_json:
            typer.echo(json.dumps(_as_json(report) | _saved_json(elsewhere), ensure_ascii=False))
        else:
            Console().print(_shown(report, config, elsewhere))


def _configured(name: str, models: list[str], evaluation: EvaluationConfig, seed: int) -> Config:
    from fedrec.simulations.one_table import configuration

    return configuration(name, models, evaluation, seed)


def _measure(config: Config, source: DataConfig, quiet: bool) -> Report:
    from fedrec.cli import progress
    from fedrec.simulations.one_table import run

    logging.getLogger("flwr").setLevel(logging.WARNING)
    dataset = load_dataset(source, config.seed)
    with progress.watching(config, progress.ONE_TABLE, quiet) as listener:
        return run(config, dataset, listener)


def _zero_shot(saved: list[Path], config: Config, source: DataConfig) -> list[Result]:
    from fedrec.simulations.zero_shot import zero_shot

    dataset = load_dataset(source, config.seed) if saved else None
    return [zero_shot(folder, config, dataset) for folder in saved if dataset is not None]


def _saved_json(elsewhere: list[Result]) -> dict[str, Any]:
    return {"saved": {result.model: {"test": result.model_dump()["slices"]} for result in elsewhere}}


def _as_json(report: Report) -> dict[str, Any]:
    from fedrec.simulations.one_table import result_of

    models = {
        card.name: {
            "parameters": card.parameters,
            "validation": _validation(card),
            "candidates": card.candidates,
            "test": result_of(report, card).model_dump()["slices"],
        }
        for card in report.models
    }
    return {
        "what": LABEL.lower(),
        "data": report.data.model_dump(include={"name", "users", "items", "events", "holdout", "users_left_out"}),
        "seed": report.seed,
        "metric": report.headline,
        "chosen": report.chosen,
        "models": models,
    }


def _shown(report: Report, config: Config, elsewhere: list[Result]) -> RenderableType:
    """The results for a terminal, best first, and then those of saved models."""
    from fedrec.simulations.one_table import result_of

    columns = {
        f"{report.headline} (95 %)": report.headline,
        f"HR@{config.evaluation.ks[0]}": f"HR@{config.evaluation.ks[0]}",
        "coverage": "coverage@10",
    }
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    rows.add_column("recommender", overflow="fold")
    for column in ("validation", *columns):
        rows.add_column(column, justify="right", no_wrap=True)
    found = {card.name: result_of(report, card).slices for card in report.models}
    ordered = sorted(report.models, key=lambda card: -_mean(found[card.name], report.headline))
    for card in ordered:
        cells = [_figure(found[card.name], column, column == report.headline) for column in columns.values()]
        rows.add_row(_name(card, report, config), metric(_validation(card)), *cells)
    for result in elsewhere:
        cells = [_figure(result.slices, column, column == report.headline) for column in columns.values()]
        rows.add_row(Text(f"saved: {clean(result.model)}"), metric(None), *cells)
    return Padding(Group(*_heading(report), Text(""), rows), (0, 1), expand=False)


def _heading(report: Report) -> list[RenderableType]:
    data = report.data
    sizes = f"{count(data.users)} users, {count(data.items)} items, {count(data.events)} events"
    held = f"Held out: {DESCRIBED[data.holdout]}; ranked against the whole catalogue, seen items removed."
    left_out = f" {plural(data.users_left_out, 'user')} could not be tested." if data.users_left_out else ""
    return [Text(f"{LABEL}: {clean(data.name)}, {sizes}", "bold"), Text(held + left_out)]


def _name(card: ModelCard, report: Report, config: Config) -> Text:
    """The recommender, with the hyper-parameters that were asked for as they were chosen."""
    asked = next((model.parameters for model in config.models if model.name == card.name), {})
    values = ", ".join(f"{key}={card.parameters[key]}" for key in asked)
    name = Text(card.name, "bold" if card.name == report.chosen else "")
    name.append(f" {values}" if values else "", "dim")
    return name.append(" (chosen)") if card.name == report.chosen else name


def _validation(card: ModelCard) -> float | None:
    """What the chosen candidate reached on validation; None for a recommender that stays with its tenant."""
    reached = [float(candidate["validation"] or 0.0) for candidate in card.candidates]
    return max(reached) if reached else None


def _mean(slices: Slices, name: str) -> float:
    measure = slices["all"].get(name)
    return measure.mean if measure is not None else 0.0


def _figure(slices: Slices, name: str, with_interval: bool) -> str:
    measure = slices["all"].get(name) or slices.get("lists", {}).get(name)
    if measure is None:
        return metric(None)
    if not with_interval or measure.low is None or measure.high is None:
        return metric(measure.mean)
    return f"{metric(measure.mean)} ({metric(measure.low)}-{metric(measure.high)})"
