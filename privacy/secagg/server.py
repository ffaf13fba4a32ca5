"""The server's way through a round: add up masked vectors, have the survivors signed, open the sum.

    Prepared --collect--> Collecting --close--> Consenting --close--> Revealing --close--> Aggregate

Masked vectors are added as they arrive and not kept. The server learns the self masks of the living and the
mask keys of the dead, of this round; the sum is all that they open together. `receive` refuses a bad message
and goes on with the others; `close` raises RoundFailed where the answers cannot open the sum: never a wrong
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fedrec.contribution import Words
from fedrec.errors import Refusal
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import (
    REVEALED,
    Collect,
    Consent,
    Reveal,
    Secret,
    Survivors,
    Task,
    Unmask,
    Upload,
)
from fedrec.privacy.secagg.server_setup import SMALL_MESSAGE_BYTES, Prepared
from fedrec.privacy.secagg.unmasking import open_sum
from fedrec.privacy.secagg.wire import Kind, Octets

RIDER_BYTES = 4096  # beside vector and shares, an upload holds an advert and lengths
MAX_DEGREE_BYTES = 1 << 24  # shares of a later round may be for more neighbours than this one has


@dataclass(frozen=True)
class Arrival:
    """An upload that was counted, and the messages for later rounds that rode on it (or empty)."""

    node: int
    shares: bytes = field(repr=False)
    advert: bytes = field(repr=False)


class Collecting:
    """Adds up masked vectors.

    advertise: a later round to ask adverts for, or 0. riders: by node, the cohort of a later round to share
    for.
    """

    def __init__(
        self, prepared: Prepared, task: Task, advertise: int = 0, riders: Mapping[int, bytes] | None = None
    ) -> None:
        self.prepared, self.task = prepared, task
        self._advertise, self._riders = advertise, riders or {}
        self._total = Words.zeros(task.num_u32, task.num_u64)
        max_bytes = task.vector_bytes + RIDER_BYTES + MAX_DEGREE_BYTES
        self._mailbox = prepared.plan.mailbox(Kind.UPLOAD, set(prepared.nodes), max_bytes)

    def requests(self) -> dict[int, bytes]:
        """The message to each client of the prepared round."""
        cohort = self.prepared.plan.cohort
        return {
            node: Collect(
                cohort.run, cohort.round_id, self.task, inbox, self._advertise, self._riders.get(node, b"")
            ).pack()
            for node, inbox in self.prepared.inboxes.items()
        }

    def receive(self, message: Octets, sender: int | None = None) -> Arrival:
        """Adds one masked vector."""
        node = self._mailbox.check(message, sender).sender
        upload = Upload.parse(message, self._mailbox.max_bytes, self.task)
        self._mailbox.mark(node)
        np.add(self._total.u32, upload.words.u32, out=self._total.u32)
        np.add(self._total.u64, upload.words.u64, out=self._total.u64)
        return Arrival(node, upload.shares, upload.advert)

    def close(self) -> Consenting:
        """Fixes the living. Raises RoundFailed if they cannot open all secrets that it takes."""
        self._mailbox.close()
        alive = set(self._mailbox.answered)
        self.prepared.plan.require_holders(set(self.prepared.nodes), alive, "the upload")
        return Consenting(self.prepared, self._total, alive)


class Consenting:
    """Gathers the living clients' signatures under the set of the living."""

    def __init__(self, prepared: Prepared, total: Words, alive: set[int]) -> None:
        self.prepared, self._total, self.nodes = prepared, total, frozenset(alive)
        self._mailbox = prepared.plan.mailbox(Kind.CONSENT, alive, SMALL_MESSAGE_BYTES)
        self._consents: dict[int, bytes] = {}

    def request(self) -> bytes:
        """The message to every living client."""
        cohort = self.prepared.plan.cohort
        alive = np.array([node in self.nodes for node in cohort.nodes])
        shared = np.array([node in self.prepared.nodes for node in cohort.nodes])
        return Survivors(cohort.run, cohort.round_id, alive, shared & ~alive).pack()

    def receive(self, message: Octets, sender: int | None = None) -> int:
        """Takes one consent. It is for the clients to check, who alone know what they were shown."""
        node = self._mailbox.check(message, sender).sender
        self._consents[node] = Consent.parse(message, SMALL_MESSAGE_BYTES).signature
        self._mailbox.mark(node)
        return node

    def close(self) -> Revealing:
        """Goes on with those who consented. Raises RoundFailed if they are too few."""
        self._mailbox.close()
        self.prepared.plan.require_holders(set(self.prepared.nodes), set(self._consents), "the consents")
        return Revealing(self.prepared, self._total, self.nodes, self._consents)


class Revealing:
    """Gathers the shares that open the sum."""

    def __init__(self, prepared: Prepared, total: Words, alive: frozenset[int], consents: dict[int, bytes]) -> None:
        self.prepared, self._total, self.alive, self._consents = prepared, total, alive, consents
        self.dead = prepared.nodes - alive
        max_bytes = SMALL_MESSAGE_BYTES + prepared.plan.cohort.degree * REVEALED.itemsize
        self._mailbox = prepared.plan.mailbox(Kind.REVEAL, set(consents), max_bytes)
        self._shares: dict[int, dict[int, bytes]] = {node: {} for node in prepared.nodes}

    def requests(self) -> dict[int, bytes]:
        """The message to each client that consented."""
        plan = self.prepared.plan
        return {
            node: Unmask(
                plan.cohort.run,
                plan.cohort.round_id,
                {other: self._consents[other] for other in plan.neighbours[node] if other in self._consents},
            ).pack()
            for node in self._consents
        }

    def receive(self, message: Octets, sender: int | None = None) -> int:
        """Takes one client's shares, which must be the ones that the survivors ask for."""
        node = self._mailbox.check(message, sender).sender
        reveal = Reveal.parse(message, self._mailbox.max_bytes)
        expected = [
            (other, Secret.SELF_MASK if other in self.alive else Secret.MASK_KEY)
            for other in self.prepared.plan.neighbours[node]
            if other in self.prepared.nodes
        ]
        if [(other, secret) for other, (secret, _) in reveal.shares.items()] != expected:
            raise Refusal(Reason.SHARES_UNEXPECTED, f"node {node} reveals other shares than it was asked for")
        self._mailbox.mark(node)
        for other, (_, share) in reveal.shares.items():
            self._shares[other][node] = share
        return node

    def close(self) -> Aggregate:
        """Opens the sum over the living. Raises RoundFailed if the shares are too few or wrong."""
        self._mailbox.close()
        self.prepared.plan.require_holders(set(self.prepared.nodes), set(self._mailbox.answered), "the reveal")
        open_sum(self._total, self.prepared, self.alive, self._shares)
        return Aggregate(self._total, tuple(sorted(self.alive)), tuple(sorted(self.dead)))


@dataclass(frozen=True, eq=False)
class Aggregate:
    """The sum over the living, and nothing about any one of them. dead: shared, but did not upload."""

    total: Words
    alive: tuple[int, ...]
    dead: tuple[int, ...]
