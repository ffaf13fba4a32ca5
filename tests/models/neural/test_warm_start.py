"""Closed-form factors as first item vectors."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.errors import ModelError
from fedrec.models.neural.warm_start import warm_start, with_tower

FACTORS = np.array([[3.0, 0.0, 0.1], [0.0, 2.0, 0.0], [3.0, 2.0, 0.0], [-3.0, 1.0, 0.2]])


def test_inner_products_keep_their_proportions():
    rows = warm_start(FACTORS, dim=5)["items.residual.weight"].astype(np.float64)
    assert rows.shape == (4, 5)
    ratio = (rows @ rows.T)[0, 0] / (FACTORS @ FACTORS.T)[0, 0]
    np.testing.assert_allclose(rows @ rows.T, ratio * (FACTORS @ FACTORS.T), atol=1e-8)
    assert np.sqrt((rows**2).mean()) == pytest.approx(0.02)


def test_the_strongest_directions_are_kept():
    rows = warm_start(FACTORS, dim=2)["items.residual.weight"].astype(np.float64)
    wanted, found = FACTORS @ FACTORS.T, rows @ rows.T
    found *= np.trace(wanted) / np.trace(found)
    np.testing.assert_allclose(found, wanted, atol=0.1)


@pytest.mark.parametrize("factors", [np.zeros((2, 2)), np.ones(3), np.array([[np.nan, 1.0]])])
def test_factors_that_say_nothing_are_refused(factors):
    with pytest.raises(ModelError, match="Expected finite factors"):
        warm_start(factors, 2)


def test_tower_and_residual_together_are_the_factors_of_items_that_somebody_had():
    """Items 0 and 2 share a content: with l2=1, of their factors 3 and 0 the tower tells (3 + 0) / (2 + 1) = 1."""
    content = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], np.float32)
    rows = np.array([[3.0], [4.0], [0.0], [7.0]])
    first = with_tower(rows, content, np.array([1.0, 9.0, 2.0, 0.0]), l2=1.0)
    np.testing.assert_allclose(first["items.tower.weight"], [[1.0, 2.0]])
    np.testing.assert_allclose(first["items.residual.weight"], [[2.0], [2.0], [-1.0], [0.0]])
