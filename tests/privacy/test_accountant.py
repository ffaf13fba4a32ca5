"""The accountant against closed forms, numerical integration and dp-accounting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting import dp_event
from dp_accounting.privacy_accountant import NeighboringRelation
from dp_accounting.rdp import RdpAccountant
from scipy import integrate, stats

from fedrec.errors import ConfigError
from fedrec.privacy.accountant import ORDERS, epsilon_of, multiplier_for, renyi, reported
from fedrec.privacy.mechanisms import Gaussian, Skellam

DELTA = 1e-5


def skellam_divergence(order: float, shift: int, variance: float) -> float:
    """The Renyi divergence of Skellam noise moved by `shift` from itself, summed term by term."""
    far = int(12 * math.sqrt(variance) + order * shift + 60)
    values = np.arange(-far, far + 1)
    moved = stats.skellam.logpmf(values - shift, variance / 2, variance / 2)
    still = stats.skellam.logpmf(values, variance / 2, variance / 2)
    seen = np.isfinite(moved) & np.isfinite(still)  # the tails beyond are 0 in a float
    terms = order * moved[seen] + (1 - order) * still[seen]
    return float(np.logaddexp.reduce(terms)) / (order - 1)


def test_the_gaussian_formula_is_the_divergence_by_integration() -> None:
    l2, std, order = 2.0, 3.0, 4.0

    def integrand(x: float) -> float:
        return math.exp(order * stats.norm.logpdf(x, l2, std) + (1 - order) * stats.norm.logpdf(x, 0.0, std))

    integral, _ = integrate.quad(integrand, -60, 60)
    assert renyi(Gaussian(l2, std))[order == ORDERS] == pytest.approx(math.log(integral) / (order - 1), rel=1e-9)


@pytest.mark.parametrize(("shift", "variance"), [(1, 4.0), (2, 20.0), (3, 9.0), (7, 400.0), (30, 2000.0)])
def test_the_skellam_formula_bounds_the_divergence_and_is_close_to_it(shift: int, variance: float) -> None:
    for order in (2.0, 3.0, 8.0, 32.0):
        exact = skellam_divergence(order, shift, variance)
        (bound,) = renyi(Skellam(shift, shift, variance))[order == ORDERS]
        assert exact <= bound * (1 + 1e-9)
        assert bound <= exact * (1 + 3 * (1 + shift * order) / variance + 1e-9)


def test_the_skellam_formula_by_hand() -> None:
    """a = 2, l1 = 6, l2 = 2, variance 10: 2 * 4 / 20 + min((3 * 4 + 36) / 400, 18 / 20) = 0.4 + 0.12."""
    assert renyi(Skellam(6.0, 2.0, 10.0))[0] == pytest.approx(0.52)
    assert renyi(Skellam(1.0, 1.0, 0.5))[0] == pytest.approx(2 / 1 + min((3 + 6) / 1.0, 3 / 1.0))


def test_skellam_noise_on_a_fine_grid_costs_what_gaussian_noise_does() -> None:
    steps = 2.0**10
    fine = Skellam(70 * steps, steps, (1.5 * steps) ** 2)
    assert epsilon_of([fine], DELTA) == pytest.approx(epsilon_of([Gaussian(1.0, 1.5)], DELTA), rel=1e-6)


def test_two_shifts_of_one_coordinate_each_are_bounded_as_one_vector() -> None:
    """Independent coordinates add: two shifts by 2 are a vector with l1 = 4 and l2 = sqrt 8."""
    exact = 2 * skellam_divergence(4.0, 2, 15.0)
    (bound,) = renyi(Skellam(4.0, math.sqrt(8.0), 15.0))[ORDERS == 4.0]
    assert exact <= bound <= 1.5 * exact


@pytest.mark.parametrize("multipliers", [[1.0], [0.3], [4.0, 2.0, 2.0]])
def test_epsilon_of_gaussian_releases_agrees_with_dp_accounting(multipliers: list[float]) -> None:
    accountant = RdpAccountant(ORDERS, NeighboringRelation.ADD_OR_REMOVE_ONE)
    for multiplier in multipliers:
        accountant.compose(dp_event.GaussianDpEvent(multiplier))
    ours = epsilon_of([Gaussian(2.0, 2.0 * multiplier) for multiplier in multipliers], DELTA)
    assert ours == pytest.approx(accountant.get_epsilon(DELTA), rel=1e-9)


@pytest.mark.parametrize("multiplier", [0.5, 1.0, 3.0])
def test_the_reported_figure_is_the_exact_one_of_gaussian_noise(multiplier: float) -> None:
    """Balle and Wang, ICML 2018, theorem 8: delta of a Gaussian release in closed form."""
    figure = reported([Gaussian(1.0, multiplier)], DELTA)
    mu = 1 / multiplier
    below = stats.norm.cdf(mu / 2 - figure.epsilon / mu)
    above = math.exp(figure.epsilon) * stats.norm.cdf(-mu / 2 - figure.epsilon / mu)
    assert below - above == pytest.approx(DELTA, rel=1e-2)
    assert figure.accountant == "PLD"
    assert figure.epsilon < epsilon_of([Gaussian(1.0, multiplier)], DELTA)


def test_two_releases_report_as_one_with_half_the_variance() -> None:
    two = reported([Gaussian(1.0, 2.0), Gaussian(3.0, 6.0)], DELTA)
    assert two.epsilon == pytest.approx(reported([Gaussian(1.0, math.sqrt(2.0))], DELTA).epsilon, rel=1e-3)


def test_skellam_noise_is_reported_by_renyi_and_says_so() -> None:
    release = [Skellam(10.0, 5.0, 900.0), Gaussian(1.0, 5.0)]
    assert reported(release, DELTA).accountant == "RDP"
    assert reported(release, DELTA).epsilon == epsilon_of(release, DELTA)


def test_nothing_released_costs_nothing() -> None:
    assert epsilon_of([], DELTA) == 0.0
    assert reported([], DELTA).epsilon == 0.0


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0, 20.0])
def test_the_multiplier_of_a_budget_spends_it_and_no_more(epsilon: float) -> None:
    multiplier = multiplier_for(epsilon, DELTA)
    spent = epsilon_of([Gaussian(1.0, multiplier)], DELTA)
    assert spent == pytest.approx(epsilon, rel=1e-6)
    assert spent <= epsilon


def test_a_mechanism_of_a_kind_that_is_not_known_is_refused() -> None:
    class Laplace:
        l1, scale = 1.0, 1.0

    with pytest.raises(ConfigError, match="no accounting for Laplace"):
        epsilon_of([Gaussian(1.0, 1.0), Laplace()], DELTA)  # type: ignore[list-item]


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, DELTA), (-1.0, DELTA), (1.0, 0.0), (1.0, 1.0), (math.nan, DELTA)])
def test_impossible_budgets_are_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(ConfigError, match="Expected epsilon"):
        multiplier_for(epsilon, delta)
