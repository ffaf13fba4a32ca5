"""What a server can open that keeps everything it ever received, with t - 1 clients on its side.

The attacker here is explicit: it collects every share that anyone ever revealed to it or that its accomplices
ever held, rebuilds every secret of which it has a threshold of shares, derives every mask it can and takes it
away. What is left must be hidden by a mask that it cannot derive. The same attacker succeeds where the
protocol is broken on purpose.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict

import pytest

from fedrec.contribution import Words, add
from fedrec.privacy.secagg import client as client_module
from fedrec.privacy.secagg.graph import Parameters, ring
from fedrec.privacy.secagg.keys import Agreement
from fedrec.privacy.secagg.masks import Mask, apply, pair_mask, self_seed
from fedrec.privacy.secagg.round_messages import Reveal, Secret, Upload
from fedrec.privacy.secagg.setup_messages import Cohort
from fedrec.privacy.secagg.shares import SHARE_BYTES, combine
from fedrec.privacy.secagg.stages import Consented, Shared, Uploaded
from fedrec.privacy.secagg.wire import Kind, peek

LIMIT = 1 << 24


class Attacker:
    def __init__(self, federation, accomplices: set[int]) -> None:
        self.task, self.accomplices = federation.task, accomplices
        self.cohorts: dict[int, Cohort] = {}
        self.uploads: dict[tuple[int, int], Words] = {}
        self.shares: dict[tuple[int, int, Secret], dict[int, bytes]] = defaultdict(dict)
        self.self_secrets: dict[tuple[int, int], bytes] = {}
        self.mask_keys: dict[bytes, Agreement] = {}  # by public key: one that opens several rounds is found
        self.partners: dict[tuple[int, int], set[int]] = {}
        self._watch(federation)
        for node in accomplices:
            self._question(node, federation.states.get(node, []))
        self._rebuild()

    def _watch(self, federation) -> None:
        for phase in (federation.server._sharing, federation.server.prepared):
            if phase is not None:
                self.cohorts[phase.plan.cohort.round_id] = phase.plan.cohort
        for node, message in federation.sent:
            kind, round_id = peek(message, LIMIT).kind, peek(message, LIMIT).round_id
            if kind is Kind.COHORT:
                self.cohorts[round_id] = Cohort.parse(message, LIMIT)
            if kind is Kind.COLLECT:
                collect = client_module.Collect.parse(message, LIMIT)
                self.partners[round_id, node] = set(collect.inbox)
                if collect.cohort:
                    self.cohorts[round_id + 1] = Cohort.parse(collect.cohort, LIMIT)
        for reply in federation.received:
            header = peek(reply, LIMIT)
            if header.kind is Kind.UPLOAD:
                self.uploads[header.round_id, header.sender] = Upload.parse(reply, LIMIT, self.task).words
            if header.kind is Kind.REVEAL:
                for owner, (secret, share) in Reveal.parse(reply, LIMIT).shares.items():
                    self.shares[header.round_id, owner, secret][header.sender] = share

    def _question(self, node: int, states) -> None:
        for state in states:
            for round_id, stage in state.rounds.items():
                if isinstance(stage, Shared):
                    self.self_secrets[round_id, node] = stage.secret
                    self.mask_keys[stage.mask.public] = stage.mask
                if isinstance(stage, Uploaded | Consented):
                    for owner, both in stage.held.items():
                        self.shares[round_id, owner, Secret.SELF_MASK][node] = both[:SHARE_BYTES]
                        self.shares[round_id, owner, Secret.MASK_KEY][node] = both[SHARE_BYTES:]

    def _rebuild(self) -> None:
        for (round_id, owner, kind), shares in self.shares.items():
            cohort = self.cohorts[round_id]
            holders = ring(cohort.nodes, cohort.degree, cohort.digest()).of(owner)
            numbered = {holders.index(holder) + 1: share for holder, share in shares.items()}
            if len(numbered) < cohort.threshold:
                continue
            chosen = dict(sorted(numbered.items())[: cohort.threshold])
            secret = combine(chosen, cohort.threshold, len(holders))
            if kind is Secret.SELF_MASK:
                self.self_secrets[round_id, owner] = secret
            else:
                key = Agreement.from_secret(secret)
                self.mask_keys[key.public] = key

    def strip(self, round_id: int, node: int) -> tuple[Words, bool, set[int]]:
        """One upload without all masks that can be derived; whether its self mask is left; whose pair masks are."""
        cohort = self.cohorts[round_id]
        public = {advert["node"].item(): bytes(advert["mask"].item()) for advert in cohort.adverts}
        digest, masks, unknown = cohort.digest(), [], set()
        for other in self.partners[round_id, node]:
            if public[other] in self.mask_keys:
                shared = self.mask_keys[public[other]].shared(public[node])
            elif public[node] in self.mask_keys:
                shared = self.mask_keys[public[node]].shared(public[other])
            else:
                unknown.add(other)
                continue
            mask = pair_mask(shared, digest, node, other)
            masks.append(Mask(mask.seed, not mask.negative))
        own = self.self_secrets.get((round_id, node))
        if own is not None:
            masks.append(Mask(self_seed(own, digest, node), negative=True))
        words = self.uploads[round_id, node].copy()
        apply(words, masks)
        return words, own is None, unknown

    def opened(self) -> dict[tuple[int, frozenset[int]], Words]:
        """Every sum of honest uploads of a round that it can open, by round and summands.

        The masks left between two clients cancel only in the sum of both, so what can be opened are the
        connected components of the graph of unknown pair masks, and only those without an unknown self mask.
        """
        sums = {}
        for round_id in {round_id for round_id, _ in self.uploads}:
            honest = {n for r, n in self.uploads if r == round_id} - self.accomplices
            stripped = {node: self.strip(round_id, node) for node in honest}
            for component in components({node: stripped[node][2] for node in honest}):
                if component <= honest and not any(stripped[node][1] for node in component):
                    total = Words.zeros(self.task.num_u32, self.task.num_u64)
                    for node in component:
                        total = add(total, stripped[node][0])
                    sums[round_id, frozenset(component)] = total
        return sums


def components(edges: dict[int, set[int]]) -> list[set[int]]:
    left, found = set(edges), []
    while left:
        component, frontier = set(), {left.pop()}
        while frontier:
            node = frontier.pop()
            component.add(node)
            frontier |= edges.get(node, set()) - component
        left -= component
        found.append(component)
    return found


def late_upload(federation, collecting, node: int, kit) -> None:
    """The upload reaches the server's network after the phase: it is not counted, but an attacker keeps it."""
    round_id = collecting.prepared.plan.cohort.round_id
    words = kit.vector(node, round_id, federation.task)
    federation.ask(node, "upload", collecting.requests()[node], words, kit.context)


