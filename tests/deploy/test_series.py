"""Runs of one configuration on disk: their names, what each follows, and how one goes on after a restart."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fedrec.config import load
from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.runs import CONFIG, Run, new_run
from fedrec.deploy.platform.schedule import Schedule, repeat
from fedrec.deploy.platform.series import Series
from fedrec.errors import RoundFailed
from fedrec.server.run import RESULTS
from tests.deploy.market import fedrec, refused, write_catalogue
from tests.deploy.test_schedule import Hands

RUN = 'name = "daily"\n[[models]]\nname = "popularity"\n'


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    fedrec("platform", "init", tmp_path / "market", "--catalogue", write_catalogue(tmp_path))
    return Platform(tmp_path / "market")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "run.toml").write_text(RUN)
    return tmp_path / "run.toml"


def finish(run: Run) -> None:
    (run.folder / RESULTS).write_text("{}")


def followed(run: Run) -> str | None:
    return load(run.folder / CONFIG).freshness.after


def test_each_run_follows_the_newest_that_was_finished(platform, source):
    """The second of four fails: the third follows the first."""
    series, begun = Series(platform, "daily"), []

    def once() -> None:
        begun.append(new_run(platform, source, series.next_name(), series.last_finished()))
        if len(begun) == 2:
            raise RoundFailed("too few tenants answered")
        finish(begun[-1])

    assert repeat(Schedule(10, 4), Hands(0), series.began_at(), once, lambda error: None) == 1
    assert [run.folder.name for run in begun] == ["daily", "daily-2", "daily-3", "daily-4"]
    assert [followed(run) for run in begun] == [None, "daily", "daily", "daily-3"]


def test_a_series_is_known_by_its_folders_alone(platform, source):
    for name in ("daily", "daily-2", "daily-10", "daily-x", "daily-02", "other"):
        new_run(platform, source, name)
    series = Series(platform, "daily")
    assert [run.folder.name for run in series.runs()] == ["daily", "daily-2", "daily-10"]
    assert series.next_name() == "daily-11"
    assert series.last_finished() is None
    finish(series.runs()[1])
    assert series.last_finished() == "daily-2"
    assert series.under_way() is None  # none was ever submitted


def test_the_moment_of_a_run_is_the_platforms_clock_and_stays(platform, source):
    before = int(time.time())
    begun = new_run(platform, source)
    as_of = load(begun.folder / CONFIG).freshness.as_of
    assert as_of is not None
    assert before <= as_of <= time.time()
    assert Series(platform, "daily").began_at() == as_of


def test_a_moment_that_is_given_is_kept(platform, source):
    source.write_text('name = "daily"\n[freshness]\nas_of = 77\nhalf_life_days = 90\n[[models]]\nname = "popularity"\n')
    freshness = load(new_run(platform, source).folder / CONFIG).freshness
    assert (freshness.as_of, freshness.half_life_days) == (77, 90.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--after", "nobody"], "no run 'nobody'"),
        (["--every", "1w"], "such as 90s"),
        (["--times", "2"], "--times is of --every"),
        (["--every", "1h", "--detach"], "leave --detach out"),
    ],
)
def test_what_cannot_be_run_again_is_refused(platform, source, options, message):
    new_run(platform, source, "other")
    assert message in refused("platform", "run", platform.folder, source, *options)


def test_only_a_finished_run_is_followed(platform, source):
    new_run(platform, source)
    assert "'daily' is not finished" in refused("platform", "run", platform.folder, source, "--after", "daily")
    assert not (platform.folder / "runs" / "daily-2").exists()
