"""Public rules for sums that carry noise of a known standard deviation. They look at nothing but the released sum, so
they cost no privacy; without noise they change nothing."""

from __future__ import annotations

import math

import numpy as np

from fedrec.models.protocols import Float64Array

CLEAR = 3.0
"""Standard deviations above which an entry is taken for more than noise: one in 740 that are none passes."""


def edge(std: float, order: int) -> float:
    """The largest eigenvalue that a symmetric (order, order) matrix of nothing but noise is expected to have: 2 std
    sqrt(order) (the semicircle law; Wigner, Annals of Mathematics 1958)."""
    return 2.0 * std * math.sqrt(order)


def sure_edge(std: float, order: int) -> float:
    """What noise alone passes less than once in 1,000: its largest eigenvalue is off the edge by a share of
    order^(-2/3) / 2 times a Tracy-Widom variable, which is below 3.3 as often (Tracy, Widom, Commun. Math. Phys. 1996).
    """
    return edge(std, order) * (1.0 + 1.65 * math.pow(order, -2 / 3))


def clear(values: Float64Array, std: float) -> Float64Array:
    """Values, those that noise alone could have made set to 0. Where there is noise, negative ones are such."""
    if std == 0:
        return values
    kept: Float64Array = np.where(values > CLEAR * std, values, 0.0)
    return kept


def not_negative(counts: Float64Array, std: float) -> Float64Array:
    """Counts, of which noise can have made some negative."""
    return np.maximum(counts, 0.0) if std else counts
