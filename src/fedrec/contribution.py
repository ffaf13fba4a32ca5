"""What one client adds to a federated sum, with the bound under which it may be released.

Everything that leaves a client is a `Contribution`: named blocks of numbers, each of which declares how much
one user can change it. Noise, fixed point and overflow proofs ask the block for its bound; nobody retypes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ContributionError

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Words:
    """A contribution on its fixed-point grid, in two's complement: what is masked, sent and added.

    u32: (num_u32,) uint32, coordinates whose sum fits 32 bits. u64: (num_u64,) uint64, all others.
    """

    u32: NDArray[np.uint32]
    u64: NDArray[np.uint64]

    def __post_init__(self) -> None:
        for name, array, dtype in (("u32", self.u32, np.uint32), ("u64", self.u64, np.uint64)):
            if array.dtype != dtype or array.ndim != 1:
                raise ContributionError(
                    f"Expected {name} to be a vector of {dtype.__name__}, got {array.dtype} {array.shape}."
                )

    @classmethod
    def zeros(cls, num_u32: int, num_u64: int) -> Words:
        """The neutral element of `add`."""
        return cls(np.zeros(num_u32, np.uint32), np.zeros(num_u64, np.uint64))

    def copy(self) -> Words:
        """The same words in memory of their own."""
        return Words(self.u32.copy(), self.u64.copy())


def add(left: Words, right: Words) -> Words:
    """Coordinate-wise sum modulo 2^32 and 2^64. Raises ContributionError where the lengths differ."""
    if left.u32.size != right.u32.size or left.u64.size != right.u64.size:
        raise ContributionError(
            f"Expected segments of equal length, got {left.u32.size} and {right.u32.size} words of 32 bits, "
            f"{left.u64.size} and {right.u64.size} of 64; sum only what was encoded under one plan."
        )
    return Words(left.u32 + right.u32, left.u64 + right.u64)


@dataclass(frozen=True)
class Block:
    """One named array of a contribution.

    `user_l2` bounds the L2 norm of one user's part of the block, `user_max` the magnitude of any single coordinate
    of that part (defaults to `user_l2`). `resolution` is the step of the fixed-point grid: 1.0 for counts, which are
    then exact; real values are rounded to it.

    `user_nonzeros` bounds how many coordinates one user's part has that are not 0 (defaults to all), and `exact` says
    that all of them are whole multiples of `resolution`. Rounding a sum then changes nothing; else it can add one step
    at each such coordinate to what a user changes, which noise that is added after rounding has to cover.
    """

    name: str
    shape: tuple[int, ...]
    user_l2: float
    user_max: float = math.nan
    resolution: float = 1.0
    user_nonzeros: int = 0
    exact: bool = False

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
        if not self.user_nonzeros:
            object.__setattr__(self, "user_nonzeros", self.size)
        if not 0 <= self.user_nonzeros <= self.size:
            raise ContributionError(
                f"Block '{self.name}': expected user_nonzeros={self.user_nonzeros} within 1..{self.size}."
            )

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
        return Layout(tuple(replace(block, name=f"{prefix}/{block.name}") for block in self.blocks))


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


def joined(parts: Mapping[str, Contribution]) -> Contribution:
    """Several contributions of the same users as one, each under its prefix; `Total.part` takes them apart."""
    layout = Layout(())
    values: dict[str, Float64Array] = {}
    for prefix, contribution in parts.items():
        layout = layout.join(contribution.layout.prefixed(prefix))
        values |= {f"{prefix}/{name}": value for name, value in contribution.values.items()}
    return Contribution(layout, values, max(c.num_users for c in parts.values()))


@dataclass(frozen=True)
class Total:
    """The released sum of the contributions of `num_clients` clients. Nothing about any one of them is in it.

    noise: by block, the standard deviation of the noise on each coordinate, which is public; none where there is none.
    """

    layout: Layout
    values: Mapping[str, Float64Array]
    num_clients: int
    noise: Mapping[str, float] = field(default_factory=dict)

    def part(self, prefix: str) -> Total:
        """The blocks that `Layout.prefixed(prefix)` made, under their own names again."""
        start = prefix + "/"
        blocks = [block for block in self.layout.blocks if block.name.startswith(start)]
        layout = Layout(tuple(replace(block, name=block.name.removeprefix(start)) for block in blocks))
        values = {block.name.removeprefix(start): self.values[block.name] for block in blocks}
        noise = {name.removeprefix(start): std for name, std in self.noise.items() if name.startswith(start)}
        return Total(layout, values, self.num_clients, noise)
