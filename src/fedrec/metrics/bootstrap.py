"""Intervals from sums alone: the Poisson bootstrap.

In each replicate every user counts Poisson(1) times, independently of all others (Chamandy et al.,
"Estimating Uncertainty for Massive Data Streams", Google 2012). The replicates of several clients add up to
those of all their users, so an interval needs no per-user value to leave a client.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.rng import derive

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_WEIGHT = 8  # a Poisson(1) draw is larger once in a million times
BLOCK_USERS = 4096


def replicate_sums(
    table: Float64Array, positions: IntArray, num_replicates: int, seed: int, tenant: str
) -> Float64Array:
    """(num_replicates, num_columns) sums of `table` (num_users, num_columns) with random weights per user.

    A weight is a Poisson(1) draw, at most `MAX_WEIGHT`. It follows from the seed, the tenant's name and the
    user's position (num_users,), hence neither from the user's data nor from who else is there.
    """
    rng = derive(seed, "bootstrap", tenant)
    sums = np.zeros((num_replicates, table.shape[1]))
    order = np.argsort(positions)
    places = positions[order]
    num_places = int(positions.max(initial=-1)) + 1
    for start in range(0, num_places, BLOCK_USERS):
        rows = min(BLOCK_USERS, num_places - start)  # a shorter draw is the beginning of a longer one
        weights = np.minimum(rng.poisson(1.0, (rows, num_replicates)), MAX_WEIGHT).astype(np.float64)
        inside = slice(*np.searchsorted(places, [start, start + BLOCK_USERS]))
        sums += weights[places[inside] - start].T @ table[order[inside]]
    return sums


def interval(sums: Float64Array, counts: Float64Array, confidence: float) -> tuple[float, float] | None:
    """Percentile interval of a mean from replicates (num_replicates,) of its sum and count; None if empty."""
    usable = counts > 0.5
    if not usable.any():
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(sums[usable] / counts[usable], [tail, 1 - tail])
    return float(low), float(high)
