"""A whole run whose tenants share the noise of each step under masks, from the configuration to the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedrec.config import Config, parse
from fedrec.errors import ConfigError
from fedrec.models import load as load_model
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.budget import spending_of
from fedrec.privacy.mechanisms import SampledGaussian, SampledSkellam, as_record
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report.html import render
from fedrec.simulations.report.schema import Report
from tests.server.test_private_training import DELTA, EPSILON, ROWS, config, events, ledgers

STEP = {"loss": "sampled_softmax", "negatives": 8, "steps": 1, "batch_size": 4, "optimizer": "sgd"}
ROUNDS = 4
MODELS = [{"name": "popularity"}, {"name": "mf", "dim": 4}]


def shared(models: list[dict[str, Any]] = MODELS, **privacy: Any) -> Config:
    base = config({**STEP, "learning_rate": 1.0}, placement="distributed", **privacy).model_dump(mode="json")
    training = base["training"] | {"rounds": ROUNDS, "optimizer": "fedadam", "parameters": {"eta": 0.01}}
    return parse(base | {"training": training, "models": models})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("shared") / "run"
    return folder, Experiment(shared(clip_quantile=0.5), folder).run(ROWS)


def test_each_tenant_spends_the_budget_on_sums_and_sampled_steps(finished: tuple[Path, Report]) -> None:
    for spent in ledgers(finished[0]):
        assert EPSILON * 0.99 <= epsilon_of(spent, DELTA) <= EPSILON
        assert [one.rate for one in spent if isinstance(one, SampledSkellam)] == [0.2] * ROUNDS


def test_the_server_knows_what_was_recorded_and_one_vector(finished: tuple[Path, Report]) -> None:
    found = events(finished[0])
    assert [one for event in found for one in event.get("mechanisms", [])] == [
        as_record(one) for one in ledgers(finished[0])[0]
    ]
    training = [event for event in found if "training" in event]
    assert {block["block"] for event in training for block in event["sent"]} == {"sum"}
    assert not [event for event in training if "loss" in event]


def test_the_clip_moves_by_noised_votes(finished: tuple[Path, Report]) -> None:
    clips = [event["clip_norm"] for event in events(finished[0]) if "training" in event]
    assert len(set(clips)) == ROUNDS
    for before, after in zip([0.5, *clips], clips, strict=False):
        assert 0.81 <= after / before <= 1.23  # e^-0.2 and e^0.2 at most


def test_the_claim_tells_of_sampling_and_the_models_are_there(finished: tuple[Path, Report]) -> None:
    facts = {fact.name: fact.text for fact in finished[1].privacy.claim}
    assert f"and {ROUNDS} noised steps of training" in facts["Releases"]
    assert "each user is with chance 0.2" in facts["Sampling"]
    assert "at least 2 tenants of every sum" in facts["Trust"]
    assert "Renyi" in facts["Accountant"]
    assert "distributed" in render(finished[1])
    assert "items.residual.weight" in load_model(finished[0] / "server" / "models" / "mf").weights


def test_sharing_takes_the_noise_of_one_client() -> None:
    """The multiplier is that of noise at each tenant; there it is in the sum once for each of them."""
    items: Any = None
    plans = [spending_of(one, {}, items, trained=1) for one in (shared(), config({**STEP}))]
    here, there = (plan.step for plan in plans if plan is not None and plan.step is not None)
    spent = [SampledGaussian(0.2, here, ROUNDS)]
    assert epsilon_of(spent, DELTA) == pytest.approx(EPSILON, rel=1e-3)
    assert epsilon_of(spent, DELTA) <= EPSILON
    assert epsilon_of([SampledGaussian(0.2, there, 3)], DELTA) == pytest.approx(EPSILON, rel=1e-3)


@pytest.mark.parametrize(
    ("local", "models", "message"),
    [
        ({"optimizer": "adamw"}, MODELS, "training.local.optimizer='sgd'"),
        ({"steps": 2}, MODELS, "training.local.steps=1"),
        ({"proximal": 0.1}, MODELS, "training.local.proximal=0.0"),
        ({"keep_moments": True}, MODELS, "training.local.keep_moments=False"),
        ({}, [{"name": "mf", "dim": 4, "residual": "private"}], "set residual = 'shared' or 'none'"),
    ],
)
def test_rounds_that_are_no_single_bounded_gradient_are_refused(
    tmp_path: Path, local: dict[str, Any], models: list[dict[str, Any]], message: str
) -> None:
    base = shared(models).model_dump(mode="json")
    training = base["training"] | {"local": base["training"]["local"] | local}
    with pytest.raises(ConfigError, match=message):
        Experiment(parse(base | {"training": training}), tmp_path / "run").run(ROWS)


def test_noise_that_the_server_would_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'local' or 'distributed'"):
        Experiment(config({**STEP}, placement="central-for-comparison"), tmp_path / "run").run(ROWS)


def test_a_moving_clip_needs_sums_under_masks() -> None:
    with pytest.raises(ConfigError, match="clip_quantile needs placement = 'distributed'"):
        config({**STEP}, clip_quantile=0.5)
