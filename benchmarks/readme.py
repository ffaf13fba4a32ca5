"""The README's table of figures, from the committed results: no number in it is typed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.figures import Bar, Direction
from benchmarks.runner import COMPLETE, Result
from fedrec.errors import ConfigError

START, END = "<!-- figures:start -->", "<!-- figures:end -->"
HEADLINES = (
    "ML-1M, pooled: SASRec NDCG@10",
    "ML-1M, pooled: GRU NDCG@10",
    "ML-1M, 10 tenants: SASRec NDCG@10, share of pooled",
    "ML-1M, 21 tenants: SASRec NDCG@10, share of pooled",
    "ML-1M, 21 tenants: SASRec together against alone, median tenant NDCG@10",
    "ML-1M, 10 tenants: same top-10 as pooled, ease",
    "ML-1M, 10 tenants, epsilon 5: Content-PCA NDCG@10",
    "ML-1M, 10 tenants, epsilon 1: Content-PCA NDCG@10",
    "SASRec, 50k items, batch 256: private step against plain",
    "ML-1M, large tenant, never trained: of its best alone",
    "ML-1M, large tenant, never trained: of the same as a member",
    "ML-1M: the federation's choice, new users of what they reach in training",
    "ML-1M, 741 cold items: content map, hashed NDCG@20",
    "ML-1M, 741 cold items: content map, MiniLM NDCG@20",
    "secure sums that are exact, n in 3..200, random dropouts in every phase",
    "client CPU, Flower's SecAgg+ over ours: n=100, k=20, d=1e6",
    "server CPU, Flower's SecAgg+ over ours: n=100, k=20, d=1e6",
    "ML-1M, pooled SASRec: epoch against plain PyTorch",
    "`make demo` once installed: wall time",
)
"""What is seen at a glance; all others unfold."""
WORDS: dict[Direction, str] = {">=": "at least", "<=": "at most", "+-": ""}


def figures_table(results: Sequence[Result]) -> str:
    """Markdown: the headlines and whatever misses its bar, and below, to unfold, every figure that has a bar.

    Last, where and when they were measured.

    Raises:
        ConfigError: there is no result, or one is of a run that did not finish.
    """
    if not results:
        raise ConfigError("There are no results to quote yet; measure them with `python -m benchmarks run all`.")
    unfinished = [f"{r['benchmark']} ({r['status']})" for r in results if r["status"] != COMPLETE]
    if unfinished:
        raise ConfigError(f"Not finished: {', '.join(unfinished)}; run these benchmarks again before quoting them.")
    quoted = [(row, result["benchmark"]) for result in results for row in result["rows"] if row["bar"]]
    first = [(row, name) for row, name in quoted if row["figure"] in HEADLINES or not row["met"]]
    first.sort(key=lambda one: HEADLINES.index(one[0]["figure"]) if one[0]["figure"] in HEADLINES else len(HEADLINES))
    whole = ["<details>", f"<summary>All {len(quoted)} figures that have a bar</summary>", "", *_table(quoted), ""]
    return "\n".join([*_table(first), "", *whole, "</details>", "", *_places(results)])


def block_of(text: str) -> str | None:
    """What stands between the two markers of a README; None without them."""
    if START not in text or END not in text:
        return None
    return text.partition(START)[2].partition(END)[0].strip()


def measured(value: float, unit: str) -> str:
    """A value with its unit, to the digits that mean something."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{text} {unit}".strip()


def _table(rows: Iterable[tuple[Result, str]]) -> list[str]:
    head = ["| figure | measured | bar | met | `python -m benchmarks run …` |", "|---|---|---|---|---|"]
    return [*head, *(_line(row, name) for row, name in rows)]


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
