"""`fedrec simulate --resume` on whatever a folder may hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedrec.config import load
from fedrec.server.events import Event
from fedrec.simulations.experiment import Experiment


class Stopped(Exception):
    """An interruption."""


@pytest.fixture
def interrupted(tiny: Path, tmp_path: Path) -> Path:
    """A run of `tiny` that stopped before its first arm was scored on test."""

    def stop(event: Event) -> None:
        if (event["event"], event.get("action"), event.get("phase")) == ("round-start", "score floor", "final"):
            raise Stopped

    with pytest.raises(Stopped):
        Experiment(load(tiny), tmp_path / "run", stop).run()
    return tmp_path / "run"


def test_an_interrupted_run_goes_on_and_gives_the_result_of_one_that_was_not(fedrec, interrupted: Path, run: Path):
    result = fedrec("simulate", "--resume", "--out", interrupted)
    assert result.exit_code == 0, result.output
    assert f"tiny (seed 3) in {interrupted}, going on" in result.stderr
    found = [json.loads((folder / "server" / "server.json").read_text()) for folder in (interrupted, run)]
    assert found[0] == found[1]


def test_its_configuration_may_be_named_and_must_be_the_same(fedrec, interrupted: Path, tiny: Path):
    result = fedrec("simulate", tiny, "--resume", "--out", interrupted, "--seed", 5, "--quiet")
    assert result.exit_code == 2
    assert f"error: seed: the run in {interrupted} began with 3, got 5" in result.stderr
    assert fedrec("simulate", tiny, "--resume", "--out", interrupted, "--quiet").exit_code == 0


def test_without_resume_it_is_left_alone_and_the_way_to_go_on_is_said(fedrec, interrupted: Path, tiny: Path):
    before = sorted(interrupted.rglob("*"))
    result = fedrec("simulate", tiny, "--out", interrupted, "--quiet")
    assert result.exit_code == 2
    assert "holds an interrupted run; go on with --resume" in result.stderr
    assert sorted(interrupted.rglob("*")) == before


def test_a_finished_run_is_said_to_be_finished_and_shown_again(fedrec, run: Path):
    result = fedrec("simulate", "--resume", "--out", run)
    assert result.exit_code == 0
    assert f"tiny (seed 3) in {run}, which is finished: nothing to do" in result.stderr
    assert "Does joining help me?" in result.stdout
    quiet = fedrec("simulate", "--resume", "--out", run, "--quiet")
    assert (quiet.stdout, quiet.stderr) == (f"{run}\n", "")


def test_in_a_new_folder_there_is_nothing_to_resume_and_the_run_begins(fedrec, tiny: Path, tmp_path: Path):
    result = fedrec("simulate", tiny, "--resume", "--out", tmp_path / "r", "--arms", "federated", "--quiet")
    assert result.exit_code == 0
    assert (tmp_path / "r" / "report.json").exists()


def test_resume_needs_to_know_the_folder(fedrec, tiny: Path):
    result = fedrec("simulate", tiny, "--resume")
    assert result.exit_code == 2
    assert result.stderr == "error: --resume needs --out, the folder of the run that was interrupted.\n"


def test_tensorboard_gets_the_numbers_of_a_run(fedrec, tiny: Path, tmp_path: Path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = tmp_path / "board"
    result = fedrec("simulate", tiny, "--out", tmp_path / "r", "--arms", "federated", "--quiet", "--tensorboard", board)
    assert result.exit_code == 0, result.output
    read = accumulator.EventAccumulator(str(board))
    read.Reload()
    report = json.loads((tmp_path / "r" / "report.json").read_text())
    assert [one.value for one in read.Scalars("round/bytes_down")] == [one["bytes_down"] for one in report["rounds"]]
