"""How bytes become fields: a versioned header, fixed-width little-endian fields, length-prefixed blocks.

Everything that arrives is hostile. A message longer than the receiver's stated maximum is refused before a
field is read; a count is compared with the bytes that are left before anything is allocated for it; a message
must end with its last field. Nothing but `Refusal` leaves a parser.

    header, 40 bytes: "fsa1", version u8, kind u8, zero u16, run (16), round u64, sender u64 (0: the server)

A number in brackets is a field of so many bytes; f64 is an IEEE 754 double; everything is little-endian.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import Refusal
from fedrec.privacy.secagg.reasons import Reason

MAGIC = b"fsa1"
VERSION = 1
RUN_BYTES = 16
SERVER = 0
HEADER = struct.Struct("<4sBBH16sQQ")
MAX_ROUND = (1 << 63) - 1

Octets = bytes | bytearray | memoryview
Records = NDArray[Any]


class Kind(IntEnum):
    """The messages of the protocol, in the order of a round."""

    ADVERTISE = 1
    ADVERT = 2
    COHORT = 3
    SHARES = 4
    COLLECT = 5
    UPLOAD = 6
    SURVIVORS = 7
    CONSENT = 8
    UNMASK = 9
    REVEAL = 10


KINDS = {kind.value: kind for kind in Kind}
FROM_SERVER = frozenset({Kind.ADVERTISE, Kind.COHORT, Kind.COLLECT, Kind.SURVIVORS, Kind.UNMASK})


@dataclass(frozen=True)
class Header:
    """Where a message belongs."""

    kind: Kind
    run: bytes
    round_id: int
    sender: int

    def pack(self) -> bytes:
        """The first 40 bytes of the message."""
        return HEADER.pack(MAGIC, VERSION, self.kind, 0, self.run, self.round_id, self.sender)


class Reader:
    """Takes the fields of one message, in order, without copying it."""

    def __init__(self, message: Octets, max_bytes: int) -> None:
        view = memoryview(message)
        if view.nbytes > max_bytes:
            raise Refusal(Reason.OVERSIZED, f"a message of {view.nbytes} bytes, the receiver reads {max_bytes}")
        self._view = view.cast("B")
        self.offset = 0

    @property
    def remaining(self) -> int:
        """Bytes not yet taken."""
        return len(self._view) - self.offset

    def take(self, num_bytes: int) -> memoryview:
        """The next bytes, as a view."""
        if num_bytes > self.remaining:
            raise Refusal(Reason.TRUNCATED, f"{num_bytes} bytes announced at {self.offset}, {self.remaining} are left")
        view = self._view[self.offset : self.offset + num_bytes]
        self.offset += num_bytes
        return view

    def raw(self, num_bytes: int) -> bytes:
        """The next bytes, copied."""
        return bytes(self.take(num_bytes))

    def integer(self, num_bytes: int) -> int:
        """An unsigned little-endian integer."""
        return int.from_bytes(self.take(num_bytes), "little")

    def real(self) -> float:
        """A finite IEEE 754 double."""
        value: float = struct.unpack("<d", self.take(8))[0]
        if not math.isfinite(value):
            raise Refusal(Reason.MALFORMED, "a real field is not finite")
        return value

    def block(self) -> bytes:
        """A block behind its 32-bit length."""
        return self.raw(self.integer(4))

    def records(self, dtype: np.dtype[Any]) -> Records:
        """A 32-bit count and as many records, as a view. Their field `node` must ascend strictly."""
        count = self.integer(4)
        if count * dtype.itemsize > self.remaining:
            raise Refusal(Reason.TRUNCATED, f"{count} records announced, {self.remaining} bytes are left")
        records = np.frombuffer(self.take(count * dtype.itemsize), dtype)
        if not np.all(records["node"][:-1] < records["node"][1:]):
            raise Refusal(Reason.DUPLICATE, "the nodes of the records do not ascend strictly")
        return records

    def end(self) -> None:
        """Refuses a message that goes on."""
        if self.remaining:
            raise Refusal(Reason.TRAILING_BYTES, f"{self.remaining} bytes behind the last field")

    def header(self) -> Header:
        """The header. Refuses another protocol, version or an unknown kind."""
        magic, version, kind, zero, run, round_id, sender = HEADER.unpack(self.take(HEADER.size))
        if magic != MAGIC or zero != 0:
            raise Refusal(Reason.MALFORMED, "not a secure aggregation message")
        if version != VERSION:
            raise Refusal(Reason.WRONG_VERSION, f"version {version}, this party speaks {VERSION}")
        if kind not in KINDS or round_id > MAX_ROUND:
            raise Refusal(Reason.MALFORMED, f"kind {kind}, round {round_id}")
        return Header(KINDS[kind], run, round_id, sender)


def peek(message: Octets, max_bytes: int) -> Header:
    """The header of a message, of which nothing else is read."""
    return Reader(message, max_bytes).header()


def open_message(message: Octets, max_bytes: int, kind: Kind) -> tuple[Header, Reader]:
    """The header, which must be of `kind` and, for what a server sends, the server's; and the reader behind it."""
    reader = Reader(message, max_bytes)
    header = reader.header()
    if header.kind is not kind:
        raise Refusal(Reason.WRONG_KIND, f"{header.kind.name.lower()} where {kind.name.lower()} is expected")
    if kind in FROM_SERVER and header.sender != SERVER:
        raise Refusal(Reason.WRONG_SENDER, f"{kind.name.lower()} of node {header.sender}, not of the server")
    return header, reader


def pack_block(block: bytes) -> bytes:
    """A block behind its 32-bit length."""
    return len(block).to_bytes(4, "little") + block
