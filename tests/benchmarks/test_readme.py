"""The README quotes measured figures; the committed results are whole and judge themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import Bar, Row, at_least, within
from benchmarks.readme import END, HEADLINES, START, block_of, figures_table, measured
from benchmarks.registry import BENCHMARKS
from benchmarks.runner import COMPLETE, read_results
from fedrec.errors import ConfigError

README = Path(__file__).resolve().parents[2] / "README.md"


def result(*rows: Row, status: str = COMPLETE) -> dict[str, Any]:
    return {
        "benchmark": "speed",
        "status": status,
        "date": "2026-11-22T10:00:00+00:00",
        "versions": {"python": "3.11.7"},
        "machine": {"cores": 2, "cpu": "Quick CPU"},
        "rows": [row.as_json() for row in rows],
    }


HEAD = ["| figure | measured | bar | met | `python -m benchmarks run …` |", "|---|---|---|---|---|"]


def test_misses_and_headlines_are_seen_at_once_and_every_figure_with_a_bar_unfolds() -> None:
    rows = (
        Row("clients", 15800.4, "1/s", at_least(1000)),
        Row("HR@10", 0.0381, "", within(0.037, 0.0005)),
        Row("only told", 1.0, "s"),
        Row(HEADLINES[0], 0.18, "", at_least(0.17)),
    )
    clients = "| clients | 15,800 1/s | at least 1,000 1/s | yes | `speed` |"
    missed = "| HR@10 | 0.0381 | 0.037 ± 0.0005 | **no** | `speed` |"
    headline = f"| {HEADLINES[0]} | 0.18 | at least 0.17 | yes | `speed` |"
    assert figures_table([result(*rows)]).splitlines() == [
        *HEAD,
        headline,
        missed,
        "",
        "<details>",
        "<summary>All 3 figures that have a bar</summary>",
        "",
        *HEAD,
        clients,
        missed,
        headline,
        "",
        "</details>",
        "",
        "Measured on 2 cores of Quick CPU, Python 3.11.7, 2026-11-22.",
    ]


def test_every_headline_is_measured() -> None:
    figures = {row["figure"] for found in read_results() for row in found["rows"] if row["bar"]}
    assert set(HEADLINES) <= figures


def test_an_unfinished_result_is_not_quoted() -> None:
    with pytest.raises(ConfigError, match=r"speed \(interrupted\)"):
        figures_table([result(Row("clients", 1.0, "1/s"), status="interrupted")])


def test_no_result_is_told_and_not_an_empty_table() -> None:
    with pytest.raises(ConfigError, match="no results to quote"):
        figures_table([])


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(0.09213, "", "0.09213"), (99.971, "%", "99.97 %"), (1234.5, "s", "1,234 s")]
)
def test_a_value_is_quoted_to_the_digits_that_mean_something(value: float, unit: str, text: str) -> None:
    assert measured(value, unit) == text


def test_the_block_is_what_stands_between_the_markers() -> None:
    assert block_of(f"before\n{START}\n| a |\n{END}\nafter") == "| a |"
    assert block_of("no markers") is None


def test_the_readme_quotes_the_committed_results() -> None:
    block = block_of(README.read_text(encoding="utf-8")) if README.exists() else None
    if block is None:
        pytest.skip("README.md has no block of figures yet")
    assert block == figures_table(read_results()).strip(), "run `python -m benchmarks readme` and paste what it prints"


def test_the_committed_results_are_whole_and_judge_themselves() -> None:
    for found in read_results():
        assert found["status"] == COMPLETE
        assert found["benchmark"] in BENCHMARKS
        assert "--quick" not in found["command"]
        for row in found["rows"]:
            bar = None if row["bar"] is None else Bar.parse(row["bar"])
            assert row["met"] is (None if bar is None else bar.met(row["value"])), row
