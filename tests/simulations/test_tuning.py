"""Tuning over a small federation: validation only, counted, and written as a configuration that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fedrec
from fedrec.config import load, parse
from fedrec.errors import ConfigError, RoundFailed
from fedrec.server.run import run
from fedrec.simulations.search import Limits
from fedrec.simulations.trials import Trials, open_trials
from fedrec.simulations.tuning import task_of, tune
from fedrec.tune_config import Range
from tests.federation import exchange_of, grid_of

ROWS = fedrec.marketplace(fedrec.Marketplace(num_users=60, num_items=40, mean_events=10), seed=1)
L2 = "models.ease.l2"


def config_of(models, masks: bool = False, **changes):
    base = {
        "name": "tuned",
        "data": {"dataset": "ml-100k"},
        "tenants": {"split": "iid", "n": 3},
        "evaluation": {"bootstrap": 0},
        "federation": {"secure_aggregation": masks},
        "training": {"rounds": 1},
        "models": models,
    }
    return parse(base | changes)


def trials_in(folder: Path, model: str, config) -> Trials:
    return open_trials(config, model, folder, ROWS)


def events(trials: Trials, number: int):
    lines = (trials.work / "trials" / f"{number:04d}" / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("model", "key"), [("ease", "l2"), ("mf", "dim")])
def test_a_trial_is_a_federated_run_up_to_the_choice_and_no_tenants_test_is_read(tmp_path, model, key):
    trials = trials_in(tmp_path, model, config_of([{"name": "ease"}, {"name": "mf"}], masks=True))
    trials.measure({f"models.{model}.{key}": 4})
    rounds = [event for event in events(trials, 1) if event["event"] == "round-start"]
    assert len(rounds) >= 2
    assert {event["phase"] for event in rounds} == {"choose"}
    assert {event["nodes"] for event in rounds} == {3}
    assert "secure-sum" in {event["event"] for event in events(trials, 1)}
    for store in trials.stores:
        store.check_choosing_allowed()
        assert store.results() == {}
        assert not list(store.folder.glob("test*"))


def test_tenants_that_have_read_their_test_refuse_to_be_tuned_on(tmp_path):
    config = config_of([{"name": "ease"}], federation={"arms": ["federated"], "secure_aggregation": False})
    trials = trials_in(tmp_path, "ease", config)
    trials.measure({L2: 10.0})
    run(exchange_of(grid_of(trials.stores), config, tmp_path), ROWS.catalogue, tmp_path / "server")
    with pytest.raises(RoundFailed, match="test-already-read"):
        trials.measure({L2: 20.0})


def test_what_is_measured_is_what_a_whole_run_measures_on_validation(tmp_path):
    models = [{"name": "ease", "l2": [10.0, 500.0]}, {"name": "markov"}]
    trials = trials_in(tmp_path / "trials", "ease", config_of(models))
    report = fedrec.simulate(config_of(models, federation={"arms": ["federated"], "secure_aggregation": False}), ROWS)
    (card,) = [card for card in report.models if card.name == "ease"]
    for candidate in card.candidates:
        assert trials.measure({L2: candidate["l2"]}) == candidate["validation"]


def test_masks_change_nothing_of_what_is_measured(tmp_path):
    plain, masked = (
        trials_in(tmp_path / str(masks), "ease", config_of([{"name": "ease"}], masks)).measure({L2: 50.0})
        for masks in (False, True)
    )
    assert plain == masked


def test_a_trial_runs_nothing_but_the_recommender_and_what_it_begins_from(tmp_path):
    models = [{"name": "ease"}, {"name": "als", "rank": [4, 8], "sweeps": 1}, {"name": "mf", "dim": 4}]
    trials = trials_in(tmp_path, "mf", config_of(models, training={"rounds": 1, "warm_start": "als"}))
    trials.measure({"training.local.learning_rate": 0.01})
    ran = load(tmp_path / "trials" / "0001" / "config.toml")
    assert [(model.name, model.parameters) for model in ran.models] == [
        ("als", {"rank": 4, "sweeps": 1}),
        ("mf", {"dim": 4}),
    ]
    assert (ran.federation.arms, ran.training.local) == (("federated",), {"learning_rate": 0.01})


def test_tenants_split_by_time_hold_out_from_the_same_moments(tmp_path):
    config = config_of([{"name": "ease"}], evaluation={"holdout": "time", "bootstrap": 0})
    trials = trials_in(tmp_path, "ease", config)
    trials.measure({L2: 50.0})
    assert trials.config.evaluation.starts == load(tmp_path / "trials" / "0001" / "config.toml").evaluation.starts
    assert trials.config.evaluation.starts is not None


def test_the_best_configuration_is_written_with_the_count_of_evaluations_and_runs(tmp_path):
    config = config_of(
        [{"name": "markov"}, {"name": "ease", "window": 20}],
        federation={"arms": ["federated"], "secure_aggregation": False},
        tune={"space": {L2: {"low": 1.0, "high": 900.0, "log": True}}, "evaluations": 5},
    )
    told = []
    found = tune(task_of(config, "ease"), Limits(3), dataset=ROWS, told=lambda tuned: told.append(len(tuned.trials)))
    assert told == [1, 2, 3]
    assert found.evaluations == 3
    best = max(found.trials, key=lambda trial: trial.score)
    (tmp_path / "best.toml").write_text(found.as_toml())
    written = load(tmp_path / "best.toml")
    assert written.models[1].parameters == {"window": 20, L2.split(".")[2]: best.values[L2]}
    assert written.tune.evaluations == 5 + 3
    assert (written.models[0], written.federation, written.tune.space) == (
        config.models[0],
        config.federation,
        {L2: Range(low=1.0, high=900.0, log=True)},
    )
    comment = [line for line in found.as_toml().splitlines() if line.startswith("# ")]
    assert "the best of 3 trials" in comment[0]
    assert "Validation was asked 8 times" in comment[1]
    report = fedrec.simulate(written, ROWS)
    assert report.evaluations == 8
    (card,) = [card for card in report.models if card.name == "ease"]
    assert card.candidates[0]["validation"] == best.score


def test_a_trial_that_cannot_be_run_is_passed_over(tmp_path):
    """PCA refuses a rank of 64 among 40 items; the seed is fixed, so both values are tried."""
    task = task_of(
        config_of([{"name": "pca", "rank": [8, 64]}], tune={"space": {"models.pca.window": [20, 50]}}), "pca"
    )
    found = tune(task, Limits(8), dataset=ROWS)
    failed = [trial for trial in found.trials if trial.score is None]
    assert {trial.values["models.pca.rank"] for trial in failed} == {64}
    assert "rank=64" in failed[0].reason
    assert found.config.models[0].parameters["rank"] == 8


def test_the_same_task_has_the_same_name_and_another_space_another():
    config = config_of([{"name": "ease"}])
    names = {
        task_of(config, "ease").name,
        task_of(config, "ease").name,
        task_of(config, "markov").name,
        task_of(config_of([{"name": "ease"}], tune={"space": {L2: [1.0, 2.0]}}), "ease").name,
        task_of(config_of([{"name": "ease"}], seed=1), "ease").name,
    }
    assert len(names) == 4


def test_a_recommender_that_the_configuration_lacks_is_added_as_it_comes():
    task = task_of(config_of([{"name": "ease"}]), "markov")
    assert [model.name for model in task.config.models] == ["ease", "markov"]


@pytest.mark.parametrize(
    ("model", "space", "message"),
    [
        ("user_knn", {}, "user_knn stays with its tenant"),
        ("sasrek", {}, "no recommender 'sasrek'; did you mean 'sasrec'"),
        ("ease", {"models.ease.l3": [1.0]}, "ease has no hyper-parameter 'l3'"),
        ("mf", {"training.local.learn_rate": [0.1]}, "learn_rate"),
        ("mf", {"training.cohorts": [0.1]}, "unknown key 'training.cohorts'"),
        ("mf", {"models.mf.dim": [0]}, "Expected a whole number dim=0 >= 1"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_any_data_is_read(model, space, message):
    with pytest.raises(ConfigError) as caught:
        task_of(config_of([{"name": "ease"}], tune={"space": space}), model)
    assert message in str(caught.value)
