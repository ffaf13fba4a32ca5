"""A federation of devices, each with one user: who is drawn, and a small real one from the configuration to the claim."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedrec.client.guard import claim_of
from fedrec.client.store import TenantStore
from fedrec.config import Config, load, parse
from fedrec.data import Marketplace, marketplace
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.budget import devices_rounds, spending_of
from fedrec.privacy.mechanisms import SampledGaussian, SampledSkellam
from fedrec.server.step_noise import drawn_devices
from fedrec.simulations.experiment import Experiment

DELTA = 1e-3


def devices(number: int = 40, cohort: float = 0.5, **privacy: Any) -> Config:
    return parse(
        {
            "data": {"dataset": "synthetic"},
            "tenants": {"split": "one_user_per_client"},
            "models": [{"name": "popularity"}, {"name": "mf", "dim": 2, "max_length": 8}],
            "evaluation": {"bootstrap": 0},
            "training": {"rounds": 2, "cohort": cohort, "local": {"epochs": 1, "learning_rate": 0.05}},
            "federation": {
                "arms": ["floor", "federated"],
                "min_tenants": max(3, number // 8),
                "max_tenants": number,
                "max_users_per_tenant": 1,
            },
            "privacy": {
                "epsilon": 8.0,
                "delta": DELTA,
                "evaluation": "simulation",
                "devices": True,
                "trusted_sampling": True,
                **privacy,
            },
        }
    )


def exchange(config: Config, number: int) -> Any:
    return SimpleNamespace(config=config, grid=SimpleNamespace(get_node_ids=lambda: range(number)))


def test_each_device_is_drawn_by_chance_and_by_no_public_seed() -> None:
    """200 devices with chance 1/2, 30 rounds: the total is binomial, within 6 standard deviations of 3,000 but with
    chance 2e-9; two equal cohorts have a chance of 2^-190."""
    config = devices(200)
    cohorts = [drawn_devices(exchange(config, 200), list(range(200))) for _ in range(30)]
    assert abs(sum(map(len, cohorts)) - 3000) < 6 * math.sqrt(6000 / 4)
    assert len({tuple(cohort) for cohort in cohorts}) == 30


def test_cohorts_that_could_tell_who_was_not_drawn_are_refused() -> None:
    with pytest.raises(ConfigError, match="raise training.cohort"):
        drawn_devices(exchange(devices(40, cohort=0.1), 40), list(range(40)))


def test_a_device_that_is_not_trusting_plans_for_the_rounds_that_it_is_in() -> None:
    """Of 100 rounds at chance .1 more than 20 happen to one in a thousand: P(X > 20) = 8e-4."""
    config = devices(trusted_sampling=False, epsilon=20.0).model_copy(
        update={"training": devices(cohort=0.1).training.model_copy(update={"rounds": 100})}
    )
    assert devices_rounds(config) == 20
    items: Any = None
    found = spending_of(config, {}, items, trained=1)
    assert found is not None
    assert found.step is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"placement": "local"}, "devices needs placement = 'distributed'"),
        ({"devices": False}, "trusted_sampling is about devices"),
    ],
)
def test_configurations_that_contradict_themselves_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        devices(**change)


def test_a_run_of_devices_spends_its_budget_and_says_whom_that_is_against(tmp_path: Path) -> None:
    config = devices(24, evaluation="none")
    rows = marketplace(Marketplace(num_users=24, num_items=20, mean_events=8), seed=2)
    Experiment(config, tmp_path / "run", page=False).run(rows)
    stores = [TenantStore(folder) for folder in sorted((tmp_path / "run" / "tenants").iterdir())]
    claims = [claim_of(store) for store in stores]
    trained = [claim for claim in claims if any(isinstance(one, SampledSkellam) for one in claim.mechanisms)]
    assert len(stores) == 24
    assert 3 <= len(trained) <= 24
    for claim in trained:
        assert 0.99 * 8.0 <= claim.running <= 8.0
        assert "who do not see who was drawn: not against the server" in claim.sampling
    lines = [json.loads(line) for line in (tmp_path / "run" / "server" / "events.jsonl").read_text().splitlines()]
    rounds = [line for line in lines if line["event"] == "round-end" and "training" in line]
    assert len(rounds) == 2
    assert all(3 <= line["clients"] <= 24 for line in rounds)
    assert (tmp_path / "run" / "server" / "models" / "mf").is_dir()


def test_the_preset_is_one_of_devices() -> None:
    config = load("devices")
    assert config.privacy is not None
    assert config.privacy.devices
    assert config.tenants.split == "one_user_per_client"
    spent = [SampledGaussian(config.training.cohort, 2.0, config.training.rounds)]
    assert epsilon_of(spent, config.privacy.delta) < config.privacy.epsilon
