"""Run a benchmark, and keep every row the moment it is measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.figures import Row
from benchmarks.machine import machine, versions
from fedrec.files import write_text

RESULTS = Path(__file__).resolve().parent / "results"
QUICK = "quick"
COMPLETE = "complete"

Result = dict[str, Any]


def result_path(name: str, settings: Settings, folder: Path = RESULTS) -> Path:
    """Where a result goes. A quick run has a place of its own, so that it never replaces a measurement."""
    return (folder / QUICK if settings.quick else folder) / f"{name}.json"


def run(
    benchmark: Benchmark, settings: Settings, folder: Path = RESULTS, listener: Callable[[Row], None] = lambda row: None
) -> Result:
    """Measure, and return what was written. The file is whole and up to date after every row.

    An error ends the benchmark but not the caller: it is told in `status`, and the rows before it stay. So it is with
    Ctrl-C, which is passed on.
    """
    path, started = result_path(benchmark.name, settings, folder), time.monotonic()
    result: Result = {
        "benchmark": benchmark.name,
        "command": command(benchmark.name, settings),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": "unfinished",
        "seconds": 0.0,
        "versions": versions(),
        "machine": machine(),
        "rows": [],
    }
    try:
        for row in benchmark.rows(settings):
            result["rows"].append(row.as_json())
            _write(path, result, started)
            listener(row)
        result["status"] = COMPLETE
    except Exception as error:  # whatever stops one benchmark must not stop the others, nor lose what it had measured
        result["status"] = f"failed: {type(error).__name__}: {error}"
    except KeyboardInterrupt:
        result["status"] = "interrupted"
        raise
    finally:
        _write(path, result, started)
    return result


def command(name: str, settings: Settings) -> str:
    """The command line that measures this again."""
    quick = " --quick" if settings.quick else ""
    seeds = f" --seeds {','.join(map(str, settings.seeds))}" if settings.seeds != Settings().seeds else ""
    return f"python -m benchmarks run {name}{quick}{seeds}"


def read_results(folder: Path = RESULTS) -> list[Result]:
    """Every measured result in `folder`, quick ones left out, by name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _write(path: Path, result: Result, started: float) -> None:
    result["seconds"] = round(time.monotonic() - started, 1)
    write_text(path, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
