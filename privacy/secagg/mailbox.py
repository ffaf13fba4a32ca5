"""The server's side of one phase: who may still answer, and that nobody answers twice."""

from __future__ import annotations

from collections.abc import Iterable

from fedrec.errors import Refusal
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.wire import Header, Kind, Octets, Reader


class Mailbox:
    """Admits one message of each expected node, for one run, round and kind."""

    def __init__(self, kind: Kind, run: bytes, round_id: int, nodes: Iterable[int], max_bytes: int) -> None:
        self.kind, self.run, self.round_id, self.max_bytes = kind, run, round_id, max_bytes
        self.waiting = set(nodes)
        self.answered: set[int] = set()
        self._closed = False

    def check(self, message: Octets, sender: int | None) -> Header:
        """The header of a message that may be read on. `sender` is the node as the transport knows it, if it does."""
        if self._closed:
            raise Refusal(Reason.STATE_USED, f"{self.kind.name.lower()} of round {self.round_id}: the phase is over")
        header = Reader(message, self.max_bytes).header()
        if header.kind is not self.kind:
            raise Refusal(Reason.WRONG_KIND, f"{header.kind.name.lower()}, not {self.kind.name.lower()}")
        if header.run != self.run:
            raise Refusal(Reason.WRONG_RUN, f"run {header.run.hex()}, not {self.run.hex()}")
        if header.round_id != self.round_id:
            raise Refusal(Reason.WRONG_ROUND, f"round {header.round_id}, not {self.round_id}")
        if sender is not None and sender != header.sender:
            raise Refusal(Reason.WRONG_SENDER, f"node {sender} answers as {header.sender}")
        if header.sender in self.answered:
            raise Refusal(Reason.DUPLICATE, f"node {header.sender} has answered this phase")
        if header.sender not in self.waiting:
            raise Refusal(Reason.UNKNOWN_NODE, f"node {header.sender} has no part in this phase")
        return header

    def mark(self, node: int) -> None:
        """Counts the message of `node`, which was found right."""
        self.waiting.discard(node)
        self.answered.add(node)

    def close(self) -> None:
        """Ends the phase. Raises Refusal (state-used) at the second call."""
        if self._closed:
            raise Refusal(Reason.STATE_USED, f"{self.kind.name.lower()} of round {self.round_id}: closed twice")
        self._closed = True
