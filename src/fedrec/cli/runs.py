"""`fedrec platform run`: one run from its submission to its end, or one after the other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import typer

from fedrec.cli.exits import FAILED, say
from fedrec.config import load
from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.runs import CONFIG, Run, existing_run, new_run, read_config, wait_for_nodes
from fedrec.deploy.platform.schedule import Schedule, SystemClock, repeat
from fedrec.deploy.platform.series import Series
from fedrec.errors import ConfigError, RoundFailed
from fedrec.server.events import Event
from fedrec.server.run import RESULTS


@dataclass(frozen=True)
class Manner:
    """How a run is followed. nodes: to wait for; None: as its configuration says. detach: submit it and leave."""

    nodes: int | None
    patience_s: float
    detach: bool = False


def chosen_run(platform: Platform, configuration: Path | None, resume: str | None, after: str | None) -> Run:
    """The run that is asked for: a new one, one that follows another, or one that was interrupted."""
    if configuration is None:
        if after is not None:
            raise ConfigError("--resume goes on with a run that knows which one it follows; leave --after out.")
        return existing_run(platform, resume)
    if after is None:
        return new_run(platform, configuration)
    _finished(platform, after)
    name = Series(platform, read_config(platform, configuration).name).next_name()
    return new_run(platform, configuration, name, after)


def carry_out(platform: Platform, begun: Run, manner: Manner) -> None:
    """Submit a run and follow it to its end, with what it found at last."""
    least = manner.nodes or load(begun.folder / CONFIG).federation.min_tenants
    typer.echo(f"{wait_for_nodes(platform.flower, least, manner.patience_s)} nodes are online", err=True)
    begun.submit()
    if not manner.detach:
        begun.follow(told, manner.patience_s)
        show_drift(begun)
    typer.echo(str(begun.folder))


def carry_out_again_and_again(
    platform: Platform,
    configuration: Path,
    schedule: Schedule,
    manner: Manner,
    after: str | None = None,
) -> None:
    """Runs of one configuration at the times of a schedule, each after the newest that was finished.

    after: the run that the first one follows. Exits with 1 if one of them failed.
    """
    if after is not None:
        _finished(platform, after)
    series = Series(platform, read_config(platform, configuration).name)
    last = series.began_at()
    unfinished = series.under_way()
    if unfinished is not None:
        typer.echo(f"{unfinished.folder.name} is still under way", err=True)
        unfinished.follow(told, manner.patience_s)
        show_drift(unfinished)

    def once() -> None:
        if (busy := series.under_way()) is not None:
            raise RoundFailed(f"{busy.folder.name} is still under way, so this time is left out.")
        name, before = series.next_name(), series.last_finished() or after
        typer.echo(f"{name} follows {before}" if before else f"{name} follows no other run", err=True)
        carry_out(platform, new_run(platform, configuration, name, before), manner)

    def failed(error: Exception) -> None:
        say(f"{error} The next run follows {series.last_finished() or after or 'no other run'}.")

    if repeat(schedule, SystemClock(), last, once, failed):
        raise typer.Exit(FAILED)


def show_drift(finished: Run) -> None:
    """What a run found of the events that were new, on stderr."""
    found = json.loads((finished.folder / RESULTS).read_text(encoding="utf-8")).get("drift")
    if found is None:
        return
    for alarm in found["alarms"]:
        typer.echo(f"DRIFT: {alarm}", err=True)
    if found["why_not"]:
        typer.echo(f"drift was not measured, or not all of it: {found['why_not']}", err=True)
    elif not found["alarms"]:
        typer.echo("no drift", err=True)


def told(event: Event) -> None:
    """An event in one line, on stderr."""
    left_out = ("sent", "mechanisms", "coordinates", "seen", "total")
    typer.echo(" ".join(f"{key}={value}" for key, value in event.items() if key not in left_out), err=True)


def _finished(platform: Platform, name: str) -> None:
    if not existing_run(platform, name).is_finished:
        raise ConfigError(f"The run '{name}' is not finished, so none can follow it; finish it with --resume {name}.")
