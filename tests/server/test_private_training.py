"""A whole run that trains by gradients under differential privacy, from the configuration to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedrec.client.guard import FOLDER
from fedrec.client.ledger import Ledger
from fedrec.config import Config, parse
from fedrec.data import Marketplace, marketplace
from fedrec.errors import ConfigError
from fedrec.models import load as load_model
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.budget import spending_of
from fedrec.privacy.mechanisms import SampledGaussian, as_record
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report.html import render
from fedrec.simulations.report.schema import Report

ROWS = marketplace(Marketplace(num_users=60, num_items=30, mean_events=8), seed=2)
DELTA, EPSILON = 1e-5, 8.0
LOCAL = {"loss": "sampled_softmax", "negatives": 8, "steps": 2, "batch_size": 4}


def config(local: dict[str, Any] | None = None, **privacy: Any) -> Config:
    return parse(
        {
            "name": "private",
            "data": {"dataset": "synthetic"},
            "tenants": {"split": "iid", "n": 3},
            "models": [{"name": "popularity"}, {"name": "mf", "dim": 4}, {"name": "gru", "dim": 4, "hidden": 4}],
            "evaluation": {"bootstrap": 0},
            "training": {"rounds": 3, "alone_epochs": 1, "local": LOCAL if local is None else local},
            "federation": {
                "arms": ["floor", "federated"],
                "min_tenants": 3,
                "max_tenants": 4,
                "max_users_per_tenant": 1000,
                "secure_aggregation": privacy.get("placement") == "distributed",
            },
            "privacy": {
                "epsilon": EPSILON,
                "delta": DELTA,
                "placement": "local",
                "evaluation": "simulation",
                "sample_rate": 0.2,
                **privacy,
            },
        }
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("private") / "run"
    return folder, Experiment(config(), folder).run(ROWS)


def ledgers(folder: Path) -> list[list[Any]]:
    tenants = sorted((folder / "tenants").iterdir())
    return [[one for e in Ledger(t / FOLDER).entries() for one in e.mechanisms] for t in tenants]


def events(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "server" / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "round-end"]


def test_each_tenant_spends_the_budget_on_sums_and_steps_and_no_more(finished: tuple[Path, Report]) -> None:
    for spent in ledgers(finished[0]):
        assert EPSILON * 0.99 <= epsilon_of(spent, DELTA) <= EPSILON
        rounds = [one for one in spent if isinstance(one, SampledGaussian)]
        assert {(one.rate, one.steps) for one in rounds} == {(0.2, 2)}
        assert len(rounds) == 6  # of two recommenders


def test_the_server_knows_what_was_recorded_and_no_loss(finished: tuple[Path, Report]) -> None:
    found = events(finished[0])
    stated = [one for event in found for one in event.get("mechanisms", [])]
    assert stated == [as_record(one) for one in ledgers(finished[0])[0]]
    assert not [event for event in found if "loss" in event]
    assert {block["block"].partition("/")[0] for event in found if "training" in event for block in event["sent"]} == {
        "update",
        "weight",
    }


def test_the_claim_tells_of_steps_and_sampling(finished: tuple[Path, Report]) -> None:
    facts = {fact.name: fact.text for fact in finished[1].privacy.claim}
    assert facts["Releases"].endswith("and 12 noised steps of training")
    assert "each user is with chance 0.2" in facts["Sampling"]
    assert "privacy loss distribution" in facts["Accountant"]
    assert finished[1].privacy.epsilon is not None
    assert finished[1].privacy.epsilon <= EPSILON
    assert "noised steps" in render(finished[1])


def test_the_models_are_there_and_were_scored(finished: tuple[Path, Report]) -> None:
    for label in ("mf", "gru"):
        weights = load_model(finished[0] / "server" / "models" / label).weights
        assert "items.residual.weight" in weights
    assert {one.model for one in finished[1].results if one.arm == "federated"} >= {"mf", "gru"}


@pytest.mark.parametrize(
    ("local", "privacy", "message"),
    [
        (LOCAL, {"placement": "distributed"}, "set privacy.placement to 'local'"),
        ({"loss": "bce"}, {}, "set training.local.steps"),
        ({**LOCAL, "steps": True}, {}, "set training.local.steps"),
        ({"steps": 2}, {}, "training.local.loss to one of sampled_softmax"),
        ({**LOCAL, "patience": 1}, {}, "leave training.local.patience out"),
    ],
)
def test_configurations_whose_steps_could_not_be_private_are_refused(
    tmp_path: Path, local: dict[str, Any], privacy: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Experiment(config(local, **privacy), tmp_path / "run").run(ROWS)


def test_more_steps_take_more_noise() -> None:
    few, many = config(), config({**LOCAL, "steps": 50})
    items: Any = None
    plans = [spending_of(one, {}, items, trained=1) for one in (few, many)]
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].step is not None
    assert plans[1].step is not None
    assert plans[0].step < plans[1].step
    for plan, steps in zip(plans, (2 * 3, 50 * 3), strict=True):
        assert plan is not None
        spent = [SampledGaussian(0.2, plan.step or 0.0, steps)]
        assert epsilon_of(spent, DELTA) == pytest.approx(EPSILON, rel=1e-6)
