"""Clients and server of secure aggregation in one process, without any transport, with the CPU seconds of each."""

from __future__ import annotations

import gc
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from fedrec.contribution import Words
from fedrec.privacy.secagg.client import ClientRunState
from fedrec.privacy.secagg.graph import Parameters
from fedrec.privacy.secagg.keys import Identity
from fedrec.privacy.secagg.party import Party
from fedrec.privacy.secagg.pipeline import Pipeline
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Member, Roster
from fedrec.privacy.secagg.round_messages import Task
from fedrec.privacy.secagg.server import Aggregate, Collecting, Consenting, Revealing
from fedrec.privacy.secagg.wire import Kind, peek

RUN = bytes(16)
CONTEXT = bytes(32)
POLICY = Policy(min_cohort=2, min_degree=2, min_threshold=0.51)
STEPS = {Kind.COHORT: "share", Kind.ADVERTISE: "advertise"}
NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Silent:
    """Who does not answer, by phase: node numbers."""

    advertise: frozenset[int] = NOBODY
    share: frozenset[int] = NOBODY
    upload: frozenset[int] = NOBODY
    consent: frozenset[int] = NOBODY
    reveal: frozenset[int] = NOBODY


@dataclass
class Federation:
    """Nodes 1..num_clients.

    stored: each client's state becomes bytes and is read back between two messages, as it does where every message
    starts a process. client_s, client_bytes: by node, CPU seconds and bytes sent; server_s: by phase.
    """

    num_clients: int
    parameters: Callable[[int], Parameters]
    task: Task
    stored: bool = True
    client_s: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    client_bytes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    server_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __post_init__(self) -> None:
        self.nodes = range(1, self.num_clients + 1)
        identities = {node: Identity.from_secret(hashlib.sha256(b"%d" % node).digest()) for node in self.nodes}
        roster = Roster(tuple(Member(node, key.public, f"n{node}") for node, key in identities.items()))
        self.clients = {
            node: ClientRunState.start(Party(key, node, roster, POLICY, RUN)) for node, key in identities.items()
        }
        self.server = Pipeline(RUN, roster, self.parameters)

    def forget_costs(self) -> None:
        """Count from zero."""
        self.client_s.clear()
        self.client_bytes.clear()
        self.server_s.clear()

    def ask(self, node: int, step: str, message: bytes, *work: object) -> bytes:
        """One client's step, on the client's account."""
        started = time.process_time()
        client = self.clients[node]
        if self.stored:
            client = ClientRunState.from_bytes(client.to_bytes(), client.party)
        self.clients[node], reply = getattr(client, step)(message, *work)
        self.client_s[node] += time.process_time() - started
        self.client_bytes[node] += len(reply)
        return bytes(reply)

    def invite(self, silent: Silent) -> None:
        """The two extra phases before a first round. Raises RoundFailed if too few answer."""
        for request in self.server.invite():
            for node in self.nodes:
                if node not in silent.advertise:
                    self.server.receive(self.ask(node, "advertise", request), node)
        for node, request in self.server.share().items():
            if node not in silent.share:
                self.server.receive(self.ask(node, "share", request), node)
        self.server.prepare()

    def round(self, words: Callable[[int], Words], silent: Silent, returning: frozenset[int] = NOBODY) -> Aggregate:
        """One prepared round. returning: those outside it who ask to join a later one.

        Raises:
            RoundFailed: too few answered one of the phases.
        """
        with self._at_server("requests"):
            collecting = self.server.collect(self.task)
        self._collect(collecting, words, silent)
        self._admit(collecting, returning)
        with self._at_server("next rounds"):
            self.server.advance()
        with self._at_server("requests"):
            consenting = collecting.close()
        revealing = self._consent(consenting, silent)
        return self._reveal(revealing, silent)

    def _collect(self, collecting: Collecting, words: Callable[[int], Words], silent: Silent) -> None:
        with self._at_server("requests"):
            requests = collecting.requests()
        # All answer before the server reads, as they do on machines of their own: its caches stay its own.
        uploads = {
            node: self.ask(node, "upload", request, words(node), CONTEXT)
            for node, request in requests.items()
            if node not in silent.upload
        }
        with self._at_server("uploads"):
            for node, upload in uploads.items():
                self.server.receive_upload(collecting, upload, node)

    def _admit(self, collecting: Collecting, returning: frozenset[int]) -> None:
        for node, requests in self.server.admissions(collecting, returning).items():
            for request in requests:
                self.server.receive(self.ask(node, STEPS[peek(request, len(request)).kind], request), node)

    def _consent(self, consenting: Consenting, silent: Silent) -> Revealing:
        with self._at_server("requests"):
            request = consenting.request()
        consents = {node: self.ask(node, "consent", request) for node in consenting.nodes - silent.consent}
        with self._at_server("consents"):
            for node, consent in consents.items():
                consenting.receive(consent, node)
            return consenting.close()

    def _reveal(self, revealing: Revealing, silent: Silent) -> Aggregate:
        with self._at_server("requests"):
            requests = revealing.requests()
        reveals = {
            node: self.ask(node, "reveal", request) for node, request in requests.items() if node not in silent.reveal
        }
        with self._at_server("reveals"):
            for node, reveal in reveals.items():
                revealing.receive(reveal, node)
        with self._at_server("unmasking"):
            return revealing.close()

    @contextmanager
    def _at_server(self, phase: str) -> Iterator[None]:
        with others_frozen():
            started = time.process_time()
            try:
                yield
            finally:
                self.server_s[phase] += time.process_time() - started


@contextmanager
def others_frozen() -> Iterator[None]:
    """Inside, Python's collector does not walk through what was there before: a server has no clients in its memory."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def random_words(rng: np.random.Generator, task: Task) -> Words:
    """Uniform words, so that a wrong sum cannot look right."""
    return Words(
        rng.integers(0, 1 << 32, task.num_u32, dtype=np.uint32),
        rng.integers(0, 1 << 64, task.num_u64, dtype=np.uint64),
    )


def wrong_words(federation: Federation, words: Callable[[int], Words], aggregate: Aggregate) -> int:
    """How many coordinates of a sum differ from the sum of what the living sent."""
    total = Words.zeros(federation.task.num_u32, federation.task.num_u64)
    for node in aggregate.alive:
        own = words(node)
        np.add(total.u32, own.u32, out=total.u32)
        np.add(total.u64, own.u64, out=total.u64)
    opened = aggregate.total
    return int(np.count_nonzero(total.u32 != opened.u32) + np.count_nonzero(total.u64 != opened.u64))
