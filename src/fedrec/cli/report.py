"""`fedrec report`: look at a run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fedrec.cli import completion
from fedrec.cli.exits import one_line_errors
from fedrec.cli.folders import PAGE, REPORT


def report(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="The folder of a run, or its report.json.",
            autocompletion=completion.runs,
            show_default="the newest in runs/",
        ),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write the page to this file.", show_default="RUN/report.html")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print paths and headline results as JSON.")] = False,
) -> None:
    """Draw report.html anew from report.json, and print the summary."""
    with one_line_errors():
        from fedrec.cli import run_folder
        from fedrec.cli.headline import headline
        from fedrec.files import write_text
        from fedrec.simulations.report.html import render
        from fedrec.simulations.report.terminal import summary

        found = run_folder.find(run)
        measured = found.report()
        page = html or found.path / PAGE
        write_text(page, render(measured))
        if as_json:
            typer.echo(json.dumps(headline(measured, found.path, page), ensure_ascii=False))
        else:
            Console().print(summary(measured, [page, found.path / REPORT]))
        if open_it:
            typer.launch(page.resolve().as_uri())
