"""Components: what is a direction of the data, and what is not."""

from __future__ import annotations

import numpy as np

from fedrec.data import Histories
from fedrec.models import PCA, ItemFeatures, fit, pooled_sum


def test_directions_that_the_data_do_not_have_are_zero() -> None:
    """Two users span two directions, whatever rank is asked for: the rest would be arbitrary vectors."""
    rows = [[0, 1, 2], [3, 4]]
    histories = Histories.from_lists(rows, 12)
    weights = fit(PCA(rank=5), ItemFeatures(12), pooled_sum([histories]))
    norms = np.linalg.norm(weights["components"], axis=0)
    np.testing.assert_allclose(norms, [1, 1, 0, 0, 0], atol=1e-6)
