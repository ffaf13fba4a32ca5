"""A gradient model through the whole course of a run: chosen, trained under masks, scored, saved, loaded."""

from __future__ import annotations

import numpy as np

from fedrec.config import parse
from fedrec.models import load
from fedrec.simulations.experiment import Experiment

CONFIG = {
    "name": "neural",
    "data": {"dataset": "synthetic", "synthetic": {"num_tenants": 4, "num_users": 120, "num_items": 60}},
    "tenants": {"split": "by_user_attribute", "attribute": "tenant"},
    "evaluation": {"bootstrap": 0},
    "federation": {"arms": ["floor", "local", "federated"]},
    "training": {"rounds": 2, "alone_epochs": 2},
    "models": [{"name": "popularity"}, {"name": "mf"}],
}


def test_a_gradient_model_is_trained_under_masks_and_saved(tmp_path):
    report = Experiment(parse(CONFIG), tmp_path / "run", page=False).run()
    trained = {(result.arm, result.model) for result in report.results}
    assert {("local", "mf"), ("federated", "mf")} <= trained
    assert report.privacy.masks_on
    assert any("update" in sent.block for exchange in report.rounds for sent in exchange.sent)
    model = load(tmp_path / "run" / "server" / "models" / "mf")
    assert len(model.recommend_to_items([model.item_ids[0]], n=3)) == 3


def test_training_is_the_same_with_and_without_masks(tmp_path):
    masked = Experiment(parse(CONFIG), tmp_path / "masked", page=False).run()
    plain = CONFIG | {"federation": CONFIG["federation"] | {"secure_aggregation": False}}
    assert Experiment(parse(plain), tmp_path / "plain", page=False).run().results == masked.results


def test_the_pooled_arm_is_not_bound_by_what_bounds_a_tenant(tmp_path):
    """A ceiling that is held down by the bound of a round would be none."""
    found = []
    for norm in (1e-3, 50.0):
        training = {**CONFIG["training"], "local": {"update_norm": norm}}
        config = CONFIG | {"federation": {"arms": ["federated", "pooled"]}, "training": training}
        Experiment(parse(config), tmp_path / str(norm), page=False).run()
        found.append(load(tmp_path / str(norm) / "pooled" / "models" / "mf").weights["items.residual.weight"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
