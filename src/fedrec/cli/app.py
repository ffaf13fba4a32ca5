"""The command line: every command is in a module of its own."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fedrec.cli import data, evaluate, model, platform, privacy, recommend, report, simulate, tenant, tune
from fedrec.cli.exits import EPILOG

app = typer.Typer(
    name="fedrec",
    help="Federated, privacy-preserving recommendation: one recommender for many data owners, whose rows stay theirs.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # they may hold rows
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("simulate", epilog=EPILOG)(simulate.simulate)
app.command("evaluate", epilog=EPILOG)(evaluate.evaluate)
app.command("tune", epilog=EPILOG)(tune.tune)
app.command("recommend", epilog=EPILOG)(recommend.recommend)
app.command("model", epilog=EPILOG)(model.model)
app.command("report", epilog=EPILOG)(report.report)
app.add_typer(data.app, name="data")
app.add_typer(privacy.app, name="privacy")
app.add_typer(platform.app, name="platform")
app.add_typer(tenant.app, name="tenant")


def _version(wanted: bool) -> None:
    if wanted:
        from fedrec import __version__

        typer.echo(f"fedrec {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of `fedrec` itself; the help of the application is shown in place of this text."""


def main() -> None:
    """Entry point of `fedrec`."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
    app()
