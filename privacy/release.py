"""The one way out of a client: bound -> noise -> fixed point -> (mask -> sum -> unmask) -> decode.

Both sides of each step stand here, side by side: `prepare` runs on the client, `check` and `open` on the server. Masks
are put on between the two, on the words and by the messages' own layer (`strategies`, `client`), because they need
several messages. Where the noise is made, and whether before or after rounding, is the placement's (`policy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedrec.contribution import Contribution, Layout, Total, Words
from fedrec.errors import ProtocolError, Refusal
from fedrec.privacy.fixed_point import Encoding, plan
from fedrec.privacy.mechanisms import Mechanism, sampled
from fedrec.privacy.policy import BlockNoise, Placed, noise_on


@dataclass(frozen=True)
class Noise:
    """The noise of one release: where it is made, and on each block in the order of the layout. rate: the chance with
    which a user is in the sum, if each is drawn for it."""

    placement: Placed
    blocks: tuple[BlockNoise, ...]
    rate: float = 1.0

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """What the release costs, as data for the accountant."""
        return tuple(sampled(one.mechanism, self.rate) for one in self.blocks)


@dataclass(frozen=True)
class Release:
    """How one layout is released. Public: client and server build it from the same instruction."""

    encoding: Encoding
    noise: Noise | None = None

    @property
    def words(self) -> tuple[int, int, float]:
        """Words of 32 and of 64 bits, and the largest bound that one user has on a coordinate."""
        largest = max(block.user_max for block in self.encoding.layout.blocks)
        return self.encoding.num_u32, self.encoding.num_u64, largest

    def prepare(self, contribution: Contribution) -> Words:
        """Client: the contribution as words. Raises Refusal if it is not of the layout or over the planned capacity."""
        if _names(contribution.layout) != _names(self.encoding.layout):
            raise Refusal("layout-mismatch", "the contribution does not have the layout of this release")
        if contribution.num_users > self.encoding.max_users_per_client:
            raise Refusal(
                "capacity-exceeded",
                f"this client has more than the planned {self.encoding.max_users_per_client} users; "
                "raise federation.max_users_per_tenant",
            )
        if self.noise is None:
            return self.encoding.encode(contribution)
        return self.noise.placement.prepare(contribution, self.encoding, self.noise.blocks)

    def check(self, words: Words) -> None:
        """Server: raises ProtocolError unless the words have the planned lengths."""
        expected, got = (self.encoding.num_u32, self.encoding.num_u64), (words.u32.size, words.u64.size)
        if expected != got:
            raise ProtocolError(f"Expected {expected} words of 32 and 64 bits, got {got}.")

    def open(self, words: Words, num_clients: int) -> Total:
        """Server: the released sum."""
        total = Total(self.encoding.layout, self.encoding.decode(words), num_clients)
        return total if self.noise is None else self.noise.placement.finish(total, self.noise.blocks)


def release_of(layout: Layout, max_clients: int, max_users: int) -> Release:
    """The release of `layout`, without noise, for at most `max_clients` clients of `max_users` users each."""
    return Release(plan(layout, max_clients, max_users))


def noised_release_of(
    layout: Layout, max_clients: int, max_users: int, placement: Placed, multipliers: Sequence[float]
) -> Release:
    """The release of the joined statistics of `layout`, each with noise of a multiplier; see `policy.noise_on`."""
    noise = Noise(placement, noise_on(layout, placement, multipliers))
    room = {one.block.name: placement.largest(one) for one in noise.blocks}
    released = Layout(tuple(one.block for one in noise.blocks))
    return Release(plan(released, max_clients, max_users, room), noise)


def _names(layout: Layout) -> list[tuple[str, tuple[int, ...], float, float]]:
    """All that both sides must agree on; the resolution is the release's own."""
    return [(block.name, block.shape, block.user_l2, block.user_max) for block in layout.blocks]
