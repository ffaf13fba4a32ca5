"""The one way out of a client: bound -> noise -> fixed point -> (mask -> sum -> unmask) -> decode.

Both sides of each step stand here, side by side: `prepare` runs on the client, `check` and `open` on the server. Masks
are put on between the two, on the words and by the messages' own layer (`strategies`, `client`), because they need
several messages. Noise is not added yet: `noise` says so, and a report quotes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedrec.contribution import Contribution, Layout, Total, Words
from fedrec.errors import ProtocolError, Refusal
from fedrec.privacy.fixed_point import Encoding, plan


@dataclass(frozen=True)
class Release:
    """How one layout is released. Public: client and server build it from the same instruction."""

    encoding: Encoding

    noise = "none"

    @property
    def words(self) -> tuple[int, int, float]:
        """Words of 32 and of 64 bits, and the largest bound that one user has on a coordinate."""
        largest = max(block.user_max for block in self.encoding.layout.blocks)
        return self.encoding.num_u32, self.encoding.num_u64, largest

    def prepare(self, contribution: Contribution) -> Words:
        """Client: the contribution as words. Raises Refusal if it is not of the layout or over the planned capacity."""
        if contribution.layout != self.encoding.layout:
            raise Refusal("layout-mismatch", "the contribution does not have the layout of this release")
        if contribution.num_users > self.encoding.max_users_per_client:
            raise Refusal(
                "capacity-exceeded",
                f"this client has more than the planned {self.encoding.max_users_per_client} users; "
                "raise federation.max_users_per_tenant",
            )
        return self.encoding.encode(contribution)

    def check(self, words: Words) -> None:
        """Server: raises ProtocolError unless the words have the planned lengths."""
        expected, got = (self.encoding.num_u32, self.encoding.num_u64), (words.u32.size, words.u64.size)
        if expected != got:
            raise ProtocolError(f"Expected {expected} words of 32 and 64 bits, got {got}.")

    def open(self, words: Words, num_clients: int) -> Total:
        """Server: the released sum."""
        return Total(self.encoding.layout, self.encoding.decode(words), num_clients)


def release_of(layout: Layout, max_clients: int, max_users: int) -> Release:
    """The release of `layout` for at most `max_clients` clients of `max_users` users each."""
    return Release(plan(layout, max_clients, max_users))
