"""The server's way to a prepared round: gather adverts, publish the cohort, route the sealed shares.

    Advertising --close--> Sharing --close--> Prepared --collect--> Collecting (fedrec.privacy.secagg.server)

The server holds no secret here: it sees public keys and sealed shares. `receive` refuses a bad message and
goes on with the others; `close` ends a phase with whoever answered, or raises RoundFailed if they are too
few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fedrec.errors import ConfigError, Refusal, RoundFailed
from fedrec.privacy.secagg.graph import Parameters, is_degree, ring
from fedrec.privacy.secagg.mailbox import Mailbox
from fedrec.privacy.secagg.party import check_signature
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.roster import Roster
from fedrec.privacy.secagg.setup_messages import (
    ADVERT,
    SEALED,
    Advert,
    Cohort,
    Shares,
    pack_advertise,
    parse_advert,
)
from fedrec.privacy.secagg.wire import Kind, Octets

SMALL_MESSAGE_BYTES = 4096


@dataclass(frozen=True, eq=False)
class Plan:
    """What the server knows of a round once its cohort stands."""

    cohort: Cohort
    digest: bytes
    neighbours: dict[int, tuple[int, ...]]

    @property
    def share_bytes(self) -> int:
        """The longest message that holds something for each neighbour."""
        return SMALL_MESSAGE_BYTES + self.cohort.degree * SEALED.itemsize

    def mailbox(self, kind: Kind, nodes: set[int], max_bytes: int) -> Mailbox:
        """A mailbox for one phase of the round."""
        return Mailbox(kind, self.cohort.run, self.cohort.round_id, nodes, max_bytes)

    def require_holders(self, nodes: set[int], holders: set[int], phase: str) -> None:
        """Raises RoundFailed unless a threshold of each node's neighbours is among `holders`."""
        threshold = self.cohort.threshold
        short = [node for node in nodes if len(holders.intersection(self.neighbours[node])) < threshold]
        if short or len(holders) < 2:
            raise RoundFailed(
                f"Round {self.cohort.round_id}: after {phase} {len(holders)} of {len(self.cohort.adverts)} clients "
                f"are left, and {len(short)} have fewer than {threshold} neighbours among them; the round is discarded."
            )


class Advertising:
    """Gathers signed adverts of roster members."""

    def __init__(self, run: bytes, roster: Roster, round_id: int) -> None:
        self.run, self.roster, self.round_id = run, roster, round_id
        self._mailbox = Mailbox(Kind.ADVERT, run, round_id, roster.keys, SMALL_MESSAGE_BYTES)
        self._adverts: dict[int, Advert] = {}

    def request(self) -> bytes:
        """The message to every client that is to take part."""
        return pack_advertise(self.run, self.round_id)

    def receive(self, message: Octets, sender: int | None = None) -> int:
        """Takes an advert; the node that it is of."""
        header = self._mailbox.check(message, sender)
        advert = parse_advert(message, SMALL_MESSAGE_BYTES)[1]
        if advert.node != header.sender or advert.round_id != self.round_id or advert.since > self.round_id:
            raise Refusal(Reason.MALFORMED, f"an advert of node {advert.node}, round {advert.round_id}")
        check_signature(self.roster, self.run, advert)
        self._mailbox.mark(advert.node)
        self._adverts[advert.node] = advert
        return advert.node

    def close(self, parameters: Callable[[int], Parameters]) -> Sharing:
        """Fixes the cohort, and its graph by the parameters for its size. Raises RoundFailed below two."""
        self._mailbox.close()
        if len(self._adverts) < 2:
            raise RoundFailed(f"Round {self.round_id}: {len(self._adverts)} clients advertised, two are the least.")
        chosen = parameters(len(self._adverts))
        if not is_degree(chosen.degree, len(self._adverts)) or not 1 <= chosen.threshold <= chosen.degree:
            raise ConfigError(
                f"Expected parameters of a graph of {len(self._adverts)} clients, got {chosen}: complete up to 64 "
                "clients, of even degree above, and a threshold of 1..degree."
            )
        packed = b"".join(self._adverts[node].pack() for node in sorted(self._adverts))
        cohort = Cohort(
            self.run,
            self.round_id,
            self.roster.digest,
            chosen.degree,
            chosen.threshold,
            np.frombuffer(packed, ADVERT),
        )
        digest = cohort.digest()
        return Sharing(Plan(cohort, digest, ring(cohort.nodes, cohort.degree, digest).all()))


class Sharing:
    """Publishes the cohort and gathers everyone's sealed shares."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.nodes, self.round_id = plan.cohort.nodes, plan.cohort.round_id
        self._mailbox = plan.mailbox(Kind.SHARES, set(self.nodes), plan.share_bytes)
        self._shares: dict[int, Shares] = {}

    def request(self) -> bytes:
        """The message to every client of the cohort."""
        return self.plan.cohort.pack()

    def receive(self, message: Octets, sender: int | None = None) -> int:
        """Takes the shares of one client, which must be for exactly its neighbours."""
        node = self._mailbox.check(message, sender).sender
        shares = Shares.parse(message, self._mailbox.max_bytes)
        if tuple(shares.sealed) != self.plan.neighbours[node]:
            raise Refusal(Reason.NOT_A_NEIGHBOUR, f"the shares of node {node} are not for its neighbours")
        self._mailbox.mark(node)
        self._shares[node] = shares
        return node

    def close(self) -> Prepared:
        """Goes on with those who shared. Raises RoundFailed if any of them has too few neighbours who did."""
        self._mailbox.close()
        present = set(self._shares)
        self.plan.require_holders(present, present, "sharing")
        inboxes: dict[int, dict[int, bytes]] = {node: {} for node in present}
        for node in sorted(present):
            for receiver in present.intersection(self.plan.neighbours[node]):
                inboxes[receiver][node] = self._shares[node].sealed[receiver]
        return Prepared(self.plan, {node: self._shares[node].commitment for node in present}, inboxes)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A round whose secrets are shared; it waits for its task. commitments: by node. inboxes: by receiver, sender."""

    plan: Plan
    commitments: dict[int, bytes]
    inboxes: dict[int, dict[int, bytes]] = field(repr=False)

    @cached_property
    def nodes(self) -> frozenset[int]:
        """The clients that will be asked to upload."""
        return frozenset(self.inboxes)
