"""Where the noise is made, and the order of the steps: each placement holds both sides of each step.

                 client, before the words leave                server, after the sum
    distributed  round, add a share of integer noise           nothing
    local        add all the noise, round                      nothing
    central      round                                         add all the noise

`distributed` needs masks: a single client's words carry only a share of the noise, and the sum is private if at least
`sharers` honest clients are in it. `local` is private word by word, at sqrt(clients) times the noise. `central` trusts
the server with every tenant's sums; it is there to be compared with, and its name says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from fedrec.config_privacy import Placement
from fedrec.contribution import Block, Contribution, Float64Array, Layout, Total, Words
from fedrec.errors import ConfigError, ProtocolError
from fedrec.privacy.fixed_point import Encoding
from fedrec.privacy.mechanisms import Gaussian, OfSum, Skellam
from fedrec.privacy.noise import GAUSSIAN_MAX, LARGEST_STD, Keystream, gaussian, skellam, skellam_max

EXACT_STEPS, ROUNDED_STEPS = 1 << 10, 1 << 13
"""Least steps of the grid in a standard deviation of integer noise, by whether a user's part is exact on the grid. From
there on Skellam noise costs less than a millionth more than Gaussian noise, and rounding a few percent at most."""


@dataclass(frozen=True)
class BlockNoise:
    """What is done to one block. block: with the resolution on which it is released. mechanism: in steps of that
    resolution for Skellam noise, in the unit of the block for Gaussian noise."""

    block: Block
    mechanism: OfSum

    @property
    def std(self) -> float:
        """Of the noise that the mechanism accounts for, in the unit of the block."""
        if isinstance(self.mechanism, Skellam):
            return math.sqrt(self.mechanism.variance) * self.block.resolution
        return self.mechanism.std


class Placed(Protocol):
    """A placement of noise."""

    def of(self, block: Block, multiplier: float) -> BlockNoise:
        """The noise on a block, `multiplier` times what one user can change."""
        ...

    def largest(self, noise: BlockNoise) -> float:
        """No draw of one client is larger in magnitude; in the unit of the block."""
        ...

    def prepare(self, contribution: Contribution, encoding: Encoding, noise: Sequence[BlockNoise]) -> Words:
        """Client: the words that leave it."""
        ...

    def finish(self, total: Total, noise: Sequence[BlockNoise]) -> Total:
        """Server: the total that is used, with the noise that is known to be on it."""
        ...


@dataclass(frozen=True)
class Distributed:
    """Each of `sharers` guaranteed honest clients adds Skellam noise of 1/sharers of the variance; so does every other
    client, since nobody knows who they are, and the sum has at least the variance that is accounted for."""

    sharers: int

    def of(self, block: Block, multiplier: float) -> BlockNoise:
        """On a grid fine enough for the noise, and coarse enough to draw it. Counts the rounding of a client's sum into
        what a user can change: one step at each coordinate that a user touches, unless all parts lie on the grid."""
        std = multiplier * block.user_l2
        if block.exact and std <= LARGEST_STD * block.resolution:
            step = _finer(block.resolution, std)
            l2 = block.user_l2 / step
        else:
            step = 2.0 ** math.floor(math.log2(std / ROUNDED_STEPS))
            l2 = block.user_l2 / step + math.sqrt(block.user_nonzeros)
        l2 *= 1 + 1e-9  # the tolerance that contributions grant to sums of floats
        l1 = max(l2, min(math.sqrt(block.user_nonzeros) * l2, l2 * l2))  # of whole numbers also at most the square
        return BlockNoise(replace(block, resolution=step), Skellam(l1, l2, (multiplier * l2) ** 2))

    def largest(self, noise: BlockNoise) -> float:
        """See `Placed.largest`."""
        return skellam_max(self._share(noise)) * noise.block.resolution

    def prepare(self, contribution: Contribution, encoding: Encoding, noise: Sequence[BlockNoise]) -> Words:
        """See `Placed.prepare`."""
        words, stream = encoding.encode(contribution), Keystream()
        for segment, one in zip(encoding.segments(words), noise, strict=True):
            segment += skellam(self._share(one)).samples(stream, segment.size).astype(segment.dtype)
        return words

    def finish(self, total: Total, noise: Sequence[BlockNoise]) -> Total:
        """See `Placed.finish`."""
        return _told(total, noise, math.sqrt(max(1.0, total.num_clients / self.sharers)))

    def _share(self, noise: BlockNoise) -> float:
        if not isinstance(noise.mechanism, Skellam):
            raise ProtocolError("Distributed noise is integer noise.")
        return noise.mechanism.variance / self.sharers


@dataclass(frozen=True)
class Local:
    """Each client adds all the Gaussian noise to its own words."""

    def of(self, block: Block, multiplier: float) -> BlockNoise:
        """See `Placed.of`. Rounding comes after the noise and costs nothing."""
        std = multiplier * block.user_l2
        return BlockNoise(replace(block, resolution=_finer(block.resolution, std)), Gaussian(block.user_l2, std))

    def largest(self, noise: BlockNoise) -> float:
        """See `Placed.largest`."""
        return GAUSSIAN_MAX * noise.std

    def prepare(self, contribution: Contribution, encoding: Encoding, noise: Sequence[BlockNoise]) -> Words:
        """See `Placed.prepare`."""
        return encoding.encode_values(_noised(contribution.values, noise))

    def finish(self, total: Total, noise: Sequence[BlockNoise]) -> Total:
        """See `Placed.finish`."""
        return _told(total, noise, math.sqrt(total.num_clients))


@dataclass(frozen=True)
class Central:
    """The server adds the Gaussian noise to the sum. It sees the sum before: for comparison only."""

    def of(self, block: Block, multiplier: float) -> BlockNoise:
        """See `Placed.of`. The rounding of the clients is counted as with distributed noise."""
        extra = 0.0 if block.exact else math.sqrt(block.user_nonzeros) * block.resolution
        return BlockNoise(block, Gaussian(block.user_l2 + extra, multiplier * (block.user_l2 + extra)))

    def largest(self, noise: BlockNoise) -> float:
        """See `Placed.largest`."""
        return 0.0

    def prepare(self, contribution: Contribution, encoding: Encoding, noise: Sequence[BlockNoise]) -> Words:
        """See `Placed.prepare`."""
        return encoding.encode(contribution)

    def finish(self, total: Total, noise: Sequence[BlockNoise]) -> Total:
        """See `Placed.finish`."""
        return _told(replace(total, values=_noised(total.values, noise)), noise, 1.0)


def placed(placement: Placement, sharers: int) -> Placed:
    """The placement of a name. sharers: honest clients that are sure to be in the sum; counts for distributed noise."""
    if sharers < 1:
        raise ConfigError(f"Expected sharers={sharers} >= 1 honest client in every sum; raise federation.min_tenants.")
    match placement:
        case "distributed":
            return Distributed(sharers)
        case "local":
            return Local()
        case "central-for-comparison":
            return Central()


def noise_on(layout: Layout, placement: Placed, multipliers: Sequence[float]) -> tuple[BlockNoise, ...]:
    """The noise on each block of the joined statistics `0/...`, `1/...`, in the order of the layout.

    multipliers: one for each statistic. Its blocks share its budget evenly: each of k has sqrt(k) times the multiplier,
    so that together they cost as much as one release. Raises ProtocolError where they do not fit the layout.
    """
    owners = [block.name.partition("/")[0] for block in layout.blocks]
    if set(owners) != {str(index) for index in range(len(multipliers))}:
        raise ProtocolError(f"Expected a noise multiplier for each of the {len(set(owners))} statistics.")
    if not all(0 < value < math.inf for value in multipliers):
        raise ProtocolError(f"Expected finite noise multipliers > 0, got {list(multipliers)}.")
    return tuple(
        placement.of(block, multipliers[int(owner)] * math.sqrt(owners.count(owner)))
        for owner, block in zip(owners, layout.blocks, strict=True)
    )


def _finer(resolution: float, std: float) -> float:
    """The resolution, halved until a standard deviation has EXACT_STEPS of it."""
    return float(resolution * 2.0 ** -max(0, math.ceil(math.log2(EXACT_STEPS * resolution / std))))


def _noised(values: Mapping[str, Float64Array], noise: Sequence[BlockNoise]) -> dict[str, Float64Array]:
    stream = Keystream()
    return {
        one.block.name: values[one.block.name]
        + gaussian(stream, one.block.size, one.std).reshape(one.block.shape).astype(np.float64, copy=False)
        for one in noise
    }


def _told(total: Total, noise: Sequence[BlockNoise], times: float) -> Total:
    return replace(total, noise={one.block.name: times * one.std for one in noise})
