"""What to train at a budget: a public rule, from public numbers only, so that choosing costs nothing.

A step of gradients over `drawn` users moves the weights by at most drawn * clip, and its noise is multiplier * clip *
sqrt(parameters) long. Above a ratio of 1 the noise is longer than any agreement of all users could be, and more steps
raise the multiplier as fast as they average: then a closed form, whose noise is added once, gets more out of the same
budget. Of the sets of parameters below 1 the largest is taken, since what is not trained cannot adapt. The rule
compares lengths and was not fitted to data; benchmark `dp-training` measures one case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fedrec.errors import ConfigError
from fedrec.privacy.accountant import least_multiplier
from fedrec.privacy.mechanisms import SampledGaussian

MOST = 1.0
"""Noise over the longest sum, up to which training is proposed."""


@dataclass(frozen=True)
class Training:
    """A training that is planned. users: of all tenants. excess: noise of the sum over what is counted on, such as
    sqrt(tenants / honest) where it is shared, and sqrt(tenants) where it is not."""

    users: int
    rate: float
    steps: int
    excess: float = 1.0

    def multiplier(self, epsilon: float, delta: float) -> float:
        """Of each step, if the steps spend all of the budget."""
        return least_multiplier(lambda m: [SampledGaussian(self.rate, m, self.steps)], epsilon, delta)

    def noise_over_signal(self, multiplier: float, parameters: int) -> float:
        """Length of a step's noise over that of the longest sum that its users can make."""
        return self.excess * multiplier * math.sqrt(parameters) / max(1.0, self.rate * self.users)


@dataclass(frozen=True)
class Proposal:
    """What to train, or None for a closed form; ratios: of each set of parameters; why, in words."""

    train: str | None
    multiplier: float
    ratios: Mapping[str, float]
    why: str

    def rows(self, parameters: Mapping[str, int]) -> dict[str, str]:
        """The proposal as names and texts. parameters: as they were given to `proposal`."""
        counts = {
            f"noise / longest sum, {name}": f"{ratio:.3g} ({parameters[name]:,} parameters)"
            for name, ratio in self.ratios.items()
        }
        step = {"noise multiplier of a step of training": f"{self.multiplier:.4g}"}
        return step | counts | {"train": self.train or "nothing: take a closed form", "because": self.why}


def proposal(training: Training, parameters: Mapping[str, int], epsilon: float, delta: float) -> Proposal:
    """What the rule says. parameters: how many numbers each set of them holds that could be trained, by name."""
    if not parameters or min(parameters.values()) < 1:
        raise ConfigError(f"Expected sets of at least one parameter, got {dict(parameters)}.")
    multiplier = training.multiplier(epsilon, delta)
    ratios = {name: training.noise_over_signal(multiplier, count) for name, count in parameters.items()}
    below = [name for name, ratio in ratios.items() if ratio <= MOST]
    best = max(below, key=lambda name: parameters[name], default=None)
    if best is None:
        least = min(ratios.values())
        why = f"even with the fewest parameters a step's noise is {least:.3g} times as long as all users together"
        return Proposal(None, multiplier, ratios, f"{why}; a closed form adds its noise once")
    larger = [name for name in parameters if parameters[name] > parameters[best]]
    why = f"a step's noise is {ratios[best]:.3g} of the longest sum of its users"
    if larger:
        why += f"; with {larger[0]} it would be {ratios[larger[0]]:.3g} times as long"
    return Proposal(best, multiplier, ratios, why)
