"""The terms of a step whose noise all clients of a round share: what leaves a client is a bounded sum, not a gradient.

    client: draw, bound each user, put each user on the grid, add up   (`sums`)
    then:   the release of any sum under distributed noise             (`fedrec.privacy.release`)
    server: divide by a public number                                  (`fedrec.strategies.summed_steps`)

Each user's part is put on the grid before it is added to others, by cutting off what is below a step: no coordinate
grows, so neither does the norm, and rounding costs no privacy however many parameters there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedrec.contribution import Block, Layout
from fedrec.errors import ConfigError
from fedrec.models import validate
from fedrec.privacy.fixed_point import plan
from fedrec.privacy.gradients.terms import MOST_USERS, check_terms
from fedrec.privacy.policy import placed
from fedrec.privacy.release import Noise, Release

SUM = "sum"
STEPS = 1 << 14
"""Least steps of the grid in a standard deviation of the noise: what is cut off is little beside it."""
LARGEST = (1 << 24) // MOST_USERS
"""Most steps of the grid in a user's bound: so many users of a part add up exactly in 32-bit floats."""
QUANTILE_WEIGHT = 0.1
"""Bound of a user's vote on the clip, as a share of the bound of the gradient; it raises the noise by 0.5 %."""
SPARE = 4
"""A client's sum is cut off where it would be that of more than so many times `divisor` users who all agree."""


@dataclass(frozen=True)
class SumTerms:
    """One step of a round.

    rate: the chance with which each user is in it, independently of all others. clip_norm: L2 bound of one user's
    gradient. multiplier: standard deviation of the noise over the bound of all that one user adds. divisor: a public
    number of users of one client. sharers: honest clients that are counted on for the noise. quantile: the share of
    users whose gradients the clip should leave as they are; each then adds a vote, one coordinate more. devices: where
    each client is one user, and its bounded vector is what a whole round of training changed: how many of them are
    expected in a round, a public number. `rate` is then the server's, and 1 where nobody has to believe it.
    """

    rate: float
    clip_norm: float
    multiplier: float
    divisor: int
    sharers: int
    quantile: float | None = None
    devices: int | None = None

    def __post_init__(self) -> None:
        check_terms(self.rate, self.clip_norm, self.multiplier, self.divisor)
        validate.whole("sharers", self.sharers)
        validate.optional_whole("devices", self.devices)
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise ConfigError(f"Expected quantile={self.quantile} within (0, 1).")

    @property
    def user_l2(self) -> float:
        """Bound of all that one user adds."""
        return self.clip_norm if self.quantile is None else self.clip_norm * math.hypot(1.0, QUANTILE_WEIGHT)

    @property
    def step(self) -> float:
        """Of the grid on which users are added up: a power of two."""
        fine = 2.0 ** math.floor(math.log2(self.multiplier * self.user_l2 / STEPS))
        return max(fine, 2.0 ** math.ceil(math.log2(self.user_l2 / LARGEST)))

    def expected(self, clients: int) -> int:
        """Users in the sum of so many clients, as far as anyone is told."""
        return self.divisor * clients if self.devices is None else self.devices

    @property
    def most_users(self) -> int:
        """No client's sum is larger at any coordinate than that of so many users."""
        return SPARE * self.divisor

    def vote(self, is_below: bool) -> float:
        """What a user adds whose gradient is as long as the clip at most, or longer.

        A share `quantile` of users below it makes a sum of 0, however many there are. With a quantile of 1/2 and the
        noise of the whole vector this is the count of Andrew, Thakkar, McMahan, Ramaswamy ("Differentially Private
        Learning with Adaptive Clipping", NeurIPS 2021), and the noise of the gradients is that of their theorem 1.
        """
        quantile = 0.0 if self.quantile is None else self.quantile
        unit = QUANTILE_WEIGHT * self.clip_norm / max(quantile, 1 - quantile)
        return unit * (1 - quantile if is_below else -quantile)

    def layout(self, size: int) -> Layout:
        """Of the sum of gradients with so many numbers, and the votes after them."""
        votes = 0 if self.quantile is None else 1
        return Layout((Block(SUM, (size + votes,), self.user_l2, resolution=self.step, exact=True),))

    def release(self, size: int, max_clients: int) -> Release:
        """How the sum leaves a client, and what it costs."""
        placement = placed("distributed", self.sharers)
        noise = tuple(placement.of(block, self.multiplier) for block in self.layout(size).blocks)
        room = {one.block.name: placement.largest(one) for one in noise}
        encoding = plan(Layout(tuple(one.block for one in noise)), max_clients, self.most_users, room)
        return Release(encoding, Noise(placement, noise, self.rate))
