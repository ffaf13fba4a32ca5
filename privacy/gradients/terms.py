"""How the steps of private training are made: what is drawn, bounded, noised and divided by. All of it is public."""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.errors import ConfigError
from fedrec.models import validate
from fedrec.privacy.mechanisms import SampledGaussian

MOST_USERS = 256
"""Of one part of a batch."""
LEAST_ROWS = 32
"""Of one part, but for one row alone: kernels take the last few of a number of rows that this does not divide another
way, and then a user's gradient would be rounded by the place that others leave."""
LEAST_CLIP, MOST_CLIP = 1e-6, 1e6
MOST_DIVISOR, MOST_MULTIPLIER = 10**9, 1e9
"""What a server may ask for. A norm is computed in 32 bits, whose squares below 1e-38 are 0: gradients that weights
were made up to keep so small would pass any smaller clip unbounded, and noise of a deviation that small would be 0."""


def rows_for(expected: int, most: int) -> int:
    """Rows of every part of a step, whoever is drawn: a public function of the expected number of users and of how many
    rows memory is for. A quarter of the users, so that few rows are made up; else one row, for a very large network."""
    if most < LEAST_ROWS:
        return 1
    return 1 << (min(max(expected // 4, LEAST_ROWS), most).bit_length() - 1)


@dataclass(frozen=True)
class StepTerms:
    """One step adds up the bounded gradients of its users, adds noise, and divides by `divisor`.

    rate: the chance with which each user is in a step, independently of all others. clip_norm: L2 bound of one user's
    part of the sum. multiplier: standard deviation of the noise over `clip_norm`. divisor: a public number of users,
    never the number of those who were drawn. steps: of a round; fixed, whatever happens.
    """

    rate: float
    clip_norm: float
    multiplier: float
    divisor: int
    steps: int

    def __post_init__(self) -> None:
        check_terms(self.rate, self.clip_norm, self.multiplier, self.divisor)
        validate.whole("steps", self.steps)

    @property
    def mechanism(self) -> SampledGaussian:
        """What a round costs, as data for the accountant."""
        return SampledGaussian(self.rate, self.multiplier, self.steps)


def check_terms(rate: float, clip_norm: float, multiplier: float, divisor: int) -> None:
    """Raises ConfigError for terms under which a bound, or its noise, would not be what it says."""
    validate.positive("rate", rate)
    if rate > 1:
        raise ConfigError(f"Expected rate={rate} <= 1, the chance that a user is in a step.")
    validate.within("clip_norm", clip_norm, LEAST_CLIP, MOST_CLIP)
    validate.positive("multiplier", multiplier)
    validate.within("multiplier", multiplier, 0.0, MOST_MULTIPLIER)
    validate.whole("divisor", divisor)
    validate.within("divisor", divisor, 1, MOST_DIVISOR)
