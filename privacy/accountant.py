"""How much privacy a list of releases costs a user: epsilon at a given delta.

The running check is by Renyi differential privacy (RDP): it adds up, costs microseconds, and never understates. The
figure that is reported is by the privacy loss distribution (PLD) where that is known, which it is for Gaussian noise;
no distribution is known for Skellam noise on vectors, so there the RDP figure is the one that is reported.
Mechanisms of a kind that is not known here are refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from dp_accounting.privacy_accountant import NeighboringRelation
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp

from fedrec.errors import ConfigError
from fedrec.privacy.mechanisms import Gaussian, Mechanism, Sampled, SampledGaussian, SampledSkellam, Skellam

Float64Array = NDArray[np.float64]

ORDERS: Float64Array = np.concatenate([np.arange(2, 65), np.arange(68, 257, 4), 2 ** np.arange(9, 15)]).astype(float)
"""Whole numbers, because the bound for Skellam noise is proved for those."""


LEAST = 1e-4
"""No multiplier is planned below this."""


@dataclass(frozen=True)
class Figure:
    """An epsilon, and which accountant vouches for it."""

    epsilon: float
    accountant: str


def renyi(mechanism: Mechanism) -> Float64Array:
    """(len(ORDERS),) the RDP of one release at each order a.

    Gaussian: a l2^2 / (2 std^2) (Mironov, "Renyi Differential Privacy", CSF 2017, proposition 7).
    Skellam of variance v: a l2^2 / (2 v) + min(((2 a - 1) l2^2 + 6 l1) / (4 v^2), 3 l1 / (2 v)) (Agarwal, Kairouz, Liu,
    "The Skellam Mechanism for Differentially Private Federated Learning", NeurIPS 2021, theorem 3.5, corollary 3.6).
    Sampled noise: the bound of `_sampled`, `steps` times.
    """
    if isinstance(mechanism, Gaussian):
        return ORDERS * (mechanism.l2 / mechanism.std) ** 2 / 2
    if isinstance(mechanism, Skellam):
        return _skellam(mechanism, ORDERS)
    if isinstance(mechanism, SampledGaussian | SampledSkellam):
        return mechanism.steps * _sampled(mechanism)
    raise ConfigError(f"There is no accounting for {type(mechanism).__name__}; a release of it is refused.")


def _skellam(mechanism: Skellam, orders: Float64Array) -> Float64Array:
    """The bound for Skellam noise at whole orders."""
    l1, square, v = mechanism.l1, mechanism.l2**2, mechanism.variance
    excess = np.minimum(((2 * orders - 1) * square + 6 * l1) / (4 * v * v), 3 * l1 / (2 * v))
    return orders * square / (2 * v) + excess


@lru_cache(maxsize=256)
def _sampled(mechanism: Sampled) -> Float64Array:
    """(len(ORDERS),) one step on users who were drawn with chance q: log(sum_k C(a, k) (1 - q)^(a - k) q^k
    exp((k - 1) D_k)) / (a - 1), where D_k is the divergence of order k of the noise from itself, moved by one user.

    For Gaussian noise (k - 1) D_k = (k^2 - k) / (2 s^2) (Mironov, Talwar, Zhang, "Renyi Differential Privacy of the
    Sampled Gaussian Mechanism", 2019, eq. 5); for any noise the sum is the divergence when a user is added (Zhu, Wang,
    "Poisson Subsampled Renyi Differential Privacy", ICML 2019). It also covers the user who is removed, without the
    factor 3 of their theorem 6, for noise that is symmetric about 0: turning the line around the middle of a user's
    move swaps the two sides, and with a density ratio r, x = 1 - q + q r and y = 1 - q + q / r

        x^a - x^(1-a) + r (y^a - y^(1-a)) >= 0     at each r and a >= 1 (0 at a = 1, and x >= 1 / y),

    whose mean is the first divergence less the second. Skellam noise is symmetric.
    """
    rate = mechanism.rate
    orders = np.arange(ORDERS[-1] + 1)
    if isinstance(mechanism, SampledGaussian):
        moments = (orders * orders - orders) / (2 * mechanism.multiplier**2)
    else:
        moments = np.where(orders < 2, 0.0, (orders - 1) * _skellam(mechanism.unsampled, orders))
    if rate == 1.0:
        return np.asarray(moments[ORDERS.astype(int)] / (ORDERS - 1))
    factorials = gammaln(orders + 1)
    weights = moments - factorials + orders * math.log(rate)
    found = []
    for order in ORDERS.astype(int):
        terms = weights[: order + 1] - factorials[order::-1] + orders[order::-1] * math.log1p(-rate)
        found.append(float(logsumexp(terms) + factorials[order]) / (order - 1))
    return np.array(found)


def epsilon_of(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """The running check: an upper bound on epsilon of all releases together, each with noise of its own."""
    total = sum((renyi(mechanism) for mechanism in mechanisms), np.zeros(len(ORDERS)))
    return epsilon_from_renyi(total, delta) if mechanisms else 0.0


def epsilon_from_renyi(values: Float64Array, delta: float) -> float:
    """Epsilon at delta of RDP values at ORDERS (Canonne, Kamath, Steinke, NeurIPS 2020, proposition 12)."""
    if not 0 < delta < 1:
        raise ConfigError(f"Expected delta={delta} within (0, 1).")
    found = values + np.log1p(-1 / ORDERS) - math.log(delta) / (ORDERS - 1) - np.log(ORDERS) / (ORDERS - 1)
    return max(0.0, float(found.min()))


def reported(mechanisms: Sequence[Mechanism], delta: float) -> Figure:
    """The figure to report: the smaller of PLD, where it is known, and RDP; both are upper bounds."""
    by_renyi = Figure(epsilon_of(mechanisms, delta), "RDP")
    gaussians = [mechanism for mechanism in mechanisms if isinstance(mechanism, Gaussian)]
    sampled = [mechanism for mechanism in mechanisms if isinstance(mechanism, SampledGaussian)]
    if not mechanisms or len(gaussians) + len(sampled) < len(mechanisms):
        return by_renyi
    # Gaussian releases compose exactly into one, whose multiplier is this.
    together = 1 / math.sqrt(sum((one.l2 / one.std) ** 2 for one in gaussians)) if gaussians else None
    steps: Counter[tuple[float, float]] = Counter()
    for one in sampled:
        steps[one.rate, one.multiplier] += one.steps
    epsilon = _by_loss_distribution(together, tuple(sorted(steps.items())), delta)
    return Figure(epsilon, "PLD") if epsilon < by_renyi.epsilon else by_renyi


@lru_cache(maxsize=64)  # a second each
def _by_loss_distribution(
    multiplier: float | None, sampled: tuple[tuple[tuple[float, float], int], ...], delta: float
) -> float:
    """multiplier: of the Gaussian release, if there is one. sampled: rate and multiplier, with how many steps."""
    accountant = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    if multiplier is not None:
        accountant.compose(dp_event.GaussianDpEvent(multiplier))
    for (rate, noise), steps in sampled:
        accountant.compose(dp_event.PoissonSampledDpEvent(rate, dp_event.GaussianDpEvent(noise)), steps)
    return float(accountant.get_epsilon(delta))


def multiplier_for(epsilon: float, delta: float) -> float:
    """The least noise multiplier (std over l2) of one Gaussian release of which the running check says `epsilon`."""
    return least_multiplier(lambda multiplier: [Gaussian(1.0, multiplier)], epsilon, delta)


def least_multiplier(releases: Callable[[float], Sequence[Mechanism]], epsilon: float, delta: float) -> float:
    """The least noise multiplier with which `releases` cost no more than `epsilon` together, by the running check."""
    if not 0 < epsilon < math.inf or not 0 < delta < 1:
        raise ConfigError(f"Expected epsilon={epsilon} finite and > 0, and delta={delta} within (0, 1).")

    def excess(log_multiplier: float) -> float:
        return epsilon_of(releases(math.exp(log_multiplier)), delta) - epsilon

    if excess(math.log(1e6)) > 0:
        raise ConfigError(f"Expected epsilon={epsilon} that can be reached at delta={delta}; raise one of them.")
    found: float = math.exp(brentq(excess, math.log(LEAST), math.log(1e6), xtol=1e-12))
    return found * (1 + 1e-9)
