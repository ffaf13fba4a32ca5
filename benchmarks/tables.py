"""Results on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from benchmarks.benchmark import Benchmark
from benchmarks.readme import measured
from benchmarks.runner import Result

VERDICTS = {True: ("yes", "green"), False: ("NO", "bold red"), None: ("", "")}


def benchmark_table(benchmarks: Mapping[str, Benchmark]) -> Table:
    """What there is to run, and how long it takes."""
    table = Table("benchmark", "what it measures", "minutes", box=None)
    for benchmark in benchmarks.values():
        table.add_row(benchmark.name, benchmark.summary, f"{benchmark.minutes:g}")
    return table


def result_table(result: Result) -> Table:
    """Every row of one benchmark, its bar and whether it was met; what ended it, if it did not finish."""
    table = Table(
        title=f"{result['benchmark']}: {result['status']}", title_justify="left", title_style="bold", box=None
    )
    for column in ("figure", "measured", "bar", "met", "note"):
        table.add_column(column, justify="right" if column == "measured" else "left")
    for row in result["rows"]:
        verdict = Text(*VERDICTS[row["met"]])
        value = measured(row["value"], row["unit"])
        table.add_row(row["figure"], value, row["bar"] or "", verdict, row.get("note", ""))
    return table
