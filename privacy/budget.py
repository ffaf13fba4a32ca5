"""How a run's budget is split among its releases: a public rule, decided before anything is released.

The releases of a closed-form run are known beforehand: which sums are asked for does not depend on what they come to.
So the run is rehearsed on sums of zeros, and each release gets a fixed part of the budget. Parts are of 1/multiplier^2:
that is what adds up, exactly for Gaussian noise and nearly for Skellam noise.

The rule: item counts weigh 1, every other statistic 3, all steps of a recommender that is trained by gradients 9. A
popularity list is good with little, and what personalises is not. All of it is public, so nothing about any data is
used to decide. The noise of steps follows from what the sums leave of the budget, from the number of steps, and from
the chance that a user is in one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binom

from fedrec.config import Config
from fedrec.config_privacy import Placement, PrivacyConfig
from fedrec.contribution import Total
from fedrec.errors import ConfigError
from fedrec.models import ClosedForm, ItemFeatures, Statistic, needed
from fedrec.models.fitting import may_recur
from fedrec.models.statistics import ItemCounts
from fedrec.privacy.accountant import least_multiplier, multiplier_for
from fedrec.privacy.mechanisms import Gaussian, Mechanism, SampledGaussian
from fedrec.privacy.policy import Placed, placed

WEIGHTS = {ItemCounts.name: 1.0}
OTHER_WEIGHT = 3.0
TRAINING_WEIGHT = 9.0
MOST_RELEASES = 1000
MORE_OFTEN = 1e-3
"""Share of the devices that are drawn more often than is planned for."""
MARGIN = 1 + 1e-4
"""On each multiplier: the most that Skellam noise costs beyond Gaussian noise on the grids of `policy`."""


@dataclass(frozen=True)
class Spending:
    """What a run spends. multiplier: of one release that spends it all. weight: of all releases together. step: the
    multiplier of a step's noise, where recommenders are trained by gradients."""

    placement: Placement
    sharers: int
    multiplier: float
    weight: float
    step: float | None = None

    def multiplier_of(self, statistic: Statistic) -> float:
        """The noise multiplier of a statistic's release."""
        return self.multiplier * math.sqrt(self.weight / weight_of(statistic))

    @property
    def placed(self) -> Placed:
        """The placement itself."""
        return placed(self.placement, self.sharers)


def weight_of(statistic: Statistic) -> float:
    """The part of the budget that a statistic gets, among the weights of all."""
    return WEIGHTS.get(statistic.name, OTHER_WEIGHT)


def spending_of(
    config: Config, algorithms: Mapping[str, ClosedForm], items: ItemFeatures, trained: int = 0
) -> Spending | None:
    """The plan of a run; None without [privacy]. trained: how many recommenders are trained by gradients.

    Raises ConfigError if it releases nothing, or without end.
    """
    privacy = config.privacy
    if privacy is None:
        return None
    sharers = config.federation.min_tenants - privacy.colluding if privacy.placement == "distributed" else 1
    steps = rehearsed(algorithms, items)
    statistics = [statistic for step in steps for statistic in step]
    weight = sum(weight_of(statistic) for statistic in statistics) + trained * TRAINING_WEIGHT
    if weight == 0:
        raise ConfigError("[privacy] is on, but nothing is released; leave it out.")
    multiplier = multiplier_for(privacy.epsilon, privacy.delta) * MARGIN
    spending = Spending(privacy.placement, sharers, multiplier, weight)
    return replace(spending, step=_step(config, privacy, spending, statistics, trained)) if trained else spending


def _step(
    config: Config, privacy: PrivacyConfig, spending: Spending, statistics: Sequence[Statistic], trained: int
) -> float:
    """The multiplier of the noise of each step, with which sums and steps together spend the budget."""
    sums = [Gaussian(1.0, spending.multiplier_of(statistic)) for statistic in statistics]
    rate = config.training.cohort if privacy.devices else privacy.sample_rate
    steps = trained * (config.training.rounds * steps_of(config) if not privacy.devices else devices_rounds(config))

    def run(multiplier: float) -> list[Mechanism]:
        if privacy.devices and not privacy.trusted_sampling:
            return [*sums, Gaussian(math.sqrt(steps), multiplier)]  # so many releases cost as much as this one
        return [*sums, SampledGaussian(rate, multiplier, steps)]

    found = least_multiplier(run, privacy.epsilon, privacy.delta)
    return found * MARGIN if spending.placement == "distributed" else found


def devices_rounds(config: Config) -> int:
    """Rounds of a training that a device has to pay for: all, where it counts on not being drawn for most of them.
    Otherwise only those that it is in, and with more than this it refuses, as one in a thousand will."""
    training = config.training
    if config.privacy is not None and config.privacy.trusted_sampling:
        return training.rounds
    return max(1, int(binom.isf(MORE_OFTEN, training.rounds, training.cohort)))


def steps_of(config: Config) -> int:
    """Steps of a round. Raises ConfigError if training.local does not fix them."""
    steps = config.training.local.get("steps")
    if type(steps) is not int or steps < 1:
        raise ConfigError(
            "With [privacy] a round is a fixed number of steps, since epochs would tell how many users a tenant has; "
            f"set training.local.steps to a whole number >= 1 (got {steps!r})."
        )
    return steps


def rehearsed(algorithms: Mapping[str, ClosedForm], items: ItemFeatures) -> tuple[tuple[Statistic, ...], ...]:
    """The distinct statistics of each step of a fit, found with sums of zeros. Raises ConfigError if they never end."""
    weights = {label: algorithm.begin(items) for label, algorithm in algorithms.items()}
    steps: list[tuple[Statistic, ...]] = []
    kept: set[str] = set()
    while asked := needed(algorithms, weights):
        new = {statistic.key: statistic for statistic in asked.values() if statistic.key not in kept}
        kept |= {key for key, statistic in new.items() if may_recur(statistic)}
        steps.append(tuple(new.values()))
        if len(steps) > MOST_RELEASES:
            raise ConfigError(f"A recommender asks for more than {MOST_RELEASES} sums; nobody could pay for that.")
        for label, statistic in asked.items():
            weights[label] = algorithms[label].absorb(weights[label], _nothing(statistic))
    return tuple(steps)


def cost(multipliers: Sequence[float]) -> float:
    """The multiplier of one Gaussian release that costs as much as releases of these together."""
    return 1 / math.sqrt(sum(1 / value**2 for value in multipliers))


def _nothing(statistic: Statistic) -> Total:
    layout = statistic.layout()
    return Total(layout, {block.name: np.zeros(block.shape) for block in layout.blocks}, 1)
