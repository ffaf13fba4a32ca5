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
from fedrec.server.step_noise import draw_key, drawn_devices, of_this_draw
from fedrec.simulations.experiment import Experiment

DELTA = 1e-3
KEY = bytes(32)


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
    """Under one key, by round. 200 devices with chance 1/2, 30 rounds: the total is binomial, within 6 standard deviations of 3,000 but with
    chance 2e-9; two equal cohorts have a chance of 2^-190."""
    config = devices(200)
    cohorts = [drawn_devices(exchange(config, 200), list(range(200)), KEY, number) for number in range(30)]
    assert abs(sum(map(len, cohorts)) - 3000) < 6 * math.sqrt(6000 / 4)
    assert len({tuple(cohort) for cohort in cohorts}) == 30


def test_a_round_that_is_repeated_draws_the_same_devices_and_another_training_others(tmp_path: Path) -> None:
    """Two keys draw the same 200 with a chance of 2^-200."""
    config, nodes = devices(200), list(range(200))
    key = draw_key(tmp_path, resume=False)
    assert draw_key(tmp_path, resume=True) == key
    again = draw_key(tmp_path, resume=False)
    first, second = (drawn_devices(exchange(config, 200), nodes, one, 3) for one in (key, again))
    assert first == drawn_devices(exchange(config, 200), nodes, key, 3)
    assert first != second
    assert of_this_draw("run", key) != of_this_draw("run", again)
    assert (tmp_path / "draws.key").stat().st_mode & 0o777 == 0o600


def test_cohorts_that_could_tell_who_was_not_drawn_are_refused() -> None:
    with pytest.raises(ConfigError, match="raise training.cohort"):
        drawn_devices(exchange(devices(40, cohort=0.1), 40), list(range(40)), KEY, 1)


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


def test_the_preset_runs_with_fewer_devices_and_rounds(tmp_path: Path) -> None:
    """Of 32 devices fewer than the 5 that a sum needs are drawn with a chance of 1e-5 a round, which is then made anew."""
    config = load("devices")
    smaller = {
        "federation": config.federation.model_copy(update={"min_tenants": 5}),
        "training": config.training.model_copy(update={"rounds": 2, "cohort": 0.5}),
    }
    rows = marketplace(Marketplace(num_users=32, num_items=20, mean_events=8), seed=3)
    report = Experiment(config.model_copy(update=smaller), tmp_path / "run", page=False).run(rows)
    assert report.data.tenants == 32
    assert {result.arm for result in report.results} == {"floor", "federated"}
    assert {card.name for card in report.models} == {"popularity", "mf"}
    assert report.privacy.noise_on
    assert report.privacy.masks_on
    assert report.privacy.epsilon is not None
    assert 0.98 * 8.0 <= report.privacy.epsilon <= 8.0
    facts = {fact.name: fact.text for fact in report.privacy.claim}
    assert "not against the server" in facts["Sampling"]
    assert facts["Users"] == "32"


def test_a_device_that_was_never_drawn_has_no_round_on_its_ledger(tmp_path: Path) -> None:
    """It pays for the item counts, which everyone is asked for. In two rounds at chance 1/4 each of 40 devices stays
    undrawn with chance .56: none of them does with a chance of 4e-15."""
    config = devices(40, 0.25, evaluation="none")
    federation = config.federation.model_copy(update={"min_tenants": 2})
    rows = marketplace(Marketplace(num_users=40, num_items=20, mean_events=8), seed=2)
    Experiment(config.model_copy(update={"federation": federation}), tmp_path / "run", page=False).run(rows)
    claims = [claim_of(TenantStore(folder)) for folder in sorted((tmp_path / "run" / "tenants").iterdir())]
    undrawn = [one for one in claims if not any(isinstance(part, SampledSkellam) for part in one.mechanisms)]
    assert undrawn
    assert all(len(one.mechanisms) == 1 for one in undrawn)


def test_the_preset_is_one_of_devices() -> None:
    config = load("devices")
    assert config.privacy is not None
    assert config.privacy.devices
    assert config.tenants.split == "one_user_per_client"
    spent = [SampledGaussian(config.training.cohort, 2.0, config.training.rounds)]
    assert epsilon_of(spent, config.privacy.delta) < config.privacy.epsilon
