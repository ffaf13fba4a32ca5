"""Tuning under differential privacy: all trials together are charged, and none is answered beyond the budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedrec.client.guard import FOLDER
from fedrec.client.ledger import Ledger
from fedrec.config import Config, load, parse
from fedrec.data import Marketplace, marketplace
from fedrec.errors import ConfigError
from fedrec.models import ItemFeatures
from fedrec.privacy.accountant import epsilon_of
from fedrec.simulations.search import Limits, open_study
from fedrec.simulations.shared_sums import corners, share_sums
from fedrec.simulations.trials import Plan, extremes, open_trials
from fedrec.simulations.tuning import Task, task_of, tune

ROWS = marketplace(Marketplace(num_users=60, num_items=40, mean_events=10), seed=1)
DELTA = 1e-5
L2 = "models.ease.l2"


def config_of(models: list[dict[str, Any]], epsilon: float = 8.0, **changes: Any) -> Config:
    base = {
        "data": {"dataset": "ml-100k"},
        "tenants": {"split": "iid", "n": 3},
        "evaluation": {"bootstrap": 0},
        "federation": {"secure_aggregation": False, "max_users_per_tenant": 1000},
        "privacy": {"epsilon": epsilon, "delta": DELTA, "placement": "local"},
        "models": models,
    }
    return parse(base | changes)


def task(folder: Path, trials: int, space: dict[str, Any] | None = None, **changes: Any) -> Task:
    tune_space = {"space": space or {L2: {"low": 1.0, "high": 900.0, "log": True}}}
    return replace(task_of(config_of([{"name": "ease"}], tune=tune_space, **changes), "ease", trials), folder=folder)


def ledgers(folder: Path) -> list[list[str]]:
    return [[one.what for one in Ledger(path / FOLDER).entries()] for path in sorted((folder / "tenants").iterdir())]


def spent(folder: Path) -> list[float]:
    guards = [Ledger(path / FOLDER).entries() for path in sorted((folder / "tenants").iterdir())]
    return [epsilon_of([one for entry in entries for one in entry.mechanisms], DELTA) for entries in guards]


def test_trials_that_need_the_same_sums_release_them_once_and_together_spend_the_budget(tmp_path: Path) -> None:
    found = tune(task(tmp_path / "search", 4), Limits(4), dataset=ROWS)
    assert len(found.ranked) == 4
    validation = [f"round {number}: validation of 1 candidate" for number in (2, 2, 2, 2)]
    assert ledgers(tmp_path / "search") == [["round 1: item_counts, item_gram", *validation]] * 3
    assert all(8.0 * 0.99 <= epsilon <= 8.0 for epsilon in spent(tmp_path / "search"))
    assert found.spent is not None
    assert found.spent.epsilon == max(spent(tmp_path / "search"))


def test_trials_that_change_the_sums_each_pay_for_theirs(tmp_path: Path) -> None:
    space = {"models.ease.max_items_per_user": [5, 20, 60]}
    tune(task(tmp_path / "search", 3, space), Limits(3), dataset=ROWS)
    entries = ledgers(tmp_path / "search")[0]
    assert sum("validation of 1 candidate" in what for what in entries) == 3
    assert 1 <= sum("item_gram" in what for what in entries) <= 3
    assert all(epsilon <= 8.0 for epsilon in spent(tmp_path / "search"))


def test_which_searches_share_their_sums_is_found_without_data() -> None:
    items = ItemFeatures(40)

    def shared(space: dict[str, Any], name: str = "ease") -> bool:
        config = config_of([{"name": name}], tune={"space": {f"models.{name}.{k}": v for k, v in space.items()}})
        return share_sums(list(extremes(config, name, task_of(config, name).space)), items)

    assert shared({"l2": [1.0, 10.0], "half_life": [1.0, 4.0]})
    assert not shared({"max_items_per_user": [5, 20]})
    assert not shared({"l2": [3.0, 30.0]}, "als")  # its sums are about item factors, which each trial has its own of
    assert shared({"rank": [8, 64]}, "pca")  # 64 directions of 40 items cannot be had, and ask for nothing


def test_every_value_of_a_space_that_is_extreme_is_tried_out() -> None:
    space = task_of(
        config_of([{"name": "ease", "window": [5, 9]}], tune={"space": {L2: [1.0, 2.0, 3.0]}}), "ease"
    ).space
    found = corners(space)
    assert {one[L2] for one in found} == {1.0, 2.0, 3.0}
    assert {one["models.ease.window"] for one in found} == {5, 9}


def test_a_search_goes_on_with_its_ledgers_and_ends_when_they_are_spent(tmp_path: Path) -> None:
    """A trial that was killed after its validation left the tenants is paid for, and so one of the others is not."""
    one, study = task(tmp_path / "search", 3), tmp_path / "study.sqlite"
    tune(one, Limits(1), open_study(one.name, study), ROWS)
    again = open_study(one.name, study, resume=True)
    again.ask()  # a trial that is killed ...
    trials = open_trials(one.config, one.model, tmp_path / "search", ROWS, Plan(one.trials, one.space))
    trials.measure({L2: 5.0})  # ... when its tenants have answered
    found = tune(one, Limits(3), open_study(one.name, study, resume=True), ROWS)
    assert [trial.score is None for trial in found.trials] == [False, False, True]
    assert found.trials[2].reason.startswith("budget-spent")
    assert all(8.0 * 0.99 <= epsilon <= 8.0 for epsilon in spent(tmp_path / "search"))
    assert [sum("validation" in what for what in entries) for entries in ledgers(tmp_path / "search")] == [3] * 3


def test_a_search_without_its_ledgers_or_with_more_trials_than_planned_is_refused(tmp_path: Path) -> None:
    one, study = task(tmp_path / "search", 2), tmp_path / "study.sqlite"
    with pytest.raises(ConfigError, match="The budget is for trials=2, got 3"):
        tune(one, Limits(3), open_study(one.name, study), ROWS)
    tune(one, Limits(1), open_study(one.name, study, resume=True), ROWS)
    with pytest.raises(ConfigError, match="nobody knows what it has spent"):
        tune(replace(one, folder=tmp_path / "lost"), Limits(2), open_study(one.name, study, resume=True), ROWS)
    with pytest.raises(ConfigError, match="holds the ledgers of another search"):
        tune(one, Limits(2), open_study(one.name, tmp_path / "new.sqlite"), ROWS)
    assert task(tmp_path / "search", 4).name != one.name


def test_a_recommender_that_is_trained_pays_for_each_training_and_its_score(tmp_path: Path) -> None:
    training = {"rounds": 2, "local": {"loss": "bpr", "steps": 2, "batch_size": 4}}
    space = {"tune": {"space": {"training.local.learning_rate": [0.01, 0.1]}}, "training": training}
    config = config_of([{"name": "mf", "dim": 2, "max_length": 8}], **space)
    found = tune(replace(task_of(config, "mf", 2), folder=tmp_path / "search"), Limits(2), dataset=ROWS)
    assert len(found.ranked) == 2
    for entries in ledgers(tmp_path / "search"):
        assert [what.split(": ")[1] for what in entries] == [
            "item_counts",
            "mf",
            "mf",
            "validation of 1 candidate",
            "mf",
            "mf",
            "validation of 1 candidate",
        ]
    assert all(8.0 * 0.98 <= epsilon <= 8.0 for epsilon in spent(tmp_path / "search"))


def test_what_the_search_cost_is_in_the_configuration_that_it_writes(tmp_path: Path) -> None:
    found = tune(task(tmp_path / "search", 2), Limits(2), dataset=ROWS)
    (tmp_path / "best.toml").write_text(found.as_toml())
    text = found.as_toml()
    assert "# The search cost each user epsilon 8 at delta 1e-05, of 8 for up to 2 trials." in text
    assert "epsilon 8 more: at most 16 at delta 2e-05 for both." in text
    assert load(tmp_path / "best.toml").privacy == found.task.config.privacy


def test_devices_are_not_searched_over() -> None:
    config = config_of(
        [{"name": "mf"}],
        federation={"max_users_per_tenant": 1},
        privacy={"epsilon": 8.0, "delta": DELTA, "devices": True},
    )
    with pytest.raises(ConfigError, match="privacy.devices = false"):
        task_of(config, "mf")
