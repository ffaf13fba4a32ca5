"""Real vectors as words of 32 or 64 bits whose sum modulo 2^32 or 2^64 is the true sum.

A secure sum adds integers modulo a power of two. Each block of a contribution is put on its grid
(`Block.resolution`), written in two's complement, and summed without overflow: `bound` gives, in exact
arithmetic, the largest integer that one client may send and the word that holds the sum of `max_clients` of
them; `Encoding.encode` refuses any value beyond that integer. What is proved is that honest clients cannot
overflow; a dishonest one can spoil the sum.

Rounding comes after the noise of a local mechanism, so it is post-processing and costs no privacy. A
mechanism that adds integer noise after rounding must count the rounding in its sensitivity.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedrec.contribution import Block, Contribution, Layout, Words, add
from fedrec.errors import ContributionError

__all__ = ["Encoding", "GridBlock", "Words", "add", "bits_for", "bound", "clipped_block", "plan"]

Float64Array = NDArray[np.float64]
RealArray = NDArray[np.float64] | NDArray[np.float32]

ROUNDING_SLACK = Fraction(1, 10**9)  # the tolerance that `Contribution` grants to sums of floats
CHUNK = 1 << 15  # coordinates rounded at a time: temporaries stay in the cache


@dataclass(frozen=True)
class GridBlock:
    """A block with its proof: no client sends beyond +-`client_limit`, and the sum fits a signed word."""

    block: Block
    client_limit: int
    word_bits: int


def bound(block: Block, max_clients: int, max_users: int, noise_max: float = 0.0) -> GridBlock:
    """The overflow proof of one block, in exact rational arithmetic.

    One client's coordinate is at most `max_users * user_max + noise_max` in magnitude, and rounding moves it
    by less than one step, so its integer is at most `client_limit = ceil(that / resolution)`. The sum of
    `max_clients` of them is below 2^(word_bits - 1) in magnitude, so two's complement recovers it. Raises
    ContributionError if 64 bits do not do.
    """
    magnitude = Fraction(block.user_max) * max_users * (1 + ROUNDING_SLACK) + Fraction(noise_max)
    client_limit = math.ceil(magnitude / Fraction(block.resolution))
    for word_bits in (32, 64):
        if max_clients * client_limit < 1 << (word_bits - 1):
            return GridBlock(block, client_limit, word_bits)
    raise ContributionError(
        f"Block '{block.name}': the sum of {max_clients} clients with {max_users} users each reaches "
        f"{max_clients * client_limit:.3g} steps of {block.resolution:g}; 64-bit words hold less than "
        "2^63: use a coarser resolution, a smaller bound or fewer users."
    )


@dataclass(frozen=True)
class Encoding:
    """How the blocks of a layout lie in words. Made by `plan`; public, and the same for every party."""

    layout: Layout
    max_clients: int
    max_users_per_client: int
    grid: tuple[GridBlock, ...]

    @property
    def num_u32(self) -> int:
        """Number of coordinates in 32-bit words."""
        return sum(g.block.size for g in self.grid if g.word_bits == 32)

    @property
    def num_u64(self) -> int:
        """Number of coordinates in 64-bit words."""
        return sum(g.block.size for g in self.grid if g.word_bits == 64)

    def encode(self, contribution: Contribution, rng: np.random.Generator | None = None) -> Words:
        """The contribution on the grid; see `encode_values`. Raises ContributionError for too many users."""
        if contribution.num_users > self.max_users_per_client:
            raise ContributionError(
                f"Expected num_users={contribution.num_users} <= {self.max_users_per_client}, "
                "for which the words were planned; plan with a larger max_users_per_client."
            )
        return self.encode_values(contribution.values, rng)

    def encode_values(self, values: Mapping[str, RealArray], rng: np.random.Generator | None = None) -> Words:
        """Blocks of real numbers (also noised ones) as words.

        `rng` rounds stochastically, so that the expected sum is the true one; None rounds to the nearest
        step. Values on the grid are kept exactly in both. Raises ContributionError for a wrong block, shape
        or magnitude, or NaN.
        """
        if set(values) != {g.block.name for g in self.grid}:
            raise ContributionError(
                f"Expected values for blocks {[g.block.name for g in self.grid]}, got {sorted(values)}."
            )
        words = Words.zeros(self.num_u32, self.num_u64)
        for grid, target in zip(self.grid, self.segments(words), strict=True):
            value = values[grid.block.name]
            if value.shape != grid.block.shape:
                raise ContributionError(
                    f"Block '{grid.block.name}': expected shape {grid.block.shape}, got {value.shape}."
                )
            _round_into(target, value.reshape(-1), grid, rng)
        return words

    def decode(self, words: Words) -> dict[str, Float64Array]:
        """The real values of a sum of at most `max_clients` encoded contributions, by block."""
        if words.u32.size != self.num_u32 or words.u64.size != self.num_u64:
            raise ContributionError(
                f"Expected {self.num_u32} words of 32 bits and {self.num_u64} of 64, "
                f"got {words.u32.size} and {words.u64.size}; decode with the plan that encoded."
            )
        return {
            grid.block.name: (segment * np.float64(grid.block.resolution)).reshape(grid.block.shape)
            for grid, segment in zip(self.grid, self.segments(words), strict=True)
        }

    def segments(self, words: Words) -> list[NDArray[np.int32] | NDArray[np.int64]]:
        """Signed views of the blocks within `words`, in the order of the layout: (size,) int32 or int64 each."""
        views: list[NDArray[np.int32] | NDArray[np.int64]] = []
        start = {32: 0, 64: 0}
        for grid in self.grid:
            stop = start[grid.word_bits] + grid.block.size
            signed = words.u32.view(np.int32) if grid.word_bits == 32 else words.u64.view(np.int64)
            views.append(signed[start[grid.word_bits] : stop])
            start[grid.word_bits] = stop
        return views


def plan(
    layout: Layout,
    max_clients: int,
    max_users_per_client: int,
    noise_max: Mapping[str, float] | None = None,
) -> Encoding:
    """The words for sums over `max_clients` clients of at most `max_users_per_client` users each.

    `noise_max` is, by block, the largest magnitude of noise one client adds to a coordinate (default: none);
    size it so that a larger draw is as unlikely as the run may fail, or clip the noised values to it. Raises
    ContributionError if a sum could overflow 64 bits or an argument is out of range.
    """
    noise = dict(noise_max or {})
    unknown = sorted(set(noise) - {block.name for block in layout.blocks})
    if unknown or not all(0 <= value < math.inf for value in noise.values()):
        raise ContributionError(f"Expected finite noise_max >= 0 for blocks of the layout, got {noise}.")
    if max_clients < 1 or max_users_per_client < 1:
        raise ContributionError(
            f"Expected max_clients={max_clients} >= 1 and max_users_per_client={max_users_per_client} >= 1."
        )
    grid = tuple(bound(block, max_clients, max_users_per_client, noise.get(block.name, 0.0)) for block in layout.blocks)
    return Encoding(layout, max_clients, max_users_per_client, grid)


def clipped_block(name: str, shape: tuple[int, ...], clip_norm: float, bits: int) -> Block:
    """A block for one clipped update per client: coordinates within +-`clip_norm`, 2^bits - 1 grid points."""
    if not 2 <= bits <= 53:
        raise ContributionError(f"Block '{name}': expected bits={bits} within 2..53.")
    return Block(name, shape, user_l2=clip_norm, resolution=clip_norm / ((1 << (bits - 1)) - 1))


def bits_for(max_clients: int) -> int:
    """The most bits of `clipped_block` for which the sum of `max_clients` updates still fits 32-bit words."""
    if not 1 <= max_clients < 1 << 30:
        raise ContributionError(f"Expected max_clients={max_clients} within 1..2^30 - 1.")
    steps = ((1 << 31) - 1) // max_clients  # client_limit is 2^(bits - 1) at most, the slack included
    return max(2, steps.bit_length())


def _round_into(
    target: NDArray[np.int32] | NDArray[np.int64],
    value: RealArray,
    grid: GridBlock,
    rng: np.random.Generator | None,
) -> None:
    for start in range(0, value.size, CHUNK):
        steps = value[start : start + CHUNK].astype(np.float64) / grid.block.resolution
        rounded = np.rint(steps) if rng is None else _round_at_random(steps, rng)
        largest = max(float(rounded.max()), -float(rounded.min()))
        # Comparing Python integers is exact where a float64 of the limit would not be.
        if not math.isfinite(largest) or int(largest) > grid.client_limit:
            raise ContributionError(
                f"Block '{grid.block.name}': a coordinate of {largest:g} steps of {grid.block.resolution:g} "
                f"exceeds the planned {grid.client_limit} for one client; clip it, or plan room (noise_max)."
            )
        target[start : start + CHUNK] = rounded


def _round_at_random(steps: Float64Array, rng: np.random.Generator) -> Float64Array:
    """Each value rounded up with the probability of its fractional part: integers stay, means are kept."""
    floor = np.floor(steps)
    steps -= floor
    floor += rng.random(steps.size) < steps
    return floor
