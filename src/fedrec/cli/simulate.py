"""`fedrec simulate`: a whole federation on this machine."""

from __future__ import annotations

import itertools
import json
import logging
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fedrec.cli import completion
from fedrec.cli.exits import INTERRUPTED, one_line_errors
from fedrec.cli.folders import CONFIG, PAGE, REPORT, left_behind, new_folder
from fedrec.cli.opening import show_licence
from fedrec.errors import FedrecError

if TYPE_CHECKING:
    from fedrec.config import Config
    from fedrec.simulations.experiment import Experiment
    from fedrec.simulations.report.schema import Report

DEFAULT = "demo"


def simulate(
    configuration: Annotated[
        str,
        typer.Argument(
            metavar="[PRESET|CONFIG.toml]",
            help="A preset (see --list) or a TOML file.",
            autocompletion=completion.configurations,
            show_default=True,
        ),
    ] = DEFAULT,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the configuration's seed.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new or empty folder for the run.", show_default="runs/<name>")
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(help="What to compare, of floor, local, federated and pooled.", show_default="as configured"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the path of the run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print paths and headline results as JSON.")] = False,
    list_them: Annotated[bool, typer.Option("--list", help="List the presets and leave.")] = False,
) -> None:
    """Let tenants on this machine build one recommender, and report what that did for each of them.

    The run's folder gets the report, the configuration as run, what the server and each tenant know, and the models.

    Ctrl-C leaves what there is.
    """
    with one_line_errors():
        if list_them:
            _list_presets()
            return
        config = _configured(configuration, seed, arms)
        folder, report = _run(config, out, quiet)
        _show(report, folder, quiet, as_json)


def _list_presets() -> None:
    from fedrec.config import presets

    folder = resources.files("fedrec.simulations") / "presets"
    names = presets()
    width = max(len(name) for name in names)
    for name in names:
        text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
        sentence = " ".join(line.removeprefix("#").strip() for line in comment).partition(". ")[0]
        typer.echo(f"{name:<{width}}  {sentence.removesuffix('.')}")


def _configured(configuration: str, seed: int | None, arms: str | None) -> Config:
    """The configuration with what the command line says otherwise, checked as one written in a file."""
    from fedrec.config import ARMS, load, parse
    from fedrec.errors import ConfigError

    config = load(configuration)
    raw: dict[str, Any] = config.model_dump(mode="json", exclude_none=True)
    if seed is not None:
        raw["seed"] = seed
    if arms is not None:
        wanted = {arm.strip() for arm in arms.split(",")}
        unknown = sorted(wanted - set(ARMS))
        if unknown:
            raise ConfigError(f"--arms: expected some of {', '.join(ARMS)}, separated by commas, got '{unknown[0]}'.")
        if "federated" not in wanted:
            raise ConfigError("--arms: 'federated' must be among them; the others are what it is compared with.")
        raw["federation"]["arms"] = [arm for arm in ARMS if arm in wanted]
    return parse(raw, "command line")


def _run(config: Config, out: Path | None, quiet: bool) -> tuple[Path, Report]:
    """Run, and say what is there if that is cut short."""
    folder = out or new_folder(config.name)
    if not quiet:
        typer.echo(f"{config.name} (seed {config.seed}) in {folder}", err=True)
    experiment = _experiment(config, folder, ours=out is None)
    show_licence(config.data, quiet)
    from fedrec.cli import progress

    try:
        with progress.watching(config, progress.FEDERATED_RUN, quiet) as experiment.listener:
            return folder, experiment.run()
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {left_behind(folder)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except FedrecError:
        if (folder / CONFIG).exists():
            typer.echo(f"not finished: {left_behind(folder)}", err=True)
        raise


def _experiment(config: Config, folder: Path, ours: bool) -> Experiment:
    """The experiment, if it can be run; else a folder of ours is taken away again."""
    try:
        from fedrec.simulations.experiment import Experiment  # takes seconds where Flower was never imported

        logging.getLogger("flwr").setLevel(logging.WARNING)
        experiment = Experiment(config, folder)
        experiment.check()
    except BaseException:
        if ours:
            folder.rmdir()
        raise
    return experiment


def _show(report: Report, folder: Path, quiet: bool, as_json: bool) -> None:
    from fedrec.cli.headline import headline
    from fedrec.cli.run_folder import RunFolder
    from fedrec.simulations.report.terminal import summary

    if as_json:
        typer.echo(json.dumps(headline(report, folder, folder / PAGE), ensure_ascii=False))
    elif quiet:
        typer.echo(folder)
    else:
        Console().print(summary(report, [folder / PAGE, folder / REPORT]))
        store = RunFolder(folder).tenants()[0]
        user = store.dataset().interactions.user_ids[0]
        typer.echo(f"\nNext: fedrec recommend --run {folder} --user {user} --tenant {store.name}", err=True)
