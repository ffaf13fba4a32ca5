"""Markov, item-kNN, user-kNN and PCA by hand or against slow twins."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError
from fedrec.models import PCA, ItemFeatures, ItemKNN, Markov, UserKNN, fit, localised, pooled_sum
from fedrec.models.neighbours import nearest
from fedrec.models.statistics import Transitions
from fedrec.rng import derive

ROWS = [[0, 1, 2], [0, 1], [1, 2, 0], [3, 0, 2]]
HISTORIES = Histories.from_lists(ROWS, 4)
ITEMS = ItemFeatures(4)


def test_markov_divides_counts_by_departures_plus_shrinkage() -> None:
    weights = fit(Markov(shrinkage=5.0), ITEMS, pooled_sum([HISTORIES]))
    expected = np.array(
        [
            [0, 2 / 8, 1 / 8, 0],
            [0, 0, 2 / 7, 0],
            [1 / 6, 0, 0, 0],
            [1 / 6, 0, 0, 0],
        ]
    )
    np.testing.assert_allclose(weights["transitions"], expected, rtol=1e-6)
    assert weights["popularity"].tolist() == [3, 2, 3, 1]


def test_markov_weights_the_last_three_items_one_half_and_a_quarter() -> None:
    weights = fit(Markov(), ITEMS, pooled_sum([HISTORIES]))
    scores = Markov().scores(weights, Histories.from_lists([[2, 3, 0, 1]], 4))
    table = weights["transitions"]
    np.testing.assert_allclose(scores[0], table[1] + 0.5 * table[0] + 0.25 * table[3], rtol=1e-6)


def test_markov_takes_negative_noisy_counts_for_none() -> None:
    algorithm = Markov(shrinkage=1.0)
    counts = {"transitions": np.array([[-3.0, 1.0], [0.0, -0.5]])}
    total = Total(Transitions(2, 2).layout(), counts, 1, noise={"transitions": 0.1})
    weights = algorithm.absorb(algorithm.begin(ItemFeatures(2)), total)
    assert weights["transitions"].tolist() == [[0.0, 0.5], [0.0, 0.0]]


def test_item_similarities_are_shrunk_cosines() -> None:
    weights = fit(ItemKNN(neighbours=3, shrinkage=2.0), ITEMS, pooled_sum([HISTORIES]))
    scores = ItemKNN(neighbours=3, shrinkage=2.0).scores(weights, Histories.from_lists([[3]], 4))
    # item 3 has one user; it meets item 0 (4 users) once and item 2 (3 users) once
    np.testing.assert_allclose(scores[0], [1 / (2 + 2), 0, 1 / (3**0.5 + 2), 0], rtol=1e-6)


def test_item_knn_keeps_only_the_nearest() -> None:
    weights = fit(ItemKNN(neighbours=1, shrinkage=0.0), ITEMS, pooled_sum([HISTORIES]))
    scores = ItemKNN(neighbours=1, shrinkage=0.0).scores(weights, Histories.from_lists([[3]], 4))
    np.testing.assert_allclose(scores[0], [0, 0, 1 / 3**0.5, 0], rtol=1e-6)


def test_nearest_drops_what_is_not_positive() -> None:
    columns, values = nearest(np.array([[0.3, -0.2, 0.9, 0.0]]), 3)
    assert {int(c): float(v) for c, v in zip(columns[0], values[0], strict=True) if v > 0} == pytest.approx(
        {0: 0.3, 2: 0.9}
    )


def test_user_knn_adds_up_the_cosines_of_the_nearest_users_who_have_the_item() -> None:
    algorithm = UserKNN(neighbours=2, half_life=None, window=None)
    weights = localised(algorithm, fit(algorithm, ITEMS, pooled_sum([HISTORIES])), HISTORIES)
    scores = algorithm.scores(weights, Histories.from_lists([[0, 3]], 4))
    # cosines with the four users: 1/sqrt(6), 1/2, 1/sqrt(6), 2/sqrt(6); the two nearest are the last and the second
    last, second = 2 / 6**0.5, 0.5
    np.testing.assert_allclose(scores[0], [last + second, second, last, last], rtol=1e-5)


def test_user_knn_scores_many_users_in_parts_alike() -> None:
    rng = derive(8, "many")
    many = Histories.from_lists([rng.choice(4, size=2, replace=False).tolist() for _ in range(2100)], 4)
    algorithm = UserKNN(neighbours=2100)
    weights = localised(algorithm, fit(algorithm, ITEMS, pooled_sum([many])), many)
    last = many.select(np.arange(2090, 2100))
    np.testing.assert_allclose(algorithm.scores(weights, many)[2090:], algorithm.scores(weights, last), rtol=1e-5)


def test_pca_scores_project_the_history_on_the_top_eigenvectors() -> None:
    algorithm = PCA(rank=2, half_life=None, window=None)
    weights = fit(algorithm, ITEMS, pooled_sum([HISTORIES]))
    matrix = HISTORIES.binary().toarray()
    top = np.linalg.eigh(matrix.T @ matrix)[1][:, ::-1][:, :2]
    np.testing.assert_allclose(algorithm.scores(weights, HISTORIES), matrix @ top @ top.T, atol=1e-5)


def test_subspace_iteration_finds_the_eigenvectors_of_the_gram() -> None:
    rng = derive(3, "rows")
    taste = rng.random((4, 60)) ** 4
    rows = [rng.choice(60, size=12, replace=False, p=taste[u % 4] / taste[u % 4].sum()).tolist() for u in range(300)]
    histories = Histories.from_lists(rows, 60)
    exact, approximate = PCA(rank=4), PCA(rank=4, method="subspace", rounds=8, oversample=8)
    scores = [a.scores(fit(a, ItemFeatures(60), pooled_sum([histories])), histories) for a in (exact, approximate)]
    np.testing.assert_allclose(scores[1], scores[0], atol=2e-3)


def test_rank_must_be_below_the_number_of_items() -> None:
    with pytest.raises(ConfigError, match="Expected rank=4 to be below the number of items, 4"):
        PCA(rank=4).begin(ITEMS)
