"""How a run's budget is split among its releases: a public rule, decided before anything is released.

The releases of a closed-form run are known beforehand: which sums are asked for does not depend on what they come to.
So the run is rehearsed on sums of zeros, and each release gets a fixed part of the budget. Parts are of 1/multiplier^2:
that is what adds up, exactly for Gaussian noise and nearly for Skellam noise.

The rule: item counts weigh 1, every other statistic 3, all steps of a recommender that is trained by gradients 9, and
the validation of candidates 1/2, however many they are. A popularity list is good with little, and what personalises is
not; a choice needs least: a mean over all users, between candidates that are often alike. All of it is public, so
nothing about any data is used to decide. The noise of steps follows from what the sums leave of the budget, from the
number of steps, and from the chance that a user is in one.

A search over several runs is planned as one: what all of them release shares one budget.
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
VALIDATION_WEIGHT = 0.5
MOST_RELEASES = 1000
MORE_OFTEN = 1e-3
"""Share of the devices that are drawn more often than is planned for."""
MARGIN = 1 + 1e-4
"""On each multiplier: the most that Skellam noise costs beyond Gaussian noise on the grids of `policy`."""


@dataclass(frozen=True)
class Search:
    """How often what a run releases is released in the search that it is a part of, or is by itself. validations: of
    candidates. fits: of each sum. trainings: of each recommender that is trained by gradients."""

    validations: int = 0
    fits: int = 1
    trainings: int = 1


ALONE = Search()
"""A run that chooses nothing."""


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
        return self._of_weight(weight_of(statistic))

    @property
    def validation(self) -> float:
        """The noise multiplier of a validation."""
        return self._of_weight(VALIDATION_WEIGHT)

    def _of_weight(self, weight: float) -> float:
        return self.multiplier * math.sqrt(self.weight / weight)

    @property
    def placed(self) -> Placed:
        """The placement itself."""
        return placed(self.placement, self.sharers)


def weight_of(statistic: Statistic) -> float:
    """The part of the budget that a statistic gets, among the weights of all."""
    return WEIGHTS.get(statistic.name, OTHER_WEIGHT)


def spending_of(
    config: Config,
    algorithms: Mapping[str, ClosedForm],
    items: ItemFeatures,
    trained: int = 0,
    search: Search = ALONE,
) -> Spending | None:
    """The plan of a run; None without [privacy]. trained: how many recommenders are trained by gradients.

    Raises ConfigError if it releases nothing, or without end.
    """
    privacy = config.privacy
    if privacy is None:
        return None
    sharers = config.federation.min_tenants - privacy.colluding if privacy.placement == "distributed" else 1
    steps = rehearsed(algorithms, items)
    statistics = [statistic for step in steps for statistic in step] * search.fits
    trainings = trained * search.trainings
    weight = sum(weight_of(statistic) for statistic in statistics) + trainings * TRAINING_WEIGHT
    if weight == 0:
        raise ConfigError("[privacy] is on, but nothing is released; leave it out.")
    multiplier = multiplier_for(privacy.epsilon, privacy.delta) * MARGIN
    weight += search.validations * VALIDATION_WEIGHT
    spending = Spending(privacy.placement, sharers, multiplier, weight)
    if not trainings:
        return spending
    sums = [spending.multiplier_of(one) for one in statistics] + search.validations * [spending.validation]
    return replace(spending, step=_step(config, privacy, spending, sums, trainings))


def _step(
    config: Config, privacy: PrivacyConfig, spending: Spending, multipliers: Sequence[float], trainings: int
) -> float:
    """The multiplier of the noise of each step, with which sums and steps together spend the budget. multipliers: of
    the sums."""
    sums = [Gaussian(1.0, multiplier) for multiplier in multipliers]
    rate = config.training.cohort if privacy.devices else privacy.sample_rate
    steps = trainings * (config.training.rounds * steps_of(config) if not privacy.devices else devices_rounds(config))

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
