from __future__ import annotations

import numpy as np
import pytest

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models import EASE, ItemFeatures, fit, pooled_sum, triangle
from fedrec.models.statistics import ItemGram
from fedrec.rng import derive

ROWS = [[0, 1, 2], [1, 2, 3], [0, 4], [4, 3, 1], [2, 0], [1], [0, 1, 2, 3, 4]]


def test_item_weights_equal_ridge_regression_per_column_without_the_item_itself() -> None:
    histories, l2 = Histories.from_lists(ROWS, 5), 1.7
    weights = fit(EASE(l2=l2), ItemFeatures(5), pooled_sum([histories]))["item_weights"]
    matrix = histories.binary().toarray()
    for item in range(5):
        others = [i for i in range(5) if i != item]
        design = matrix[:, others]
        solution = np.linalg.solve(design.T @ design + l2 * np.eye(4), design.T @ matrix[:, item])
        np.testing.assert_allclose(weights[others, item], solution, rtol=1e-5, atol=1e-6)
        assert weights[item, item] == 0.0


def test_recent_events_weigh_more() -> None:
    histories = Histories.from_lists(ROWS, 5)
    weights = fit(EASE(l2=1.0), ItemFeatures(5), pooled_sum([histories]))
    scores = EASE(l2=1.0, half_life=2.0, window=2).scores(weights, Histories.from_lists([[3, 0, 1]], 5))
    expected = 1.0 * weights["item_weights"][1] + 0.5**0.5 * weights["item_weights"][0]
    np.testing.assert_allclose(scores[0], expected, rtol=1e-6)


def test_a_gram_that_noise_made_indefinite_still_gives_finite_weights() -> None:
    statistic, algorithm = ItemGram(30, 30), EASE(l2=1.0)
    noisy = derive(0, "noise").normal(0.0, 20.0, triangle.size(30))
    assert np.linalg.eigvalsh(triangle.unpack(noisy, 30))[0] < -1.0
    total = Total(statistic.layout(), {"gram": noisy}, num_clients=1)
    weights = algorithm.absorb(algorithm.begin(ItemFeatures(30)), total)
    assert np.isfinite(weights["item_weights"]).all()
    assert float(np.abs(weights["item_weights"]).max()) == pytest.approx(1.0, abs=20.0)
