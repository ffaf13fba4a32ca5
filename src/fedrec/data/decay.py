"""How events fade: half of the weight is gone after each half-life before a public moment."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedrec.data.histories import Histories, IntArray
from fedrec.errors import ConfigError, DataError

ROOT_STEP = 2.0**-8
"""The grid on which square roots of weights lie, so that products of two of them, and sums of those, are exact."""


@dataclass(frozen=True)
class Decay:
    """An event at time t weighs 2^(-(as_of - t) / half_life_s), one that is later than `as_of` weighs 1.

    as_of: unix seconds, public and the same at every tenant: a tenant's own newest event would tell when that was.

    What is computed are square roots r of weights, each a multiple of ROOT_STEP: a pair of events weighs r r', so that
    a matrix of weighed pairs is still a Gram matrix, and an event weighs r^2. That is within ROOT_STEP of the exact
    figure, and 0 from 18 half-lives on.
    """

    half_life_s: float
    as_of: int

    def __post_init__(self) -> None:
        if not 0 < self.half_life_s < math.inf:
            raise ConfigError(f"Expected half_life_s={self.half_life_s} > 0.")

    def roots(self, times: IntArray) -> NDArray[np.float64]:
        """(num_events,) square roots of the weights, each within [0, 1]."""
        ages = np.maximum(self.as_of - times, 0) / self.half_life_s
        rounded: NDArray[np.float64] = np.rint(np.exp2(-ages / 2) / ROOT_STEP) * ROOT_STEP
        return rounded

    def weighed(self, histories: Histories) -> Histories:
        """The same events with their weights. Raises DataError if nobody knows when they were."""
        if histories.times is None:
            raise DataError("events without times cannot fade", cure="leave freshness.half_life_days out")
        return replace(histories, roots=self.roots(histories.times))
