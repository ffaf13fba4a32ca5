"""How the steps of private training are made: what is drawn, bounded, noised and divided by. All of it is public."""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.errors import ConfigError
from fedrec.models import validate
from fedrec.privacy.mechanisms import SampledGaussian

MOST_USERS = 256
"""Of one part of a batch."""


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
        for name in ("rate", "clip_norm", "multiplier"):
            validate.positive(name, getattr(self, name))
        if self.rate > 1:
            raise ConfigError(f"Expected rate={self.rate} <= 1, the chance that a user is in a step.")
        for name in ("divisor", "steps"):
            validate.whole(name, getattr(self, name))

    @property
    def mechanism(self) -> SampledGaussian:
        """What a round costs, as data for the accountant."""
        return SampledGaussian(self.rate, self.multiplier, self.steps)
