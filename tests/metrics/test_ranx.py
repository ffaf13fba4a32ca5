"""Agreement with ranx 0.3.21 without ties. `tests/vectors/make_ranx_vectors.py` made the numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from fedrec.data.histories import Histories
from fedrec.metrics import RankingProtocol, UserMetrics, evaluate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ranx.json").read_text())


@pytest.fixture(scope="module")
def metrics() -> UserMetrics:
    scores = np.array(VECTORS["scores"], dtype=np.float64)
    num_items = scores.shape[1]
    return evaluate(
        lambda start, stop: scores[start:stop],
        Histories.from_lists(VECTORS["seen"], num_items),
        Histories.from_lists(VECTORS["targets"], num_items),
        item_counts=np.ones(num_items),
        protocol=RankingProtocol(ks=tuple(VECTORS["ks"])),
    )


@pytest.mark.parametrize("name", VECTORS["metrics"])
def test_each_user_gets_the_value_that_ranx_gives(metrics: UserMetrics, name: str) -> None:
    np.testing.assert_allclose(metrics.of(name), VECTORS["metrics"][name], rtol=0, atol=1e-9)


def test_the_vectors_hold_every_cut_off_metric(metrics: UserMetrics) -> None:
    assert {*VECTORS["metrics"], "AUC"} == set(metrics.protocol.metric_names)
