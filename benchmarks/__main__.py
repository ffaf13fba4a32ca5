"""`python -m benchmarks`: list, run and quote the project's figures."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.benchmark import Settings
from benchmarks.readme import figures_table, measured
from benchmarks.registry import BENCHMARKS
from benchmarks.runner import COMPLETE, RESULTS, Result, read_results, result_path
from benchmarks.runner import run as run_one
from benchmarks.tables import benchmark_table, result_table
from fedrec.errors import FedrecError

app = typer.Typer(help="Measure the figures that the project quotes.", no_args_is_help=True, add_completion=False)
console = Console()


@app.command("list")
def list_benchmarks() -> None:
    """Show the benchmarks, what they measure and the minutes they take."""
    console.print(benchmark_table(BENCHMARKS))


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="A name from `list`, or 'all'.")],
    quick: Annotated[bool, typer.Option(help="Little data: shows that it works; the figures mean nothing.")] = False,
    seeds: Annotated[str, typer.Option(help="Seeds to average over, where a figure depends on one.")] = "0",
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = RESULTS,
) -> None:
    """Measure, and write benchmarks/results/NAME.json. Fails if a benchmark does, or a figure misses its bar."""
    settings = Settings(quick, _seeds(seeds))
    logging.getLogger("flwr").setLevel(logging.WARNING)
    results = _run_all(settings, out) if name == "all" else [_run_here(name, settings, out)]
    for result in results:
        console.print(result_table(result))
        console.print(f"written: {result_path(result['benchmark'], settings, out)}", highlight=False)
    raise typer.Exit(0 if all(_passed(result, settings) for result in results) else 1)


@app.command()
def readme() -> None:
    """Print the README's table of figures from the committed results."""
    try:
        typer.echo(figures_table(read_results()))
    except FedrecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


def _run_here(name: str, settings: Settings, out: Path) -> Result:
    if name not in BENCHMARKS:
        raise typer.BadParameter(f"no benchmark '{name}'; there are: {', '.join(BENCHMARKS)}, and 'all'.")
    with console.status(f"{name}: about {BENCHMARKS[name].minutes:g} min when not quick"):
        return run_one(
            BENCHMARKS[name],
            settings,
            out,
            lambda row: console.print(f"{name}: {row.figure}: {measured(row.value, row.unit)}", highlight=False),
        )


def _run_all(settings: Settings, out: Path) -> list[Result]:
    """Each in a process of its own: one's memory is not counted as another's, and one's crash is its own."""
    results: list[Result] = []
    options = ["--seeds", ",".join(map(str, settings.seeds)), "--out", str(out)]
    options += ["--quick"] if settings.quick else []
    for name in BENCHMARKS:
        path = result_path(name, settings, out)
        before = path.stat().st_mtime_ns if path.exists() else None
        code = subprocess.run([sys.executable, "-m", "benchmarks", "run", name, *options], check=False).returncode
        if path.exists() and path.stat().st_mtime_ns != before:
            results.append(json.loads(path.read_text(encoding="utf-8")))
        else:
            results.append({"benchmark": name, "status": f"failed: exit code {code}", "rows": []})
    return results


def _passed(result: Result, settings: Settings) -> bool:
    missed = any(row["met"] is False for row in result["rows"])
    return bool(result["status"] == COMPLETE and (settings.quick or not missed))


def _seeds(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"expected whole numbers such as 0,1,2, got {text!r}", param_hint="--seeds")
    return tuple(int(part) for part in parts)


if __name__ == "__main__":
    app()
