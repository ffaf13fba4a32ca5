"""A market that runs by a schedule, as real processes: the second run follows the first, over all that is new."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedrec.deploy.platform.runs import existing_run
from tests.deploy.market import fedrec, run_file
from tests.deploy.real import running

pytestmark = pytest.mark.slow

RUN = """
[freshness]
half_life_days = 30
[[models]]
name = "popularity"
[[models]]
name = "ease"
l2 = [1.0, 10.0]
"""


def test_two_runs_by_a_schedule_follow_each_other(tmp_path: Path) -> None:
    """Each tenant has read its test in the first run: the second one asks for no choice, and is not refused."""
    (tmp_path / "run.toml").write_text(run_file("daily", RUN))
    with running(tmp_path) as market:
        told = fedrec("platform", "run", market.platform.folder, tmp_path / "run.toml", "--every", "1s", "--times", 2)
    assert "daily follows no other run" in told
    assert "daily-2 follows daily" in told
    assert "drift was not measured, or not all of it: 0 users did something new" in told
    results = [
        json.loads((existing_run(market.platform, name).folder / "server.json").read_text())
        for name in ("daily", "daily-2")
    ]
    assert results[1]["after"] == "daily"
    assert results[0]["as_of"] < results[1]["as_of"]
    assert [card["parameters"] for card in results[0]["models"]] == [
        card["parameters"] for card in results[1]["models"]
    ]
