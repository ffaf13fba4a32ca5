"""A federation in one process: every client, the server, and everything that passed between them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from fedrec.contribution import Words, add
from fedrec.privacy.secagg.client import ClientRunState
from fedrec.privacy.secagg.graph import Assumptions, Parameters, choose
from fedrec.privacy.secagg.keys import Identity
from fedrec.privacy.secagg.party import Party
from fedrec.privacy.secagg.pipeline import Pipeline
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Member, Roster
from fedrec.privacy.secagg.round_messages import Task
from fedrec.privacy.secagg.server import Aggregate, Collecting, Consenting, Revealing
from fedrec.privacy.secagg.server_setup import Prepared
from fedrec.privacy.secagg.wire import Kind, peek
from fedrec.rng import derive

RUN = bytes(range(16))
CONTEXT = hashlib.sha256(b"the model of this round").digest()
SMALL_TASK = Task(5, 3, 1.0)
OPEN_POLICY = Policy(min_cohort=2, min_degree=2, min_threshold=0.51)


def identity(node: int) -> Identity:
    return Identity.from_secret(hashlib.sha256(b"identity %d" % node).digest())


def roster(nodes: Iterable[int]) -> Roster:
    return Roster(tuple(Member(node, identity(node).public, f"tenant-{node}") for node in nodes))


def vector(node: int, round_id: int, task: Task) -> Words:
    """The words of one client in one round: uniform, so that a wrong sum cannot look right."""
    rng = derive(7, "vector", node, round_id)
    return Words(
        rng.integers(0, 1 << 32, task.num_u32, dtype=np.uint32),
        rng.integers(0, 1 << 64, task.num_u64, dtype=np.uint64),
    )


@dataclass
class Drops:
    """Who falls silent in which phase."""

    advertise: frozenset[int] = frozenset()
    share: frozenset[int] = frozenset()
    upload: frozenset[int] = frozenset()
    consent: frozenset[int] = frozenset()
    reveal: frozenset[int] = frozenset()


@dataclass
class Federation:
    nodes: tuple[int, ...]
    policy: Policy = OPEN_POLICY
    parameters: Callable[[int], Parameters] = lambda n: choose(n, Assumptions())
    task: Task = SMALL_TASK
    clients: dict[int, ClientRunState] = field(init=False)
    server: Pipeline = field(init=False)
    received: list[bytes] = field(default_factory=list)  # all that the server ever got
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    states: dict[int, list[ClientRunState]] = field(default_factory=dict)  # all that each client ever held

    def __post_init__(self) -> None:
        members = roster(self.nodes)
        self.clients = {
            node: ClientRunState.start(Party(identity(node), node, members, self.policy, RUN)) for node in self.nodes
        }
        self.server = Pipeline(RUN, members, self.parameters)

    def ask(self, node: int, step: str, message: bytes, *work: object) -> bytes:
        """One client's step, with its state stored and restored as between two processes."""
        client = ClientRunState.from_bytes(self.clients[node].to_bytes(), self.clients[node].party)
        self.clients[node], reply = getattr(client, step)(message, *work)
        self.sent.append((node, message))
        self.received.append(reply)
        self.states.setdefault(node, []).append(self.clients[node])
        return reply

    def invite(self, drops: Drops | None = None, nodes: Iterable[int] | None = None) -> Prepared:
        drops = drops or Drops()
        for message in self.server.invite():
            for node in sorted(set(self.nodes if nodes is None else nodes) - drops.advertise):
                self.server.receive(self.ask(node, "advertise", message), node)
        for node, message in self.server.share().items():
            if node not in drops.share:
                self.server.receive(self.ask(node, "share", message), node)
        self.server.prepare()
        assert self.server.prepared is not None
        return self.server.prepared

    def collect(self, drops: Drops | None = None, last: bool = False) -> Collecting:
        drops = drops or Drops()
        collecting = self.server.collect(self.task, last)
        for node, message in collecting.requests().items():
            if node not in drops.upload:
                words = vector(node, collecting.prepared.plan.cohort.round_id, self.task)
                self.server.receive_upload(collecting, self.ask(node, "upload", message, words, CONTEXT), node)
        return collecting

    def admit(self, collecting: Collecting) -> None:
        """Lets everyone outside the round join later ones."""
        for node, messages in self.server.admissions(collecting, self.nodes).items():
            for message in messages:
                step = {Kind.COHORT: "share", Kind.ADVERTISE: "advertise"}[peek(message, 1 << 20).kind]
                self.server.receive(self.ask(node, step, message), node)

    def consent(self, consenting: Consenting, drops: Drops | None = None) -> Revealing:
        for node in sorted(consenting.nodes - (drops or Drops()).consent):
            consenting.receive(self.ask(node, "consent", consenting.request()), node)
        return consenting.close()

    def reveal(self, revealing: Revealing, drops: Drops | None = None) -> Aggregate:
        for node, message in revealing.requests().items():
            if node not in (drops or Drops()).reveal:
                revealing.receive(self.ask(node, "reveal", message), node)
        return revealing.close()

    def round(self, drops: Drops | None = None, last: bool = False) -> Aggregate:
        """One round from wherever the pipeline stands; an invitation first where it has nothing prepared."""
        if self.server.prepared is None:
            self.invite(drops)
        collecting = self.collect(drops, last)
        if not last:
            self.admit(collecting)
        self.server.advance()
        return self.reveal(self.consent(collecting.close(), drops), drops)

    def truth(self, alive: Iterable[int], round_id: int) -> Words:
        total = Words.zeros(self.task.num_u32, self.task.num_u64)
        for node in alive:
            total = add(total, vector(node, round_id, self.task))
        return total


def same(left: Words, right: Words) -> bool:
    return bool(np.array_equal(left.u32, right.u32) and np.array_equal(left.u64, right.u64))


@dataclass(frozen=True)
class Kit:
    """What the tests share. Tests are imported without packages, so it comes as a fixture."""

    Federation: type[Federation] = Federation
    Drops: type[Drops] = Drops
    run: bytes = RUN
    context: bytes = CONTEXT
    policy: Policy = OPEN_POLICY

    def sparse(self, num_clients: int = 70, degree: int = 12, threshold: int = 8, **fields: object) -> Federation:
        """A federation on a ring."""
        return Federation(
            tuple(range(1, num_clients + 1)), parameters=lambda n: Parameters(degree, threshold), **fields
        )

    def complete(self, num_clients: int = 6, **fields: object) -> Federation:
        """A federation where everyone neighbours everyone."""
        return Federation(tuple(range(1, num_clients + 1)), **fields)

    def identity(self, node: int) -> Identity:
        return identity(node)

    def roster(self, nodes: Iterable[int]) -> Roster:
        return roster(nodes)

    def vector(self, node: int, round_id: int, task: Task) -> Words:
        return vector(node, round_id, task)

    def same(self, left: Words, right: Words) -> bool:
        return same(left, right)

    def strict(self, **limits: object) -> Policy:
        return replace(OPEN_POLICY, **limits)


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()
