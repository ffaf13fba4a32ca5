"""Closed-form factors as first item vectors."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.errors import ModelError
from fedrec.models.neural.warm_start import warm_start

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
