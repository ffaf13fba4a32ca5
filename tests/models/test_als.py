from __future__ import annotations

import numpy as np
import pytest

from fedrec.data.histories import Histories
from fedrec.models import ALS, ItemFeatures, fit, pooled_sum, triangle
from fedrec.models.normal_equations import solve_each
from fedrec.models.statistics import AlsSweep
from fedrec.rng import derive

rng = derive(11, "rows")
ROWS = [rng.choice(9, size=int(rng.integers(1, 7)), replace=False).tolist() for _ in range(20)]
HISTORIES = Histories.from_lists(ROWS, 9)


def loss(items: np.ndarray, l2: float, alpha: float) -> float:
    """Hu et al. 2008, eq. 3, at the users that are best for `items`."""
    wanted = HISTORIES.binary().toarray()
    confidence = 1 + alpha * wanted
    total = l2 * float((items**2).sum())
    for c, p in zip(confidence, wanted, strict=True):
        user = np.linalg.solve(items.T @ (c[:, None] * items) + l2 * np.eye(items.shape[1]), items.T @ (c * p))
        total += float((c * (p - items @ user) ** 2).sum() + l2 * (user**2).sum())
    return total


def test_item_step_equals_the_normal_equations_of_each_item() -> None:
    algorithm = ALS(rank=2, l2=0.5, alpha=3.0, clip_norm=100.0)
    factors = derive(0, "factors").standard_normal((9, 2))
    statistic = AlsSweep(factors, 0.5, 3.0, 100.0, 9)
    wanted = HISTORIES.binary().toarray()
    users = np.array(
        [
            np.linalg.solve(factors.T @ ((1 + 3 * row)[:, None] * factors) + 0.5 * np.eye(2), factors.T @ (4 * row))
            for row in wanted
        ]
    )
    before = {"num_items": np.array(9), "popularity": np.ones(9), "item_factors": factors, "sweeps_done": np.array(0)}
    after = algorithm.absorb(before, pooled_sum([HISTORIES])(statistic))["item_factors"]
    for item, column in enumerate(wanted.T):
        matrix = users.T @ ((1 + 3 * column)[:, None] * users) + 0.5 * np.eye(2)
        np.testing.assert_allclose(after[item], np.linalg.solve(matrix, users.T @ (4 * column)), rtol=1e-8)


def test_each_sweep_lowers_the_loss() -> None:
    losses = []
    for sweeps in (1, 2, 4, 8):
        weights = fit(
            ALS(rank=3, sweeps=sweeps, l2=0.5, alpha=3.0, clip_norm=100.0), ItemFeatures(9), pooled_sum([HISTORIES])
        )
        losses.append(loss(weights["item_factors"], 0.5, 3.0))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.95 * losses[0]


def test_systems_that_noise_made_indefinite_are_solved_in_their_positive_part() -> None:
    matrices = np.array([np.diag([2.0, -3.0]), np.diag([4.0, 1.0])])
    solutions = solve_each(matrices, np.array([[2.0, 5.0], [4.0, 5.0]]))
    np.testing.assert_allclose(solutions, [[1.0, 0.0], [1.0, 5.0]])


def test_triangles_give_back_their_matrices() -> None:
    matrix = derive(1, "matrix").standard_normal((600, 600))
    matrix += matrix.T
    packed = matrix[np.triu_indices(600)]
    np.testing.assert_array_equal(triangle.unpack(packed, 600), matrix)
    small = matrix[:3, :3]
    np.testing.assert_array_equal(triangle.unpack_each(triangle.pack_each(small[None]), 3)[0], small)
    assert triangle.size(600) == len(packed) == pytest.approx(600 * 601 / 2)
