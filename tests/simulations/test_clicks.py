"""Models of clicks over whole small federations."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fedrec.config import FederationConfig
from fedrec.data import SPLITS, Dataset
from fedrec.errors import ConfigError
from fedrec.models.ctr import WideDeep
from fedrec.models.neural.plan import LocalTraining
from fedrec.server.training import FederatedTraining
from fedrec.simulations.clicks import ClickPlan, federate_clicks, pool_clicks
from fedrec.simulations.experiment import simulate
from tests.models.ctr.worlds import TINY, fans

LOCAL = LocalTraining(epochs=4, batch_size=10, learning_rate=0.02)
PLAN = ClickPlan(FederatedTraining(rounds=6, local=LOCAL), FederationConfig(secure_aggregation=False))
TENANTS = {name: fans(20, name=name) for name in ("left", "middle", "right")}


def test_under_masks_weights_and_figures_are_the_same_bit_for_bit(tmp_path):
    plan = replace(PLAN, training=replace(PLAN.training, rounds=2))
    plain = federate_clicks(TINY, TENANTS, plan)
    masked = federate_clicks(TINY, TENANTS, replace(plan, federation=FederationConfig()), tmp_path)
    assert masked.figures == plain.figures
    assert all(np.array_equal(masked.weights[name], value) for name, value in plain.weights.items())
    events = [json.loads(line) for line in (tmp_path / "server" / "events.jsonl").read_text().splitlines()]
    assert sum(event["event"] == "secure-sum" for event in events) == 3
    assert masked.figures.users == 60


def test_tenants_learn_together_what_their_users_like():
    run = federate_clicks(TINY, TENANTS, PLAN)
    assert run.figures.auc > 0.9
    assert run.figures.log_loss < 0.6 * run.figures.base_log_loss
    best = run.predictor(TENANTS["left"]).rank("left-1", at=10**6)[:6]
    assert {int(one.item_id.removeprefix("item-")) % 2 for one in best} == {1}


def test_a_federation_of_one_tenant_for_one_round_is_training_alone():
    plan = ClickPlan(
        FederatedTraining(rounds=1, local=LOCAL), FederationConfig(secure_aggregation=False, min_tenants=1)
    )
    alone, run = pool_clicks(TINY, TENANTS["left"], LOCAL), federate_clicks(TINY, {"everyone": TENANTS["left"]}, plan)
    for name, value in run.weights.items():
        np.testing.assert_allclose(value, alone.weights[name], atol=1e-4)
    assert run.figures.auc == pytest.approx(alone.figures.auc, abs=1e-3)


def test_a_configuration_that_wants_clicks_ranked_is_told_what_to_do():
    config = {"models": [{"name": "widedeep", "click_at": 4.0}]}
    with pytest.raises(ConfigError, match=r"does not rank a catalogue\. Train it by .*federate_clicks"):
        simulate(config, TENANTS["left"])


@pytest.mark.data
def test_likes_of_movielens_are_predicted_better_than_any_constant_would(ml100k: Dataset):
    """A constant has AUC .5 and, at best, the log-loss of the base rate. With 1,000 events in the test an AUC without
    skill deviates by .018: it is above .65 with probability below 1e-15."""
    few = ml100k.select_users(np.arange(200))
    model = WideDeep(click_at=4.0)
    plan = ClickPlan(FederatedTraining(rounds=4, local=LocalTraining(epochs=2, batch_size=8, learning_rate=2e-3)))
    for run in (federate_clicks(model, SPLITS["iid"](few, n=5), plan), pool_clicks(model, few)):
        assert run.figures.users == 200
        assert run.figures.auc > 0.65
        assert run.figures.log_loss < 0.95 * run.figures.base_log_loss
        assert run.figures.calibration_error < 0.12
