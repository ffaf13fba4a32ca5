"""Events that fade in a simulation: the moment is found once, and is the same in every arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrec.config import load, parse
from fedrec.data import Dataset, Marketplace, marketplace
from fedrec.models import load as load_model
from fedrec.simulations.experiment import Experiment

ROWS: Dataset = marketplace(Marketplace(num_users=60, num_items=20, mean_events=8), seed=2)
RAW: dict[str, Any] = {
    "data": {"dataset": "synthetic"},
    "tenants": {"split": "iid", "n": 3},
    "models": [{"name": "item_knn", "neighbours": 5}],
    "evaluation": {"bootstrap": 0},
    "federation": {"arms": ["federated", "pooled"], "secure_aggregation": False},
    "freshness": {"half_life_days": 30.0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fading") / "run"
    Experiment(parse(RAW), place, page=False).run(ROWS)
    return place


def test_the_moment_is_the_newest_of_all_events_and_is_written_down(folder):
    assert load(folder / "config.toml").freshness.as_of == ROWS.interactions.times.max()


def test_federated_sums_fade_as_the_pooled_ones_do_to_the_bit(folder):
    federated, pooled = (
        load_model(folder / side / "models" / "item_knn").weights["popularity"] for side in ("server", "pooled")
    )
    np.testing.assert_array_equal(federated, pooled)
    assert (federated % 1 > 0).any()
    assert federated.max() < 60


def test_a_configuration_without_the_moment_is_still_that_of_the_run(folder):
    report = Experiment(parse(RAW), folder, page=False, resume=True).run(ROWS)
    assert report.name == "run"
