"""What both sides of arm `fused` know: which recommender plays which part, and what its sums are.

The sums are coordinates of the same vector as the metric sums: counts of users, and sums of a metric within [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedrec.config import Arm
from fedrec.contribution import Block, Contribution, Float64Array, Layout, Total
from fedrec.models import ALGORITHMS, Popularity
from fedrec.models.blending import GRID, PARTS
from fedrec.models.protocols import Extendable

FUSED: Arm = "fused"
"""The prefix of the sums below, and the arm."""
RESOLUTION = 2.0**-20


def roles_of(names: Sequence[str]) -> dict[str, int]:
    """Part -> which of the recommenders plays it, for those that are played. names: of recommenders, the better one
    first."""
    kinds = [_kind(name) for name in names]
    by_ids = [at for at, kind in enumerate(kinds) if kind is None]
    found = dict(zip(PARTS, by_ids[:2], strict=False))
    for at, kind in enumerate(kinds):
        if kind is not None:
            found.setdefault(kind, at)
    return found


@dataclass(frozen=True, eq=False)
class MixSums:
    """How many users were ranked on validation, and the sum of the headline metric under each mix (num_mixes,)."""

    users: float
    reached: Float64Array

    @staticmethod
    def layout() -> Layout:
        """A user counts once, and adds at most 1 to each mix."""
        size = len(GRID)
        return Layout((Block("users", (1,), 1.0), Block("mixes", (size,), math.sqrt(size), 1.0, RESOLUTION)))

    def contribution(self) -> Contribution:
        """As a bounded contribution."""
        return Contribution(self.layout(), {"users": np.array([self.users]), "mixes": self.reached}, int(self.users))

    @staticmethod
    def agreed(total: Total) -> tuple[float, ...]:
        """The mean of each mix over the users of all tenants; 0 if there are none."""
        users = max(float(total.values["users"][0]), 1.0)
        return tuple(float(value) / users for value in total.values["mixes"])


@dataclass(frozen=True, eq=False)
class ServedSums:
    """How many users each part leads for: (num_parts,)."""

    users: Float64Array

    @staticmethod
    def layout() -> Layout:
        """A user counts for one part."""
        return Layout((Block("served", (len(PARTS),), 1.0),))

    def contribution(self) -> Contribution:
        """As a bounded contribution."""
        return Contribution(self.layout(), {"served": self.users}, round(float(self.users.sum())))

    @staticmethod
    def from_total(total: Total) -> ServedSums:
        """Of all tenants together."""
        return ServedSums(total.values["served"])

    def summary(self) -> dict[str, dict[str, float | int | None]]:
        """Part -> the share of users that it leads for, as figures like those of a metric."""
        total = round(float(self.users.sum()))
        shares = [float(users) / total if total else None for users in self.users]
        return {part: {"mean": share, "users": total} for part, share in zip(PARTS, shares, strict=True)}


def _kind(name: str) -> str | None:
    """The part that a recommender plays if it does not go by ids."""
    if name == Popularity.name:
        return "popularity"
    return "content" if name in ALGORITHMS and issubclass(ALGORITHMS[name], Extendable) else None
