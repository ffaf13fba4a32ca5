"""A run that was interrupted goes on in its folder, and ends as one that never was."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

import fedrec
from fedrec.config import parse
from fedrec.errors import ConfigError
from fedrec.server.events import read_events
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.resuming import State, alone_in, state_of
from tests.simulations.resumed_run import (
    CLOSED,
    CONFIG,
    Stopped,
    lasting,
    measured,
    run,
    stopping_after_answers,
    stopping_at,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(folder, CLOSED)
    return folder


def stopped(folder: Path, config, watch, resume: bool = True) -> None:
    with pytest.raises(Stopped):
        run(folder, config, resume, watch)
    assert state_of(folder) is State.INTERRUPTED


def scoring(arm: str):
    return lambda event: event.get("action") == f"score {arm}" and event["phase"] == "final"


def training(name: str, step: int):
    return lambda event: (event.get("training"), event.get("step")) == (name, step)


def of_stage(name: str):
    return lambda event: event["stage"] == name


def test_a_run_that_is_stopped_again_and_again_ends_as_one_that_never_was(tmp_path):
    """At every turn of its course: in both servers, before and after the choice, and within an arm, when some tenants
    have answered on test, and then all of them without the server having read their sum."""
    moments = [
        stopping_at("stage-end", of_stage("load")),
        stopping_at("checkpoint", training("choose-sasrec-1", 1)),
        stopping_at("stage-end", of_stage("pooled")),
        stopping_at("validation"),
        stopping_at("chosen"),
        stopping_at("round-end", training("final-sasrec", 1)),
        stopping_at("round-end", scoring("local")),
        stopping_after_answers(2, "score federated"),
        stopping_after_answers(3, "score federated"),
        stopping_after_answers(1, "score personal"),
        stopping_at("run-end"),
        stopping_at("stage-start", of_stage("report")),
    ]
    folder = tmp_path / "parts"
    for moment in moments:
        stopped(folder, CONFIG, moment)
    run(folder, CONFIG, resume=True)
    run(tmp_path / "whole", CONFIG)
    assert lasting(folder) == lasting(tmp_path / "whole")
    assert measured(folder) == measured(tmp_path / "whole")


def test_rounds_keep_their_numbers_and_what_is_kept_is_not_asked_for_again(whole, tmp_path):
    folder = tmp_path / "run"
    stopped(folder, CLOSED, stopping_at("round-end", scoring("federated")))
    run(folder, CLOSED, resume=True)
    asked = [
        [(e["round"], e["action"]) for e in read_events(f / "server" / "events.jsonl") if e["event"] == "round-end"]
        for f in (whole, folder)
    ]
    assert set(asked[0]) == set(asked[1])
    again = Counter(asked[1]) - Counter(asked[0])
    assert again == {(3, "sum item_counts, item_gram"): 1, (5, "score federated"): 1}


def test_tenants_keep_their_rows_and_identities(tmp_path):
    folder = tmp_path / "run"
    stopped(folder, CLOSED, stopping_at("round-start"))
    kept = {path: path.read_bytes() for path in [*folder.glob("tenants/*/secagg/identity.key"), folder / "roster.txt"]}
    run(folder, CLOSED, resume=True)
    assert len(kept) == 4
    assert {path: path.read_bytes() for path in kept} == kept


def test_half_written_files_and_folders_are_thrown_away(whole, tmp_path):
    """As `kill -9` leaves them: tenants without a roster, a configuration that is not yet in place, half an event."""
    folder = tmp_path / "run"
    (folder / ".tenants.abc.part" / "tenant-0").mkdir(parents=True)
    (folder / ".config.toml.xyz.part").write_text("name = ")
    assert state_of(folder) is State.EMPTY
    run(folder, CLOSED, resume=True)
    assert lasting(folder) == lasting(whole)
    assert not list(folder.rglob("*.part"))
    with (folder / "server" / "events.jsonl").open("a") as stream:
        stream.write('{"event": "round-')
    (folder / "report.json").unlink()
    run(folder, CLOSED, resume=True)
    assert measured(folder) == measured(whole)


def test_a_finished_run_is_read_and_left_alone(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    events = []
    report = run(whole, CLOSED, True, events.append)
    assert report.name == "resumed"
    assert events == []
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 4}, "seed: the run in .* began with 3, got 4"),
        ({"training": {"rounds": 7}}, "training.rounds: .* began with 10, got 7"),
        ({"models": CLOSED["models"][:1]}, "models.ease: .* got nothing"),
        (
            {"models": [CLOSED["models"][0], {"name": "ease", "l2": [5.0, 50.0]}]},
            r"models.ease.l2: .* got \[5.0, 50.0\]",
        ),
        ({"models": CLOSED["models"][::-1]}, "models: .* popularity, ease, got ease, popularity"),
    ],
)
def test_another_configuration_is_refused_by_the_key_that_differs(whole, changes, message):
    with pytest.raises(ConfigError, match=message):
        Experiment(parse(CLOSED | changes), whole, resume=True).run()


def test_a_split_by_time_is_resumed_with_or_without_its_moments(tmp_path):
    config = CLOSED | {"evaluation": CLOSED["evaluation"] | {"holdout": "time"}}
    stopped(tmp_path / "run", config, stopping_at("loaded"))
    stopped(tmp_path / "run", config, stopping_at("loaded"))
    report = fedrec.simulate(tmp_path / "run" / "config.toml", out=tmp_path / "run", resume=True)
    assert report.results == run(tmp_path / "whole", config).results


def test_other_rows_are_refused_and_nothing_is_lost(tmp_path):
    market = fedrec.Marketplace(num_users=30, num_items=20, mean_events=8)
    one, other = (fedrec.marketplace(market, seed=seed) for seed in (1, 2))
    federation = {"arms": ["federated"], "secure_aggregation": False}
    config = {"tenants": {"split": "iid", "n": 3}, "models": [{"name": "popularity"}], "federation": federation}
    with pytest.raises(Stopped):
        fedrec.simulate(config, one, tmp_path / "run", stopping_at("round-end"))
    with pytest.raises(ConfigError, match="The rows are not those"):
        fedrec.simulate(config, other, tmp_path / "run", resume=True)
    assert fedrec.simulate(config, one, tmp_path / "run", resume=True).results == fedrec.simulate(config, one).results


def test_a_mistake_on_resuming_does_not_take_the_run_away(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run", ignore=shutil.ignore_patterns("report.json"))
    os.rename(tmp_path / "run" / "tenants" / "tenant-0", tmp_path / "run" / "tenants" / "elsewhere")
    with pytest.raises(ConfigError, match="The rows are not those"):
        run(tmp_path / "run", CLOSED, resume=True)
    assert (tmp_path / "run" / "server" / "server.json").exists()


def test_without_resume_an_interrupted_run_is_refused_with_the_way_to_go_on(tmp_path):
    stopped(tmp_path / "run", CLOSED, stopping_at("loaded"), resume=False)
    with pytest.raises(ConfigError, match="holds an interrupted run; go on with --resume"):
        run(tmp_path / "run", CLOSED)
    with pytest.raises(ConfigError, match="needs out="):
        fedrec.simulate(CLOSED, resume=True)


def test_a_folder_with_something_else_is_never_resumed(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="holds no run"):
        run(tmp_path, CLOSED, resume=True)
    with pytest.raises(ConfigError, match="is not a folder"):
        run(tmp_path / "letter.txt", CLOSED, resume=True)


def test_two_processes_do_not_run_in_one_folder(tmp_path):
    """A lock belongs to an open file, so that this process can stand for two."""
    with alone_in(tmp_path / "run"), pytest.raises(ConfigError, match="Another process is running"):
        run(tmp_path / "run", CLOSED)
    with alone_in(tmp_path / "run"):
        pass


def test_a_noised_sum_is_asked_for_and_paid_for_once(tmp_path):
    """The run stops when the server has the sum, and again before it has the results that rest on it."""
    private = {"epsilon": 5.0, "delta": 1e-4, "evaluation": "simulation"}
    config = CLOSED | {"models": [{"name": "popularity"}, {"name": "ease", "l2": 5.0}], "privacy": private}
    folder = tmp_path / "run"
    stopped(folder, config, stopping_at("round-end", lambda event: event["action"].startswith("sum")))
    ledgers = {path: path.read_bytes() for path in folder.glob("tenants/*/privacy/ledger.jsonl")}
    stopped(folder, config, stopping_at("run-end"))
    run(folder, config, resume=True)
    assert len(ledgers) == 3
    assert {path: path.read_bytes() for path in ledgers} == ledgers
    ends = [e["action"] for e in read_events(folder / "server" / "events.jsonl") if e["event"] == "round-end"]
    assert ends == ["sum item_counts, item_gram", "score floor", "score federated"]
    assert not (folder / "server" / "released").exists()


def test_the_time_of_earlier_attempts_is_counted(tmp_path):
    stopped(tmp_path / "run", CLOSED, stopping_at("run-end"))
    events = tmp_path / "run" / "server" / "events.jsonl"
    (last,) = [event for event in read_events(events) if event["event"] == "run-end"]
    report = run(tmp_path / "run", CLOSED, resume=True)
    assert report.seconds["federation"] >= last["t"]
