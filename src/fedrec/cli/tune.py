"""`fedrec tune`: hyper-parameters of one recommender, found on validation."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fedrec.cli import completion
from fedrec.cli.exits import INTERRUPTED, one_line_errors
from fedrec.cli.opening import show_licence
from fedrec.errors import ConfigError
from fedrec.files import write_text
from fedrec.formats import duration, metric, plural

if TYPE_CHECKING:
    from fedrec.config_training import Value
    from fedrec.simulations.search import Limits, Trial
    from fedrec.simulations.tuning import Task, Tuned

SHOWN = 10
STUDY = ".sqlite"
"""In place of the `.toml` of the configuration that is written: the trials, for `--resume`."""
LEDGERS = ".search"
"""In the same place, under [privacy]: the folder of the search's tenants, whose ledgers hold what it has spent."""


def tune(
    configuration: Annotated[
        str,
        typer.Argument(
            metavar="PRESET|CONFIG.toml",
            help=escape("A preset or a TOML file; its [tune.space] says what is searched."),
            autocompletion=completion.configurations,
        ),
    ],
    model: Annotated[
        str, typer.Option(help="The recommender, with its training if it is trained.", autocompletion=completion.models)
    ],
    trials: Annotated[
        int,
        typer.Option(
            min=1, help=escape("How many in all, those before --resume among them; [privacy] splits its budget so.")
        ),
    ] = 20,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which no trial begins.", show_default="none")
    ] = None,
    out: Annotated[Path, typer.Option(help="The best configuration; the trials lie beside it.")] = Path("best.toml"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the trials that lie beside --out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the path of --out.")] = False,
) -> None:
    """Search hyper-parameters of one recommender and of its training, on validation only.

    Each trial is a federated run up to the choice on validation; no tenant's test is read. The best values so far are
    written after each trial as a configuration for `fedrec simulate`. Under \\[privacy] all trials together have its
    budget, and the ledgers of the search lie beside --out.
    """
    with one_line_errors():
        task, limits = _asked(configuration, model, trials, timeout)
        show_licence(task.config.data, quiet)
        try:
            found = _search(task, limits, out, resume, quiet)
        except KeyboardInterrupt:
            study = out.with_suffix(STUDY)
            typer.echo(f"interrupted: {study} has the trials; go on with the same command and --resume", err=True)
            raise typer.Exit(INTERRUPTED) from None
        if quiet:
            typer.echo(out)
        else:
            Console().print(_shown(found, out))


def _asked(configuration: str, model: str, trials: int, timeout: float | None) -> tuple[Task, Limits]:
    from fedrec.config import load
    from fedrec.simulations.search import Limits
    from fedrec.simulations.tuning import task_of

    return task_of(load(configuration), model, trials), Limits(trials, timeout)


def _search(task: Task, limits: Limits, out: Path, resume: bool, quiet: bool) -> Tuned:
    from fedrec.simulations.search import open_study
    from fedrec.simulations.tuning import tune as search

    study = out.with_suffix(STUDY)
    if study == out or (out.exists() and not study.exists()):
        raise ConfigError(f"{out} is no file of a search; choose another --out, a name that ends in .toml.")
    logging.getLogger("flwr").setLevel(logging.WARNING)

    def told(tuned: Tuned) -> None:
        if tuned.ranked:
            write_text(out, tuned.as_toml())
        if not quiet:
            typer.echo(_line(tuned), err=True)

    charged = replace(task, folder=out.with_suffix(LEDGERS))
    return search(charged, limits, open_study(task.name, study, resume), told=told)


def _line(tuned: Tuned) -> str:
    """The last trial in one line."""
    last = tuned.trials[-1]
    score = f"failed, {last.reason}" if last.score is None else metric(last.score)
    return f"trial {len(tuned.trials)}: {score} in {duration(last.seconds)} ({_values(tuned.task, last)})"


def _shown(found: Tuned, out: Path) -> RenderableType:
    """The best trials for a terminal."""
    headline = found.task.config.evaluation.headline
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for column in ("trial", headline):
        rows.add_column(column, justify="right", no_wrap=True)
    rows.add_column("values", overflow="fold")
    for trial in found.ranked[:SHOWN]:
        rows.add_row(str(found.trials.index(trial) + 1), metric(trial.score), _values(found.task, trial))
    asked = plural(found.config.tune.evaluations, "time")
    said = f"Validation was asked {asked} to find these values, so its figures flatter them; the test was not read."
    heading = Text(f"{found.task.model}: the best of {plural(len(found.trials), 'trial')} on validation", "bold")
    cost = (Text("\n".join(found.cost)),) if found.cost else ()
    parts = (heading, Text(""), rows, Text(""), Text(said), *cost, Text(f"{out}: run it with `fedrec simulate {out}`"))
    return Padding(Group(*parts), (0, 1), expand=False)


def _values(task: Task, trial: Trial) -> str:
    """What was tried, without the parts of the keys that are the same for all."""
    prefixes = (f"models.{task.model}.", "training.local.", "training.parameters.", "training.")
    named = {next(key.removeprefix(p) for p in prefixes if key.startswith(p)): v for key, v in trial.values.items()}
    return ", ".join(f"{key}={_short(value)}" for key, value in named.items())


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
