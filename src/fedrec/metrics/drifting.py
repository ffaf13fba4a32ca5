"""Whether two periods differ by more than chance: in what users choose, and in how well a model does."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import norm

from fedrec.contribution import Float64Array
from fedrec.data.catalogue import Catalogue
from fedrec.rng import derive

LEAST_USERS = 30
"""With fewer users than this nothing is called a drift: intervals of so few are too narrow."""
GROUPS, REPLICATES = 64, 2000
CONFIDENCE = 0.95

Figure = Mapping[str, float]
"""mean, low and high of a metric at `CONFIDENCE`, and the users it is of."""


def groups_of(catalogue: Catalogue, counts: Float64Array, most: int = GROUPS) -> NDArray[np.int64]:
    """(num_items,) a group for each item: its first category, or itself where no item has any.

    Groups are numbered by their `counts` (num_items,), highest first; what is beyond `most` is one group together.
    """
    named = [row[0] if row else "" for row in catalogue.categories]
    names, codes = np.unique(named if any(named) else list(catalogue.item_ids), return_inverse=True)
    sizes = np.bincount(codes, np.maximum(counts, 0.0), minlength=len(names))
    place = np.empty(len(names), np.int64)
    place[np.argsort(-sizes, kind="stable")] = np.arange(len(names))
    ranked: NDArray[np.int64] = np.minimum(place, most - 1)[codes]
    return ranked


def divergence(one: Float64Array, other: Float64Array) -> Float64Array:
    """(...,) Jensen-Shannon divergences of distributions (..., num_groups), in bits: 0 of equal ones, 1 of such as have
    nothing in common."""
    middle = (one + other) / 2
    found: Float64Array = (rel_entr(one, middle) + rel_entr(other, middle)).sum(axis=-1) / (2 * math.log(2))
    return found


def by_chance(both: Float64Array, users: tuple[int, int], false_alarms: float, seed: int) -> float:
    """The divergence that samples of so many users, of one population, exceed with a chance of `false_alarms` at most.

    both: (num_groups,) the shares of all of them together. Each user of a sample drawn here chooses one group, which
    spreads no less than shares do, see `PeriodShares`. Users who are in both periods, and alike, make it less still.
    """
    rng, shares = derive(seed, "drift"), np.maximum(both, 0.0) / np.maximum(both, 0.0).sum()
    then, now = (rng.multinomial(count, shares, REPLICATES) / count for count in users)
    return float(np.quantile(divergence(then, now), 1 - false_alarms))


def surely_less(one: Figure, other: Figure, false_alarms: float) -> bool:
    """Whether a mean is below another by more than normal errors of the widths of their intervals explain, but for a
    chance of `false_alarms`. False where one of them has no interval or few users."""
    whole = all({"mean", "low", "high"} <= set(figure) and figure["users"] >= LEAST_USERS for figure in (one, other))
    if not whole:
        return False
    width = math.hypot(*(figure["high"] - figure["low"] for figure in (one, other)))
    deviation = width / (2 * float(norm.ppf((1 + CONFIDENCE) / 2)))
    return other["mean"] - one["mean"] > float(norm.isf(false_alarms)) * deviation
