"""`fedrec simulate`: a whole federation on this machine."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fedrec.cli import completion
from fedrec.cli.exits import INTERRUPTED, one_line_errors
from fedrec.cli.folders import CONFIG, PAGE, REPORT, left_behind, new_folder
from fedrec.cli.opening import show_licence
from fedrec.errors import ConfigError, FedrecError

if TYPE_CHECKING:
    from fedrec.config import Config
    from fedrec.server.events import Listener
    from fedrec.server.tracking import Tracker
    from fedrec.simulations.experiment import Experiment
    from fedrec.simulations.report.schema import Report

DEFAULT = "demo"


@dataclass(frozen=True)
class Ways:
    """How a run is made, besides its configuration. tensorboard: a folder for what TensorBoard shows."""

    quiet: bool = False
    resume: bool = False
    tensorboard: Path | None = None


def simulate(
    configuration: Annotated[
        str | None,
        typer.Argument(
            metavar="[PRESET|CONFIG.toml]",
            help="A preset (see --list) or a TOML file.",
            autocompletion=completion.configurations,
            show_default=f"{DEFAULT}, or what --resume finds in --out",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the configuration's seed.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A new or empty folder for the run.", show_default="runs/<name>")
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="What to compare, of floor, local, federated, tuned, fused, personal and pooled.",
            show_default="as configured",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was interrupted in the folder --out.")
    ] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write losses, bytes and times for TensorBoard into this folder, too.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the path of the run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print paths and headline results as JSON.")] = False,
    list_them: Annotated[bool, typer.Option("--list", help="List the presets and leave.")] = False,
) -> None:
    """Let tenants on this machine build one recommender, and report what that did for each of them.

    The run's folder gets the report, the configuration as run, what the server and each tenant know, and the models.

    Ctrl-C leaves what there is, and --resume goes on from it: the result is the same as without the interruption.
    """
    with one_line_errors():
        if list_them:
            _list_presets()
            return
        if resume and out is None:
            raise ConfigError("--resume needs --out, the folder of the run that was interrupted.")
        config = _configured(configuration or _begun(out, resume), seed, arms)
        folder, report = _run(config, out, Ways(quiet, resume, tensorboard))
        _show(report, folder, quiet, as_json)


def _begun(out: Path | None, resume: bool) -> str:
    """What is run if no configuration is named: that of the run to be resumed, or the default."""
    begun = resume and out is not None and (out / CONFIG).exists()
    return str(out / CONFIG) if begun and out is not None else DEFAULT


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


def _run(config: Config, out: Path | None, ways: Ways) -> tuple[Path, Report]:
    """Run, and say what is there if that is cut short."""
    tracker = _tracker(ways)
    folder = out or new_folder(config.name)
    experiment = _experiment(config, folder, ways, ours=out is None)
    if not ways.quiet:
        typer.echo(_opening(config, folder), err=True)
    show_licence(config.data, ways.quiet)
    try:
        with _watching(config, tracker, ways.quiet) as experiment.listener:
            return folder, experiment.run()
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {left_behind(folder)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except FedrecError:
        if (folder / CONFIG).exists():
            typer.echo(f"not finished: {left_behind(folder)}", err=True)
        raise


def _opening(config: Config, folder: Path) -> str:
    """What is begun, or gone on with."""
    from fedrec.simulations.resuming import State, state_of

    words = {State.EMPTY: "", State.INTERRUPTED: ", going on", State.FINISHED: ", which is finished: nothing to do"}
    return f"{config.name} (seed {config.seed}) in {folder}{words[state_of(folder)]}"


def _tracker(ways: Ways) -> Tracker | None:
    if ways.tensorboard is None:
        return None
    from fedrec.server.tracking import TensorBoardTracker

    return TensorBoardTracker(ways.tensorboard)


@contextmanager
def _watching(config: Config, tracker: Tracker | None, quiet: bool) -> Iterator[Listener]:
    """Whoever is told what happens: the terminal, and a tracker if there is one."""
    from fedrec.cli import progress
    from fedrec.server.events import all_of
    from fedrec.server.tracking import tracking

    tracked: AbstractContextManager[Listener] = nullcontext(lambda event: None)
    if tracker is not None:
        tracked = tracking(tracker, config)
    with progress.watching(config, progress.FEDERATED_RUN, quiet) as shown, tracked as told:
        yield all_of(shown, told)


def _experiment(config: Config, folder: Path, ways: Ways, ours: bool) -> Experiment:
    """The experiment, if it can be run; else a folder of ours is taken away again."""
    try:
        from fedrec.simulations.experiment import Experiment  # takes seconds where Flower was never imported

        logging.getLogger("flwr").setLevel(logging.WARNING)
        experiment = Experiment(config, folder, resume=ways.resume)
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
