"""What sampling users saves under integer noise: never less than the true divergence, and hardly more than Gaussian."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting import dp_event
from dp_accounting.privacy_accountant import NeighboringRelation
from dp_accounting.rdp import RdpAccountant
from scipy import integrate, stats

from fedrec.errors import ProtocolError
from fedrec.privacy.accountant import ORDERS, epsilon_of, renyi
from fedrec.privacy.mechanisms import (
    Gaussian,
    SampledGaussian,
    SampledSkellam,
    Skellam,
    as_record,
    from_record,
    sampled,
)

DELTA = 1e-5
CHECKED = (2.0, 3.0, 8.0, 32.0)


def bound(mechanism: SampledSkellam | SampledGaussian, order: float) -> float:
    return float(renyi(mechanism)[order == ORDERS][0])


def divergences(order: float, still: np.ndarray, moved: np.ndarray, rate: float) -> tuple[float, float]:
    """Of the noise with a user who may be drawn from that without, and the other way round, from logarithms of
    probabilities: summed term by term."""
    mixed = np.logaddexp(math.log1p(-rate) + still, math.log(rate) + moved)
    added = np.logaddexp.reduce(order * mixed + (1 - order) * still)
    removed = np.logaddexp.reduce(order * still + (1 - order) * mixed)
    return float(added) / (order - 1), float(removed) / (order - 1)


def skellam_divergences(order: float, rate: float, shift: int, variance: float) -> tuple[float, float]:
    far = int(12 * math.sqrt(variance) + order * shift + 60)
    values = np.arange(-far, far + 1)
    still, moved = (stats.skellam.logpmf(values - by, variance / 2, variance / 2) for by in (0, shift))
    seen = np.isfinite(moved) & np.isfinite(still)  # the tails beyond are 0 in a float
    return divergences(order, still[seen], moved[seen], rate)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.7])
@pytest.mark.parametrize(("shift", "variance"), [(1, 4.0), (2, 20.0), (7, 400.0), (30, 2000.0)])
def test_the_bound_is_never_below_the_divergence_in_either_direction(shift: int, variance: float, rate: float) -> None:
    mechanism = SampledSkellam(rate, shift, shift, variance)
    for order in CHECKED:
        added, removed = skellam_divergences(order, rate, shift, variance)
        assert max(added, removed) <= bound(mechanism, order) * (1 + 1e-7) + 1e-13
        assert removed <= added * (1 + 1e-7) + 1e-13


@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_on_a_fine_grid_the_bound_is_close_to_the_divergence(rate: float) -> None:
    mechanism = SampledSkellam(rate, 30, 30, 2000.0)
    for order in CHECKED:
        assert bound(mechanism, order) <= 1.2 * skellam_divergences(order, rate, 30, 2000.0)[0]


@pytest.mark.parametrize(("rate", "multiplier"), [(0.01, 1.0), (0.2, 2.0), (0.5, 0.8)])
def test_the_gaussian_bound_is_the_divergence_by_integration(rate: float, multiplier: float) -> None:
    order = 4.0

    def integrand(x: float) -> float:
        still, moved = stats.norm.logpdf(x, 0, multiplier), stats.norm.logpdf(x, 1, multiplier)
        mixed = np.logaddexp(math.log1p(-rate) + still, math.log(rate) + moved)
        return math.exp(order * mixed + (1 - order) * still)

    integral, _ = integrate.quad(integrand, -40, 40, epsabs=1e-13, limit=500)
    assert bound(SampledGaussian(rate, multiplier, 1), order) == pytest.approx(math.log(integral) / 3, rel=1e-6)


@pytest.mark.parametrize(("rate", "multiplier", "rounds"), [(0.01, 1.0, 1000), (0.1, 2.0, 100), (0.3, 4.0, 10)])
def test_on_the_grid_of_training_it_costs_what_gaussian_noise_does(rate: float, multiplier: float, rounds: int) -> None:
    """dp-accounting's sampled Gaussian at the same orders; steps of the grid as in training, 200,000 parameters."""
    l2 = 2.0**14 / multiplier
    skellam = SampledSkellam(rate, math.sqrt(2e5) * l2, l2, (multiplier * l2) ** 2)
    accountant = RdpAccountant(ORDERS, NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(dp_event.PoissonSampledDpEvent(rate, dp_event.GaussianDpEvent(multiplier)), rounds)
    exact = accountant.get_epsilon(DELTA)
    assert exact <= epsilon_of([skellam] * rounds, DELTA) * (1 + 1e-9)
    assert epsilon_of([skellam] * rounds, DELTA) == pytest.approx(exact, rel=1e-5)


def test_by_hand() -> None:
    """Order 2: log(1 - q^2 + q^2 exp(D_2)), and D_2 = 2 * 4 / 20 + min((3 * 4 + 36) / 400, 18 / 20) = 0.52."""
    expected = math.log(1 - 0.25 + 0.25 * math.exp(0.52))
    assert bound(SampledSkellam(0.5, 6.0, 2.0, 10.0), 2.0) == pytest.approx(expected)


def test_everyone_in_a_sum_is_no_sampling() -> None:
    plain = Skellam(6.0, 2.0, 10.0)
    assert renyi(SampledSkellam(1.0, 6.0, 2.0, 10.0)) == pytest.approx(renyi(plain))
    assert sampled(plain, 1.0) is plain
    assert sampled(plain, 0.5) == SampledSkellam(0.5, 6.0, 2.0, 10.0)
    assert sampled(Gaussian(2.0, 3.0), 0.5) == SampledGaussian(0.5, 1.5, 1)


def test_a_shopper_of_two_tenants_is_bounded_by_the_exact_mixture() -> None:
    """At both tenants with chance q^2, at one with 2 q (1 - q): the sum is moved by 4, or by 2."""
    rate, variance, order = 0.2, 40.0, 8.0
    values = np.arange(-300, 301)
    still, one, two = (stats.skellam.logpmf(values - by, variance / 2, variance / 2) for by in (0, 2, 4))
    seen = np.isfinite(still) & np.isfinite(one) & np.isfinite(two)
    chances = np.log([(1 - rate) ** 2, 2 * rate * (1 - rate), rate**2])
    mixed = np.logaddexp.reduce([c + p[seen] for c, p in zip(chances, (still, one, two), strict=True)])
    exact = float(np.logaddexp.reduce(order * mixed + (1 - order) * still[seen])) / (order - 1)
    twice = SampledSkellam(rate, 2, 2, variance).repeated(2)
    assert twice.rate == pytest.approx(0.36)
    assert exact <= bound(twice, order)


def test_a_record_is_read_as_it_was_written() -> None:
    mechanism = SampledSkellam(0.25, 6.0, 2.0, 10.0)
    assert as_record(mechanism) == {"kind": "sampled-skellam", "rate": 0.25, "l1": 6.0, "l2": 2.0, "variance": 10.0}
    assert from_record(as_record(mechanism)) == mechanism


@pytest.mark.parametrize("numbers", [(0.0, 2.0, 2.0, 1.0), (1.1, 2.0, 2.0, 1.0), (0.5, 1.0, 2.0, 1.0)])
def test_impossible_numbers_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ProtocolError, match="Expected"):
        SampledSkellam(*numbers)
