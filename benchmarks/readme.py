"""The README's table of figures, from the committed results: no number in it is typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.figures import Bar, Direction
from benchmarks.runner import COMPLETE, Result
from fedrec.errors import ConfigError

START, END = "<!-- figures:start -->", "<!-- figures:end -->"
WORDS: dict[Direction, str] = {">=": "at least", "<=": "at most", "+-": ""}


def figures_table(results: Sequence[Result]) -> str:
    """Markdown: every figure that has a bar, and below the table where and when they were measured.

    Raises:
        ConfigError: there is no result, or one is of a run that did not finish.
    """
    if not results:
        raise ConfigError("There are no results to quote yet; measure them with `python -m benchmarks run all`.")
    unfinished = [f"{r['benchmark']} ({r['status']})" for r in results if r["status"] != COMPLETE]
    if unfinished:
        raise ConfigError(f"Not finished: {', '.join(unfinished)}; run these benchmarks again before quoting them.")
    lines = ["| figure | measured | bar | met | `python -m benchmarks run …` |", "|---|---|---|---|---|"]
    lines += [_line(row, result["benchmark"]) for result in results for row in result["rows"] if row["bar"]]
    return "\n".join([*lines, "", *_places(results)])


def block_of(text: str) -> str | None:
    """What stands between the two markers of a README; None without them."""
    if START not in text or END not in text:
        return None
    return text.partition(START)[2].partition(END)[0].strip()


def measured(value: float, unit: str) -> str:
    """A value with its unit, to the digits that mean something."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{text} {unit}".strip()


def _line(row: Result, name: str) -> str:
    bar = Bar.parse(row["bar"])
    wanted = f"{WORDS[bar.direction]} {measured(bar.value, row['unit'])}".strip()
    if bar.direction == "+-":
        wanted += f" ± {bar.tolerance:g}"
    cells = (row["figure"], measured(row["value"], row["unit"]), wanted, "yes" if row["met"] else "**no**", f"`{name}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _places(results: Iterable[Result]) -> list[str]:
    """One sentence for each machine."""
    dates: dict[str, set[str]] = {}
    for result in results:
        machine = result["machine"]
        place = f"{machine['cores']} cores of {machine['cpu']}, Python {result['versions']['python']}"
        dates.setdefault(place, set()).add(result["date"][:10])
    return [f"Measured on {place}, {_span(days)}." for place, days in sorted(dates.items())]


def _span(days: set[str]) -> str:
    first, last = min(days), max(days)
    return first if first == last else f"{first} to {last}"
