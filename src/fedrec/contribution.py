"""What one client adds to a federated sum, with the bound under which it may be released.

Everything that leaves a client is a `Contribution`: named blocks of numbers, each of which declares how much
one user can change it. Noise, fixed point and overflow proofs ask the block for its bound; nobody retypes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ContributionError

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """One named array of a contribution.

    `user_l2` bounds the L2 norm of one user's part of the block, `user_max` the magnitude of any single coordinate
    of that part (defaults to `user_l2`). `resolution` is the step of the fixed-point grid: 1.0 for counts, which are
    then exact; real values are rounded to it.
    """

    name: str
    shape: tuple[int, ...]
    user_l2: float
    user_max: float = math.nan
    resolution: float = 1.0

    def __post_init__(self) -> None:
        if math.isnan(self.user_max):
            object.__setattr__(self, "user_max", self.user_l2)
        if not (0 < self.user_max <= self.user_l2 < math.inf):
            raise ContributionError(
                f"Block '{self.name}': expected 0 < user_max <= user_l2 < inf, got user_max={self.user_max}, "
                f"user_l2={self.user_l2}; bound each user's part before it is added up."
            )
        if not self.resolution > 0:
            raise ContributionError(f"Block '{self.name}': expected resolution={self.resolution} > 0.")

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """The blocks of a contribution in the order of their coordinates. Public, and the same for every client."""

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        names = [block.name for block in self.blocks]
        if len(set(names)) != len(names):
            raise ContributionError(f"Expected block names to differ, got {names}.")

    @property
    def size(self) -> int:
        """Number of coordinates of all blocks together."""
        return sum(block.size for block in self.blocks)

    def join(self, other: Layout) -> Layout:
        """The blocks of both, this one's first."""
        return Layout(self.blocks + other.blocks)

    def prefixed(self, prefix: str) -> Layout:
        """The same blocks with `prefix/` before each name, so that several layouts can be joined."""
        return Layout(tuple(Block(f"{prefix}/{b.name}", b.shape, b.user_l2, b.user_max, b.resolution) for b in self.blocks))


@dataclass(frozen=True)
class Contribution:
    """One client's values for the blocks of `layout`, summed over its `num_users` users."""

    layout: Layout
    values: Mapping[str, Float64Array]
    num_users: int

    def __post_init__(self) -> None:
        if set(self.values) != {block.name for block in self.layout.blocks}:
            raise ContributionError(
                f"Expected values for blocks {[b.name for b in self.layout.blocks]}, got {sorted(self.values)}."
            )
        for block in self.layout.blocks:
            self._check(block, self.values[block.name])

    def _check(self, block: Block, value: Float64Array) -> None:
        if value.shape != block.shape:
            raise ContributionError(f"Block '{block.name}': expected shape {block.shape}, got {value.shape}.")
        limit = block.user_max * self.num_users * (1 + 1e-9)
        largest = max(float(value.max()), -float(value.min())) if value.size else 0.0
        if not largest <= limit:  # also catches NaN
            raise ContributionError(
                f"Block '{block.name}': a coordinate of magnitude {largest:g} exceeds the bound {limit:g} "
                f"({block.user_max:g} for each of {self.num_users} users); clip each user's part first."
            )


@dataclass(frozen=True)
class Total:
    """The released sum of the contributions of `num_clients` clients. Nothing about any one of them is in it."""

    layout: Layout
    values: Mapping[str, Float64Array]
    num_clients: int

    def part(self, prefix: str) -> Total:
        """The blocks that `Layout.prefixed(prefix)` made, under their own names again."""
        blocks = [b for b in self.layout.blocks if b.name.startswith(prefix + "/")]
        strip = len(prefix) + 1
        layout = Layout(tuple(Block(b.name[strip:], b.shape, b.user_l2, b.user_max, b.resolution) for b in blocks))
        return Total(layout, {b.name[strip:]: self.values[b.name] for b in blocks}, self.num_clients)