def play(federation, kit, late: dict[int, int], num_rounds: int) -> dict[int, tuple[int, ...]]:
    """Rounds in which one client is late, and others fall silent after uploading; who was summed in each round."""
    alive = {}
    for _ in range(num_rounds):
        prepared = federation.server.prepared or federation.invite()
        round_id = prepared.plan.cohort.round_id
        tardy = late.get(round_id)
        drops = kit.Drops(upload=frozenset({tardy} if tardy else ()), reveal=frozenset({1 + round_id % 4}))
        collecting = federation.collect(drops)
        federation.admit(collecting)
        federation.server.advance()
        consenting = collecting.close()
        if tardy:
            late_upload(federation, collecting, tardy, kit)
        alive[round_id] = federation.reveal(federation.consent(consenting, drops), drops).alive
    return alive


@pytest.mark.parametrize("on_ring", [False, True])
def test_no_single_update_of_any_round_can_be_rebuilt(kit, on_ring) -> None:
    if on_ring:
        federation, accomplices, late = kit.sparse(70, 12, 8), {5, 12, 23, 34, 45, 56, 67}, {1: 8, 2: 9, 3: 60}
    else:
        federation = kit.complete(9, parameters=lambda n: Parameters(n - 1, 5))
        accomplices, late = {2, 5, 7, 9}, {1: 8, 2: 6}
    threshold = federation.parameters(len(federation.nodes)).threshold
    assert len(accomplices) == threshold - 1
    alive = play(federation, kit, late, num_rounds=3 if on_ring else 4)
    attacker = Attacker(federation, accomplices)
    honest_uploads = [key for key in attacker.uploads if key[1] not in accomplices]
    assert len(honest_uploads) >= 3 * (len(federation.nodes) - 8)
    for round_id, node in honest_uploads:
        words, self_mask_left, unknown = attacker.strip(round_id, node)
        assert self_mask_left or unknown
        assert not kit.same(words, kit.vector(node, round_id, federation.task))
    # What it does open is exactly each round's sum over the living, less its accomplices' own vectors.
    opened = attacker.opened()
    assert set(opened) == {(r, frozenset(set(nodes) - accomplices)) for r, nodes in alive.items()}
    for (round_id, summands), total in opened.items():
        assert kit.same(total, federation.truth(summands, round_id))
        assert len(summands) >= 2


def test_late_upload_of_a_client_declared_dead_stays_behind_its_self_mask(kit) -> None:
    federation = kit.complete(9, parameters=lambda n: Parameters(n - 1, 5))
    play(federation, kit, {1: 8}, num_rounds=1)
    _, self_mask_left, unknown = Attacker(federation, {2, 5, 7, 9}).strip(1, 8)
    assert self_mask_left
    assert unknown == set()  # its mask key was revealed: nothing else is left


def test_attacker_opens_single_updates_with_one_accomplice_more(kit) -> None:
    federation = kit.complete(9, parameters=lambda n: Parameters(n - 1, 5))
    play(federation, kit, {1: 8}, num_rounds=1)
    attacker = Attacker(federation, {2, 5, 7, 9, 4})
    for node in (1, 3, 6, 8):
        assert kit.same(attacker.strip(1, node)[0], kit.vector(node, 1, federation.task))


class RunLongKeys:
    """The mistake that the protocol avoids: one mask key for the whole run."""

    owner = 0
    from_secret = staticmethod(Agreement.from_secret)

    @classmethod
    def generate(cls) -> Agreement:
        return Agreement.from_secret(hashlib.sha256(b"run-long key %d" % cls.owner).digest())


def test_attacker_opens_earlier_rounds_where_the_mask_key_is_run_long(kit, monkeypatch) -> None:
    federation = kit.complete(9, parameters=lambda n: Parameters(n - 1, 5))
    ask = federation.ask

    def ask_as(node, *message):
        RunLongKeys.owner = node
        return ask(node, *message)

    federation.ask = ask_as
    monkeypatch.setattr(client_module, "Agreement", RunLongKeys)
    play(federation, kit, {3: 8}, num_rounds=3)
    attacker = Attacker(federation, accomplices=set())
    # Client 8 dropped in round 3, which revealed its mask key; its self masks of rounds 1 and 2 were opened
    # then.
    for round_id in (1, 2):
        assert kit.same(attacker.strip(round_id, 8)[0], kit.vector(8, round_id, federation.task))
    assert (1, frozenset({8})) in attacker.opened()
