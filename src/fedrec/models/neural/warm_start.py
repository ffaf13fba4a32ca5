"""First item vectors from the factors of a closed-form recommender: training begins where a few sums ended."""

from __future__ import annotations

import numpy as np

from fedrec.errors import ModelError
from fedrec.models.alignment import alignment
from fedrec.models.neural.items import ROW_STD, seen_only
from fedrec.models.neural.protocol import RESIDUAL, TOWER
from fedrec.models.protocols import AnyArray, Float32Array


def warm_start(factors: AnyArray, dim: int) -> dict[str, Float32Array]:
    """The residuals of the items, as first weights by name.

    factors: (num_items, rank), such as ALS' or PCA's. Their strongest `dim` directions are kept, by singular value, and
    a smaller rank is filled with zeros; inner products keep their proportions, and entries have a root mean square of
    ROW_STD. Raises ModelError if the factors are not a matrix of finite numbers with something in it.
    """
    if factors.ndim != 2 or not np.isfinite(factors).all() or not factors.any():
        raise ModelError(f"Expected finite factors (num_items, rank) that are not all 0, got shape {factors.shape}.")
    left, strengths, _ = np.linalg.svd(factors.astype(np.float64), full_matrices=False)
    kept = min(dim, len(strengths))
    rows = np.zeros((len(factors), dim))
    rows[:, :kept] = left[:, :kept] * strengths[:kept]
    return {RESIDUAL: (rows * ROW_STD / np.sqrt((rows**2).mean())).astype(np.float32)}


def with_tower(rows: AnyArray, content: AnyArray, counts: AnyArray, l2: float) -> dict[str, Float32Array]:
    """A tower and the residuals of the items, as first weights by name: together they are `rows` (num_items, dim).

    As much as content can tell is the tower's, which so serves items that nobody has had before training begins.

    content: (num_items, content_dim). counts, l2: see `alignment`.
    """
    tower = alignment(content, rows, counts, l2)
    rest = seen_only(rows - content.astype(np.float64) @ tower, counts)
    return {TOWER: tower.T.astype(np.float32), RESIDUAL: rest.astype(np.float32)}
