"""Results are kept row by row, and a quick run never takes the place of a measured one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Row, at_least, at_most
from benchmarks.registry import BENCHMARKS
from benchmarks.runner import COMPLETE, command, read_results, result_path, run


def two_rows(settings: Settings) -> Iterator[Row]:
    size = 10.0 if settings.quick else 1000.0
    yield Row("size", size, "items", at_least(1000), settings.seeds)
    yield Row("time", 2.0, "s", at_most(3))


def breaks_after_one_row(settings: Settings) -> Iterator[Row]:
    yield Row("size", 7.0, "items")
    raise MemoryError("no room")


def is_stopped_after_one_row(settings: Settings) -> Iterator[Row]:
    yield Row("size", 7.0, "items")
    raise KeyboardInterrupt


def fake(rows: Any = two_rows) -> Benchmark:
    return Benchmark("fake", "two rows", 0.1, rows)


def written(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "fake.json").read_text()))


def test_a_result_names_what_it_was_measured_with(tmp_path: Path) -> None:
    result = run(fake(), Settings(seeds=(0, 1)), tmp_path)
    assert written(tmp_path) == result
    assert (result["benchmark"], result["status"]) == ("fake", COMPLETE)
    assert result["command"] == "python -m benchmarks run fake --seeds 0,1"
    assert {"python", "numpy", "flwr"} <= set(result["versions"])
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["cpu"]
    assert [(row["figure"], row["met"], row["seeds"]) for row in result["rows"]] == [
        ("size", True, [0, 1]),
        ("time", True, []),
    ]


def test_a_crash_keeps_the_rows_before_it(tmp_path: Path) -> None:
    run(fake(breaks_after_one_row), Settings(), tmp_path)
    assert written(tmp_path)["status"] == "failed: MemoryError: no room"
    assert [row["value"] for row in written(tmp_path)["rows"]] == [7.0]


def test_an_interruption_keeps_the_rows_and_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fake(is_stopped_after_one_row), Settings(), tmp_path)
    assert written(tmp_path)["status"] == "interrupted"
    assert [row["value"] for row in written(tmp_path)["rows"]] == [7.0]


def test_a_row_is_on_disk_before_the_next_is_measured(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    run(fake(), Settings(), tmp_path, lambda row: seen.append((row.figure, len(written(tmp_path)["rows"]))))
    assert seen == [("size", 1), ("time", 2)]


def test_a_quick_run_leaves_the_measured_result_alone(tmp_path: Path) -> None:
    run(fake(), Settings(), tmp_path)
    measured = (tmp_path / "fake.json").read_bytes()
    quick = run(fake(), Settings(quick=True), tmp_path)
    assert (tmp_path / "fake.json").read_bytes() == measured
    assert written(tmp_path / "quick") == quick
    assert [row["value"] for row in quick["rows"]] == [10.0, 2.0]
    assert [result["rows"][0]["value"] for result in read_results(tmp_path)] == [1000.0]


def test_the_command_repeats_the_settings() -> None:
    assert command("fake", Settings()) == "python -m benchmarks run fake"
    assert command("fake", Settings(True, (3,))) == "python -m benchmarks run fake --quick --seeds 3"


@pytest.mark.parametrize(
    ("rows", "options", "code"),
    [
        (two_rows, [], 0),
        (breaks_after_one_row, [], 1),
        (breaks_after_one_row, ["--quick"], 1),
        (lambda settings: iter([Row("size", 1.0, "", at_least(2))]), [], 1),
        (lambda settings: iter([Row("size", 1.0, "", at_least(2))]), ["--quick"], 0),
    ],
    ids=["all met", "crash", "quick crash", "missed", "quick missed"],
)
def test_the_exit_code_tells_a_crash_and_a_missed_bar(
    rows: Any, options: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BENCHMARKS, "fake", fake(rows))
    outcome = CliRunner().invoke(app, ["run", "fake", "--out", str(tmp_path), *options])
    assert outcome.exit_code == code, outcome.output
    assert result_path("fake", Settings(quick=bool(options)), tmp_path).exists()
    assert "size" in outcome.output


def test_an_unknown_name_or_seed_is_told_before_anything_runs(tmp_path: Path) -> None:
    wrong_name = CliRunner().invoke(app, ["run", "qualty", "--out", str(tmp_path)])
    wrong_seed = CliRunner().invoke(app, ["run", "quality", "--seeds", "0,x", "--out", str(tmp_path)])
    assert (wrong_name.exit_code, wrong_seed.exit_code) == (2, 2)
    assert "qualty" in wrong_name.output
    assert "0,x" in wrong_seed.output
    assert not list(tmp_path.iterdir())


def test_every_benchmark_is_listed_under_its_name() -> None:
    outcome = CliRunner().invoke(app, ["list"])
    assert outcome.exit_code == 0
    assert all(name == benchmark.name and name in outcome.output for name, benchmark in BENCHMARKS.items())
    assert {"quality", "parity", "fit-time", "evaluation-speed", "demo", "scale"} <= set(BENCHMARKS)
