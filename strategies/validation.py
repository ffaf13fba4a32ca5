"""What both sides know of noised validation: which sums are released, and what they tell of each candidate.

A user with validation items adds, for each candidate, what the headline metric is there less 1/2, and 1/2 for being
there. So the sums tell the mean of each candidate, and no part of a user is longer than half of sqrt(candidates + 1):
metrics within [0, 1] around their middle need half the noise, and only how they differ matters for a choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from fedrec.contribution import Block, Contribution, Float64Array, Layout, Total
from fedrec.messages import Body, ContributeBody, ModelSpec, NoiseTerms

VALIDATE = "evaluate.validate"
SUMS, PREFIX = "scores", "0"
"""The block, and the prefix under which it is released, as the only statistic of its round."""
MIDDLE = 0.5
RESOLUTION = 2.0**-20


class ValidateBody(Body):
    """Rank for your validation users under each of `models` and add up the headline metric, with noise on terms.

    candidates: how many models there are. What one user can change follows from it, and so does the noise.
    """

    candidates: int = Field(ge=1, le=1000)
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    noise: NoiseTerms | None = None


NoisedBody = ContributeBody | ValidateBody
"""What a tenant that releases noised sums only may answer, beside rounds of training."""


@dataclass(frozen=True)
class Reached:
    """What candidates reached by a noised release. means: of the headline metric, in their order. users: how many were
    ranked. margin: the standard deviation of the noise on the difference of two means."""

    means: tuple[float, ...]
    users: float
    margin: float


def layout_of(candidates: int) -> Layout:
    """One vector of `candidates` + 1 coordinates."""
    l2 = MIDDLE * math.sqrt(candidates + 1)
    return Layout((Block(SUMS, (candidates + 1,), l2, MIDDLE, RESOLUTION),)).prefixed(PREFIX)


def contribution_of(values: Sequence[Float64Array]) -> Contribution:
    """The sums over users. values: for each candidate (num_users,) the headline metric; whatever is not within [0, 1]
    is cut to it, and what is no number counts 0."""
    parts = [np.clip(np.nan_to_num(value, nan=0.0), 0.0, 1.0) - MIDDLE for value in values]
    users = len(parts[0])
    sums = np.array([*(part.sum() for part in parts), MIDDLE * users])
    return Contribution(layout_of(len(parts)), {f"{PREFIX}/{SUMS}": sums}, users)


def margin_of(candidates: int, multiplier: float, users: float) -> float:
    """The margin to expect of so many users, if no noise is made beyond what is counted on."""
    (block,) = layout_of(candidates).blocks
    return math.sqrt(2) * multiplier * block.user_l2 / users


def reached(total: Total) -> Reached:
    """What a released total says. Where noise hides the users the means say nothing, as the margin tells."""
    one = total.part(PREFIX)
    *parts, half = one.values[SUMS].tolist()
    users = max(half / MIDDLE, 1.0)
    means = tuple((part + half) / users for part in parts)
    return Reached(means, users, math.sqrt(2) * one.noise.get(SUMS, 0.0) / users)
