"""What a program wants to know of a run: paths and headline results as plain JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedrec.simulations.report import standing
from fedrec.simulations.report.schema import Report
from fedrec.simulations.report.verdict import verdict


def headline(report: Report, folder: Path, page: Path) -> dict[str, Any]:
    """The run's paths, its verdict, and each arm's recommenders by the headline metric, best first."""
    found, tally = verdict(report), standing.tally(report)
    return {
        "run": str(folder),
        "report": str(folder / "report.json"),
        "page": str(page),
        "name": report.name,
        "seed": report.seed,
        "metric": report.headline,
        "chosen": report.chosen,
        "verdict": found.outcome.name.lower(),
        "sentence": found.sentence,
        "results": {arm: _scores(report, arm) for arm in standing.arms(report)},
        "tenants": {
            "better": tally.better,
            "same": tally.same,
            "worse": tally.worse,
            "unmeasured": tally.unmeasured,
        },
        "seconds": round(standing.seconds(report), 3),
    }


def _scores(report: Report, arm: str) -> dict[str, float]:
    return {one.model: one.measure.mean for one in standing.standings(report, arm)}
