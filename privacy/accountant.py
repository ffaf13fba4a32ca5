"""How much privacy a list of releases costs a user: epsilon at a given delta.

The running check is by Renyi differential privacy (RDP): it adds up, costs microseconds, and never understates. The
figure that is reported is by the privacy loss distribution (PLD) where that is known, which it is for Gaussian noise;
no distribution is known for Skellam noise on vectors, so there the RDP figure is the one that is reported.
Mechanisms of a kind that is not known here are refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from dp_accounting.privacy_accountant import NeighboringRelation
from numpy.typing import NDArray
from scipy.optimize import brentq

from fedrec.errors import ConfigError
from fedrec.privacy.mechanisms import Gaussian, Mechanism, Skellam

Float64Array = NDArray[np.float64]

ORDERS: Float64Array = np.concatenate([np.arange(2, 65), np.arange(68, 257, 4), 2 ** np.arange(9, 15)]).astype(float)
"""Whole numbers, because the bound for Skellam noise is proved for those."""


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
    """
    if isinstance(mechanism, Gaussian):
        return ORDERS * (mechanism.l2 / mechanism.std) ** 2 / 2
    if isinstance(mechanism, Skellam):
        l1, square, v = mechanism.l1, mechanism.l2**2, mechanism.variance
        excess = np.minimum(((2 * ORDERS - 1) * square + 6 * l1) / (4 * v * v), 3 * l1 / (2 * v))
        return ORDERS * square / (2 * v) + excess
    raise ConfigError(f"There is no accounting for {type(mechanism).__name__}; a release of it is refused.")


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
    if not mechanisms or len(gaussians) < len(mechanisms):
        return by_renyi
    # Gaussian releases compose exactly into one, whose multiplier is this.
    epsilon = _by_loss_distribution(1 / math.sqrt(sum((one.l2 / one.std) ** 2 for one in gaussians)), delta)
    return Figure(epsilon, "PLD") if epsilon < by_renyi.epsilon else by_renyi


@lru_cache(maxsize=64)  # a second each
def _by_loss_distribution(multiplier: float, delta: float) -> float:
    accountant = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(dp_event.GaussianDpEvent(multiplier))
    return float(accountant.get_epsilon(delta))


def multiplier_for(epsilon: float, delta: float) -> float:
    """The least noise multiplier (std over l2) of one Gaussian release of which the running check says `epsilon`."""
    if not 0 < epsilon < math.inf or not 0 < delta < 1:
        raise ConfigError(f"Expected epsilon={epsilon} finite and > 0, and delta={delta} within (0, 1).")

    def excess(log_multiplier: float) -> float:
        return epsilon_of([Gaussian(1.0, math.exp(log_multiplier))], delta) - epsilon

    if excess(math.log(1e6)) > 0:
        raise ConfigError(f"Expected epsilon={epsilon} that can be reached at delta={delta}; raise one of them.")
    found: float = math.exp(brentq(excess, math.log(1e-4), math.log(1e6), xtol=1e-12))
    return found * (1 + 1e-9)
