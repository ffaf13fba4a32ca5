"""The server's side of the release pipeline: replies in, one total out.

Each reply holds one client's words. They are added modulo the word size while they arrive, so the result depends on
neither order nor grouping, and a reply that another layer already summed (secure aggregation hands over exactly one)
is treated like any other. A client that failed or declined is counted, with its typed reason; below the quorum there
is no total.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from flwr.app import ConfigRecord, Message

from fedrec.contribution import Total, Words
from fedrec.errors import ProtocolError, Refusal, RoundFailed
from fedrec.messages import SUMMED, SUMMING_NODE, num_bytes, read_answer
from fedrec.privacy.fixed_point import add
from fedrec.privacy.release import Release


@dataclass(frozen=True)
class Quorum:
    """When a round counts: at least `min_clients` replies, and with `discard` not one failure."""

    min_clients: int
    on_failure: Literal["continue", "discard"] = "continue"


@dataclass(frozen=True)
class Summed:
    """A total, and what it cost."""

    total: Total
    failed: dict[str, str]
    bytes_up: int


def sum_replies(replies: Iterable[Message], release: Release, quorum: Quorum) -> Summed:
    """Add up all usable replies. Raises RoundFailed below the quorum."""
    words: Words | None = None
    clients, received, failed = 0, 0, {}
    for reply in replies:
        try:
            part, count, size = _words(reply)
            release.check(part)
        except ProtocolError as error:
            failed[str(reply.metadata.src_node_id)] = error.reason if isinstance(error, Refusal) else "malformed-reply"
            continue
        words = part if words is None else add(words, part)
        clients, received = clients + count, received + size
    if words is None or clients < quorum.min_clients or (failed and quorum.on_failure == "discard"):
        raise RoundFailed(_why(clients, failed, quorum))
    return Summed(release.open(words, clients), failed, received // clients)


def _words(reply: Message) -> tuple[Words, int, int]:
    """The words of a reply, of how many clients they are, and their bytes on the wire."""
    if reply.has_error():
        raise Refusal("client-error", f"Flower error {reply.error.code}")
    summed = reply.content.get(SUMMED)
    if summed is None:
        return read_answer(reply.content), 1, num_bytes(reply.content)
    if reply.metadata.src_node_id != SUMMING_NODE or not isinstance(summed, ConfigRecord):
        raise Refusal("forged-sum", f"node {reply.metadata.src_node_id} claims to be a sum of several clients")
    return read_answer(reply.content), int(str(summed["clients"])), int(str(summed["bytes"]))


def _why(clients: int, failed: dict[str, str], quorum: Quorum) -> str:
    reasons = ", ".join(f"node {node}: {reason}" for node, reason in failed.items()) or "no reply from the others"
    rule = " and no failure" if quorum.on_failure == "discard" else ""
    return (
        f"The round was discarded: {clients} usable replies, expected at least {quorum.min_clients}{rule} "
        f"({reasons}). Lower federation.min_tenants, or find out why clients fail."
    )
