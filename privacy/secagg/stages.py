"""One client's way through one round. Each state has the one step that may follow, and may be left once.

    Advertised --share--> Shared --upload--> Uploaded --consent--> Consented --reveal--> (nothing is left)

Two secrets guard a client's vector: the self mask, and the masks of its pairs. The server learns the first of
the living, the second of the dead, never both: a client signs one partition into living and dead, once, and
reveals by that partition only, and only after a threshold of its neighbours signed the same one.

All secrets are of this round, so whatever is revealed opens nothing else. Fields marked SECRET must not leave
the client.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from fedrec.contribution import Words
from fedrec.errors import Refusal
from fedrec.privacy.secagg import shares
from fedrec.privacy.secagg.keys import (
    LABEL_TRANSPORT,
    SEAL_KEY_BYTES,
    Agreement,
    fresh_secret,
    hkdf,
    seal,
    signed_by,
    unseal,
)
from fedrec.privacy.secagg.latch import Latch
from fedrec.privacy.secagg.masks import Mask, apply, pair_mask, self_seed
from fedrec.privacy.secagg.party import Party, View, admit
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.round_messages import Collect, Consent, Reveal, Secret, Survivors, Task, Unmask
from fedrec.privacy.secagg.setup_messages import Advert, Cohort, Shares, commitment


@dataclass(frozen=True, eq=False)
class Advertised:
    """The client has sent its keys for the round. SECRET: transport, mask."""

    advert: Advert
    transport: Agreement
    mask: Agreement
    latch: Latch = field(default_factory=Latch, repr=False)

    def share(self, party: Party, cohort: Cohort) -> tuple[Shared, Shares]:
        """Checks the cohort and shares both secrets of the round among the neighbours in it."""
        self.latch.check()
        view, adverts = admit(party, cohort, self.advert)
        common = {node: self.transport.shared(advert.transport) for node, advert in adverts.items()}
        secret, count = fresh_secret(), len(view.neighbours)
        of_secret = shares.split(secret, view.threshold, count)
        of_mask_key = shares.split(self.mask.secret(), view.threshold, count)
        sealed = {
            node: seal(
                channel_key(common[node], view.digest, party.node, node),
                of_secret[index] + of_mask_key[index],
                channel(view.digest, party.node, node),
            )
            for index, node in enumerate(view.neighbours)
        }
        inward = {node: channel_key(common[node], view.digest, node, party.node) for node in view.neighbours}
        mask_keys = {node: advert.mask for node, advert in adverts.items()}
        committed = commitment(secret, cohort.round_id, party.node)
        self.latch.close()
        shared = Shared(cohort.round_id, view, self.mask, secret, inward, mask_keys)
        return shared, Shares(party.run, cohort.round_id, party.node, committed, sealed)


@dataclass(frozen=True, eq=False)
class Shared:
    """The client has dealt its shares. SECRET: mask, secret, inward (keys of incoming shares)."""

    round_id: int
    view: View
    mask: Agreement
    secret: bytes = field(repr=False)
    inward: dict[int, bytes] = field(repr=False)
    mask_keys: dict[int, bytes]
    latch: Latch = field(default_factory=Latch, repr=False)

    def receive(self, party: Party, collect: Collect) -> dict[int, bytes]:
        """The shares that the neighbours dealt, opened. Refuses the request if the policy or the graph do."""
        self.latch.check()
        task = collect.task
        party.policy.check_task(task.num_u32 + task.num_u64, task.bound)
        strangers = set(collect.inbox).difference(self.view.neighbours)
        if strangers:
            raise Refusal(Reason.NOT_A_NEIGHBOUR, f"shares of {sorted(strangers)[:5]}, who are no neighbours")
        if len(collect.inbox) < self.view.threshold:
            raise Refusal(
                Reason.TOO_FEW_SHARES,
                f"{len(collect.inbox)} neighbours shared, threshold {self.view.threshold}",
            )
        return {
            node: unseal(self.inward[node], sealed, channel(self.view.digest, node, party.node))
            for node, sealed in collect.inbox.items()
        }

    def upload(
        self, party: Party, task: Task, held: dict[int, bytes], words: Words, context: bytes
    ) -> tuple[Uploaded, Words]:
        """The vector under the client's own mask and those of its pairs with everyone whose shares it holds.

        `held` is what `receive` returned; `context` is hashed into what the client will consent to.
        """
        task.check(words)
        self.latch.close()
        masked = words.copy()
        own = Mask(self_seed(self.secret, self.view.digest, party.node), negative=False)
        pairs = (pair_mask(self.mask.shared(self.mask_keys[node]), self.view.digest, party.node, node) for node in held)
        apply(masked, (own, *pairs))
        digest = hashlib.sha256(context).digest()
        return Uploaded(self.round_id, self.view, task, digest, held), masked


@dataclass(frozen=True, eq=False)
class Uploaded:
    """The client has sent its masked vector. SECRET: held (two shares of each neighbour, 66 bytes)."""

    round_id: int
    view: View
    task: Task
    context: bytes
    held: dict[int, bytes] = field(repr=False)
    latch: Latch = field(default_factory=Latch, repr=False)

    def consent(self, party: Party, survivors: Survivors) -> tuple[Consented, Consent]:
        """Signs the survivors, if they are enough and agree with the shares that this client holds."""
        self.latch.check()
        nodes = self.view.nodes
        if len(survivors.alive) != len(nodes):
            raise Refusal(Reason.MALFORMED, f"survivors among {len(survivors.alive)} clients, not {len(nodes)}")
        if (survivors.alive & survivors.dead).any():
            raise Refusal(Reason.ALIVE_AND_DEAD, "a client is listed both as alive and as dead")
        alive = {node for node, bit in zip(nodes, survivors.alive.tolist(), strict=True) if bit}
        dead = {node for node, bit in zip(nodes, survivors.dead.tolist(), strict=True) if bit}
        self._check(party, alive, dead)
        statement = survivors.statement(self.view.digest, self.task, self.context)
        self.latch.close()
        next_state = Consented(self.round_id, self.view, statement, frozenset(alive & self.held.keys()), self.held)
        return next_state, Consent(party.run, self.round_id, party.node, party.identity.sign(statement))

    def _check(self, party: Party, alive: set[int], dead: set[int]) -> None:
        if party.node not in alive:
            raise Refusal(Reason.NOT_ALIVE_MYSELF, "this client uploaded and is not among the survivors")
        party.policy.check_survivors(len(alive))
        sharers = (alive | dead).intersection(self.view.neighbours)
        if sharers != self.held.keys():
            raise Refusal(
                Reason.SURVIVORS_INCONSISTENT,
                f"nodes {sorted(sharers ^ self.held.keys())[:5]}: a neighbour is alive or dead if it shared",
            )
        if len(alive & sharers) < self.view.threshold:
            raise Refusal(
                Reason.NEIGHBOURS_TOO_FEW,
                f"{len(alive & sharers)} neighbours are alive, threshold {self.view.threshold}",
            )


@dataclass(frozen=True, eq=False)
class Consented:
    """The client has signed the survivors. `alive`: its living neighbours. SECRET: held."""

    round_id: int
    view: View
    statement: bytes
    alive: frozenset[int]
    held: dict[int, bytes] = field(repr=False)
    latch: Latch = field(default_factory=Latch, repr=False)

    def reveal(self, party: Party, unmask: Unmask) -> Reveal:
        """One share of each neighbour, once a threshold of them signed the survivors that this client did."""
        self.latch.check()
        needed = self.view.threshold
        for node, signature in unmask.consents.items():
            if node in self.alive and signed_by(party.roster.keys[node], signature, self.statement):
                needed -= 1
            if needed == 0:
                break
        if needed > 0:
            raise Refusal(
                Reason.CONSENTS_TOO_FEW,
                f"{self.view.threshold - needed} neighbours signed the same survivors, of {self.view.threshold}",
            )
        self.latch.close()
        revealed = {
            node: (Secret.SELF_MASK, both[: shares.SHARE_BYTES])
            if node in self.alive
            else (Secret.MASK_KEY, both[shares.SHARE_BYTES :])
            for node, both in self.held.items()
        }
        return Reveal(party.run, self.round_id, party.node, revealed)


Stage = Advertised | Shared | Uploaded | Consented


def channel(digest: bytes, sender: int, receiver: int) -> bytes:
    """What a sealed share is bound to: the round digest (which binds run and round) and its direction."""
    return digest + sender.to_bytes(8, "little") + receiver.to_bytes(8, "little")


def channel_key(common: bytes, digest: bytes, sender: int, receiver: int) -> bytes:
    """The key of the one share that `sender` seals for `receiver` in a round."""
    return hkdf(common, LABEL_TRANSPORT, channel(digest, sender, receiver), SEAL_KEY_BYTES)
