"""A Flower `Grid` on which every round is a secure sum: many instructions out, one summed reply back.

It wraps the grid that a ServerApp is given and is a grid itself, so whatever runs on Flower's message API runs on it,
Flower's strategies among them (see `SecureAggregation`). What the wrapped grid carries is public keys, encrypted shares
and masked vectors. The protocol is in docs/secagg.md; this file only carries its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from secrets import token_bytes
from typing import Any

import numpy as np
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedrec.contribution import Words
from fedrec.errors import ConfigError, ProtocolError, Refusal
from fedrec.messages import SECAGG, answer, expected, read_sealed, sealed, summed
from fedrec.privacy.secagg.graph import Assumptions, choose
from fedrec.privacy.secagg.pipeline import Pipeline
from fedrec.privacy.secagg.roster import Roster
from fedrec.privacy.secagg.round_messages import Task, Upload
from fedrec.privacy.secagg.server import Collecting
from fedrec.privacy.secagg.wire import RUN_BYTES, Kind, peek
from fedrec.strategies.updates import UpdateCodec

Listener = Callable[[str, Mapping[str, Any]], None]
Receive = Callable[[bytes, int | None], int]
NOBODY = 0  # no member of a roster has this number
SPECIMEN_WORDS, SHOWN_WORDS = 4096, 8


@dataclass(frozen=True, eq=False)
class Specimen:
    """The beginning of the first upload of a run, as the server sees it."""

    member: int
    words: NDArray[np.uint32]


class SecureGrid(Grid):
    """Sums securely over the nodes that the messages of one call go to.

    roster: the identity keys that the server knows; each client has its own copy and trusts only that. groups: sum over
    so many disjoint groups instead of all clients, one reply each; a client then hides among n / groups. codec: for
    apps that answer with arrays and metrics. listener: told of drops and refusals by name.
    """

    def __init__(
        self,
        grid: Grid,
        roster: Roster,
        assumptions: Assumptions | None = None,
        groups: int = 1,
        codec: UpdateCodec | None = None,
        listener: Listener = lambda event, fields: None,
    ) -> None:
        if groups < 1:
            raise ConfigError(f"Expected groups={groups} >= 1.")
        self._grid, self._codec, self._listener = grid, codec, listener
        self._assumptions = assumptions or Assumptions()
        self._pipelines = [self._pipeline(roster) for _ in range(groups)]
        self._received = 0  # bytes since the last sum
        self.wants_specimen = True
        self._member: dict[int, int] = {}  # Flower's node id -> number in the roster, as the node's signed advert says

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def set_run(self, run: Any) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Refused: a message that does not wait for its sum would be a plain one."""
        raise ProtocolError("A secure grid sends and receives in one call; use send_and_receive.")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise ProtocolError("A secure grid sends and receives in one call; use send_and_receive.")

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """One secure round a group: a single reply that holds the sum. Raises RoundFailed below the threshold."""
        sorted_messages = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        if not sorted_messages:
            return []
        groups = len(self._pipelines)
        replies = []
        for index, pipeline in enumerate(self._pipelines):
            members = sorted_messages[index::groups]
            replies.append(SecureRound(self, pipeline, members, timeout).run())
        return replies

    def task_of(self, message: Message) -> Task:
        """How long the masked vectors are."""
        if self._codec is None:
            return Task(*expected(message.content))
        encoding = self._codec.encoding(message.content)
        return Task(encoding.num_u32, encoding.num_u64, max(block.user_max for block in encoding.layout.blocks))

    def opened(self, words: Words, clients: int, source: Message) -> Message:
        """The reply that the caller gets for all replies."""
        content = answer(words) if self._codec is None else self._codec.decode(source.content, words)
        received, self._received = self._received, 0
        return summed(content, clients, received, source)

    def exchange(
        self, outgoing: Mapping[int, tuple[Message, list[bytes]]], timeout: float | None
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Send each node its message with protocol payloads; each node's own as they arrive. Refusals are reported."""
        messages = [_with_payloads(message, payloads) for message, payloads in outgoing.values()]
        silent = set(outgoing)
        for reply in self._grid.send_and_receive(messages, timeout=timeout):
            node = reply.metadata.src_node_id
            if node not in outgoing:
                continue  # Flower's own word, in its SuperLink's name, that a node is gone: that one is silent
            silent.discard(node)
            try:
                if reply.has_error():
                    raise Refusal("client-error", f"Flower error {reply.error.code}")
                payloads = read_sealed(reply.content)
            except Refusal as error:
                self.report("refused", node=node, reason=error.reason, detail=error.detail)
            except ProtocolError:
                self.report("refused", node=node, reason="malformed-reply", detail="")
            else:
                self._received += sum(map(len, payloads))
                yield node, payloads
        for node in sorted(silent):
            self.report("no-answer", node=node)

    def member_of(self, node: int) -> int | None:
        """The roster number of a Flower node, once it has advertised."""
        return self._member.get(node)

    def admit(self, node: int, member: int) -> None:
        """Note which member of the roster a Flower node is; it cannot become another one."""
        if self._member.setdefault(node, member) != member:
            raise Refusal("wrong-sender", f"node {node} advertised as two members of the roster")

    def show(self, specimen: Specimen, total: Words) -> None:
        """Tell, once a run, what one member's upload looked like at the largest coordinates of the sum."""
        self.wants_specimen = False
        opened = total.u32[: len(specimen.words)].astype(np.int64)
        largest = np.sort(np.argsort(-opened, kind="stable")[:SHOWN_WORDS])
        self.report(
            "server-view",
            member=specimen.member,
            coordinates=largest.tolist(),
            seen=specimen.words[largest].tolist(),
            total=opened[largest].tolist(),
        )

    def report(self, event: str, **fields: Any) -> None:
        """Tell the operator."""
        self._listener(event, fields)

    def _pipeline(self, roster: Roster) -> Pipeline:
        return Pipeline(token_bytes(RUN_BYTES), roster, lambda n: choose(n, self._assumptions))


class SecureRound:
    """One secure sum over the nodes of `messages`."""

    def __init__(self, grid: SecureGrid, pipeline: Pipeline, messages: list[Message], timeout: float | None) -> None:
        self._grid, self._pipeline, self._timeout = grid, pipeline, timeout
        self._messages = {message.metadata.dst_node_id: message for message in messages}
        self._specimen: Specimen | None = None

    def run(self) -> Message:
        """All phases. Raises RoundFailed if too few answered one of them; the next round starts clean."""
        source = next(iter(self._messages.values()))
        if self._needs_invitation():
            self._invite()
        collecting = self._pipeline.collect(self._grid.task_of(source))
        self._collect(collecting)
        consenting = collecting.close()
        survivors = consenting.request()
        self._small(dict.fromkeys(consenting.nodes, survivors), consenting.receive)
        revealing = consenting.close()
        self._small(revealing.requests(), revealing.receive)
        aggregate = revealing.close()
        cohort = collecting.prepared.plan.cohort
        self._grid.report(
            "secure-sum",
            cohort=len(cohort.nodes),
            degree=cohort.degree,
            threshold=cohort.threshold,
            alive=len(aggregate.alive),
            members=list(aggregate.alive),
            dropped=list(aggregate.dead),
        )
        if self._specimen is not None:
            self._grid.show(self._specimen, aggregate.total)
        return self._grid.opened(aggregate.total, len(aggregate.alive), source)

    def _needs_invitation(self) -> bool:
        """Nothing is prepared, or it was prepared with someone who is not asked now."""
        prepared = self._pipeline.prepared
        return prepared is None or not prepared.nodes <= {self._grid.member_of(node) for node in self._messages}

    def _invite(self) -> None:
        """The first round's two extra phases: adverts of two rounds, shares of the first."""
        requests = list(self._pipeline.invite())
        self._send({node: (_bare(message), requests) for node, message in self._messages.items()}, self._receive)
        self._small(self._pipeline.share(), self._receive)
        self._pipeline.prepare()

    def _collect(self, collecting: Collecting) -> None:
        """The one phase that carries vectors; newcomers are admitted on the way."""
        outgoing = {
            node: (self._messages[node], [payload]) for node, payload in self._addressed(collecting.requests()).items()
        }
        newcomers = self._newcomers(collecting, set(outgoing))
        self._send(outgoing | newcomers, lambda payload, sender: self._arrival(collecting, payload, sender))
        self._pipeline.advance()
        for refusal in self._pipeline.refused:
            self._grid.report("refused", reason=refusal.reason, detail=refusal.detail)
        self._pipeline.refused.clear()

    def _arrival(self, collecting: Collecting, payload: bytes, sender: int | None) -> int:
        """An upload, or what a newcomer sends."""
        if peek(payload, len(payload)).kind is not Kind.UPLOAD:
            return self._receive(payload, sender)
        member = self._pipeline.receive_upload(collecting, payload, sender)
        if self._specimen is None and self._grid.wants_specimen:
            words = Upload.parse(payload, len(payload), collecting.task).words
            self._specimen = Specimen(member, words.u32[:SPECIMEN_WORDS].copy())
        return member

    def _newcomers(self, collecting: Collecting, present: set[int]) -> dict[int, tuple[Message, list[bytes]]]:
        """Messages to those who are asked but not in the round, and join a later one: they advertise, and then deal
        their shares. They go out with the round's own, so that nobody waits for them longer than for an upload."""
        absent = {node: self._grid.member_of(node) for node in self._messages if node not in present}
        known = self._pipeline.admissions(collecting, [member for member in absent.values() if member is not None])
        adverts = self._pipeline.admissions(collecting, [NOBODY])[NOBODY]
        payloads = {node: list(adverts if member is None else known.get(member, ())) for node, member in absent.items()}
        return {node: (_bare(self._messages[node]), asked) for node, asked in payloads.items() if asked}

    def _small(self, requests: Mapping[int, bytes], receive: Receive) -> None:
        """A phase without vectors: member -> request, answers to `receive`."""
        addressed = self._addressed(requests)
        self._send({node: (_bare(self._messages[node]), [payload]) for node, payload in addressed.items()}, receive)

    def _addressed(self, requests: Mapping[int, bytes]) -> dict[int, bytes]:
        """Requests by Flower node instead of roster number; those of members who are not asked now are left out."""
        node_of = {self._grid.member_of(node): node for node in self._messages}
        return {node_of[member]: payload for member, payload in requests.items() if member in node_of}

    def _send(self, outgoing: Mapping[int, tuple[Message, list[bytes]]], receive: Receive) -> None:
        for node, payloads in self._grid.exchange(outgoing, self._timeout):
            for payload in payloads:
                self._accept(node, payload, receive)

    def _receive(self, payload: bytes, sender: int | None) -> int:
        return self._pipeline.receive(payload, sender)

    def _accept(self, node: int, payload: bytes, receive: Receive) -> None:
        try:
            self._grid.admit(node, receive(payload, self._grid.member_of(node)))
        except Refusal as error:
            self._grid.report("refused", node=node, reason=error.reason, detail=error.detail)


def _bare(message: Message) -> Message:
    """A message of the same kind to the same node without what the app would read."""
    return _like(message, RecordDict())


def _with_payloads(message: Message, payloads: list[bytes]) -> Message:
    return _like(message, RecordDict({**message.content, SECAGG: sealed(payloads)}))


def _like(message: Message, content: RecordDict) -> Message:
    meta = message.metadata
    return Message(content, dst_node_id=meta.dst_node_id, message_type=meta.message_type, group_id=meta.group_id)
