"""A statistical test of a whole mechanism, from users' rows to the released sum, that knows only what is claimed of it.

Four questions are put to a mechanism as a black box. Each raises a false alarm less than once in 10^8 runs, all of them
together less than once in 10^7:

    bound      does one user, however extreme, move the sum by no more than stated?
    noise      has the noise the stated standard deviation, and the shape of a normal distribution?
    fresh      is the noise of two releases, and of two clients, unrelated?
    everyone   is every user in the sum, as the claim 'no sampling' says?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

Rows = list[list[int]]
RARE = 1e-8
SIGMAS = 5.8  # a normal variable is farther out, on either side, less than once in 10^8


@dataclass(frozen=True)
class Claimed:
    """What is said of a mechanism. std: of the noise on each coordinate of the sum over `clients`, for a multiplier of
    1. l2: what one user can change."""

    num_items: int
    clients: int
    l2: float
    std: float


Mechanism = Callable[[list[Rows], float], np.ndarray]
"""(num_items,) the released sum over clients' users, with a noise multiplier."""


def failures(mechanism: Mechanism, claimed: Claimed) -> set[str]:
    """The questions to which the answer is no."""
    answers = {
        "bound": _bound(mechanism, claimed),
        "noise": _noise(mechanism, claimed),
        "fresh": _fresh(mechanism, claimed),
        "everyone": _everyone(mechanism, claimed),
    }
    return {name for name, good in answers.items() if not good}


def _nobody(claimed: Claimed) -> list[Rows]:
    return [[] for _ in range(claimed.clients)]


def _bound(mechanism: Mechanism, claimed: Claimed) -> bool:
    """With noise of a thousandth, extreme users are seen plainly; their norm is off by the noise within their items."""
    tiny = 1e-3
    extreme = [list(range(size)) for size in (1, 10, claimed.num_items // 4)]
    slack = SIGMAS * tiny * claimed.std * np.sqrt(claimed.num_items)
    for row in extreme:
        moved = mechanism([[row], *_nobody(claimed)[1:]], tiny) - mechanism(_nobody(claimed), tiny)
        if np.linalg.norm(moved) > claimed.l2 + slack:
            return False
    return True


def _noise(mechanism: Mechanism, claimed: Claimed) -> bool:
    sample = mechanism(_nobody(claimed), 1.0) / claimed.std
    low, high = stats.chi2.ppf([RARE / 4, 1 - RARE / 4], len(sample)) / len(sample)
    return bool(low < (sample**2).mean() < high and stats.kstest(sample, "norm").pvalue > RARE / 2)


def _fresh(mechanism: Mechanism, claimed: Claimed) -> bool:
    first, second = (mechanism(_nobody(claimed), 1.0) for _ in range(2))
    halves = np.array_split(first, 2)
    pairs = [(first, second), (halves[0], halves[1][: len(halves[0])])]
    return all(abs(np.corrcoef(a, b)[0, 1]) < SIGMAS / np.sqrt(len(a)) for a, b in pairs)


def _everyone(mechanism: Mechanism, claimed: Claimed) -> bool:
    """Users with one item each, a different one for each: every coordinate is one user."""
    users = 400 * claimed.clients
    rows = [[[user] for user in range(client, users, claimed.clients)] for client in range(claimed.clients)]
    seen = mechanism(rows, 1e-3)[:users]
    return bool((np.abs(seen - claimed.l2) < SIGMAS * 1e-3 * claimed.std * 2 + 0.25 * claimed.l2).all())
