"""The messages of a round: upload, survivors, consents and the reveal.

| message   | from   | behind the header                                                                       |
|-----------|--------|-----------------------------------------------------------------------------------------|
| collect   | server | num_u32 u32, num_u64 u32, bound f64, round to advertise for u64 (0: none),              |
|           |        | inbox: count u32, count x (dealer u64, sealed (94)); block: cohort of a later round     |
| upload    | client | block: shares of that later round; block: advert; num_u32 u32, num_u64 u32,             |
|           |        | zeros up to a multiple of 8, masked words: num_u32 of 32 bits, then num_u64 of 64       |
| survivors | server | count u32, alive bits, dead bits (bit i: the i-th client of the cohort; whole bytes)    |
| consent   | client | signature (64)                                                                          |
| unmask    | server | count u32, count x (node u64, signature (64))                                           |
| reveal    | client | count u32, count x (node u64, kind of secret u8, share (33))                            |

A block is its length u32 and a message of its own, or empty. Header and number formats are those of `wire`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from fedrec.contribution import Words
from fedrec.errors import ContributionError, Refusal
from fedrec.privacy.secagg.keys import LABEL_CONSENT, SIGNATURE_BYTES
from fedrec.privacy.secagg.reasons import Reason
from fedrec.privacy.secagg.setup_messages import pack_sealed, parse_sealed
from fedrec.privacy.secagg.shares import SHARE_BYTES
from fedrec.privacy.secagg.wire import VERSION, Header, Kind, Octets, Reader, open_message, pack_block

Bits = NDArray[np.bool_]

CONSENTED = np.dtype([("node", "<u8"), ("signature", f"V{SIGNATURE_BYTES}")])
REVEALED = np.dtype([("node", "<u8"), ("secret", "u1"), ("share", f"V{SHARE_BYTES}")])


@dataclass(frozen=True)
class Task:
    """What is summed: the length of both segments, and the bound of a coordinate that the server states."""

    num_u32: int
    num_u64: int
    bound: float

    @property
    def vector_bytes(self) -> int:
        """Bytes of one masked vector."""
        return 4 * self.num_u32 + 8 * self.num_u64

    def check(self, words: Words) -> None:
        """Raises ContributionError if the words are not of these lengths."""
        if (words.u32.size, words.u64.size) != (self.num_u32, self.num_u64):
            raise ContributionError(
                f"Expected {self.num_u32} words of 32 bits and {self.num_u64} of 64, got {words.u32.size} and "
                f"{words.u64.size}; encode for the task of this round."
            )

    def pack(self) -> bytes:
        """16 bytes."""
        lengths = self.num_u32.to_bytes(4, "little") + self.num_u64.to_bytes(4, "little")
        return lengths + struct.pack("<d", self.bound)

    @classmethod
    def read(cls, reader: Reader) -> Task:
        """The next 16 bytes."""
        return cls(reader.integer(4), reader.integer(4), reader.real())


@dataclass(frozen=True, eq=False)
class Collect:
    """The request to upload, with the neighbours' shares and, on board, what prepares later rounds."""

    run: bytes
    round_id: int
    task: Task
    inbox: dict[int, bytes]
    advertise: int = 0
    cohort: bytes = b""

    def pack(self) -> bytes:
        """The message."""
        return b"".join(
            (
                Header(Kind.COLLECT, self.run, self.round_id, 0).pack(),
                self.task.pack(),
                self.advertise.to_bytes(8, "little"),
                pack_sealed(self.inbox),
                pack_block(self.cohort),
            )
        )

    @classmethod
    def parse(cls, message: Octets, max_bytes: int) -> Collect:
        """The message; the cohort on board is left packed."""
        header, reader = open_message(message, max_bytes, Kind.COLLECT)
        task, advertise = Task.read(reader), reader.integer(8)
        inbox, cohort = parse_sealed(reader), reader.block()
        reader.end()
        return cls(header.run, header.round_id, task, inbox, advertise, cohort)


@dataclass(frozen=True, eq=False)
class Upload:
    """The masked vector and, on board, what prepares later rounds (messages of their own, or empty)."""

    run: bytes
    round_id: int
    sender: int
    words: Words
    shares: bytes = b""
    advert: bytes = b""

    def pack(self) -> bytes:
        """The message. The words start at a multiple of 8 bytes, so that the receiver can add them in place."""
        head = b"".join(
            (
                Header(Kind.UPLOAD, self.run, self.round_id, self.sender).pack(),
                pack_block(self.shares),
                pack_block(self.advert),
                self.words.u32.size.to_bytes(4, "little"),
                self.words.u64.size.to_bytes(4, "little"),
            )
        )
        words = (self.words.u32.astype("<u4", copy=False), self.words.u64.astype("<u8", copy=False))
        return b"".join((head, bytes(-len(head) % 8), *(segment.data.cast("B") for segment in words if segment.size)))

    @classmethod
    def parse(cls, message: Octets, max_bytes: int, task: Task) -> Upload:
        """The message, whose words are views of it. Refuses segments of other lengths than the task's."""
        header, reader = open_message(message, max_bytes, Kind.UPLOAD)
        shares, advert = reader.block(), reader.block()
        num_u32, num_u64 = reader.integer(4), reader.integer(4)
        if (num_u32, num_u64) != (task.num_u32, task.num_u64):
            raise Refusal(
                Reason.MALFORMED,
                f"segments of {num_u32} and {num_u64}, not {task.num_u32} and {task.num_u64}",
            )
        if any(reader.take(-reader.offset % 8)):
            raise Refusal(Reason.MALFORMED, "padding is not zero")
        u32 = np.frombuffer(reader.take(4 * num_u32), "<u4").astype(np.uint32, copy=False)
        u64 = np.frombuffer(reader.take(8 * num_u64), "<u8").astype(np.uint64, copy=False)
        reader.end()
        return cls(header.run, header.round_id, header.sender, Words(u32, u64), shares, advert)


@dataclass(frozen=True, eq=False)
class Survivors:
    """Which clients of the cohort uploaded (alive) and which only shared (dead), by position in it."""

    run: bytes
    round_id: int
    alive: Bits
    dead: Bits

    def body(self) -> bytes:
        """The part that is signed: count, alive bits, dead bits."""
        bits = (np.packbits(bits, bitorder="little").tobytes() for bits in (self.alive, self.dead))
        return len(self.alive).to_bytes(4, "little") + b"".join(bits)

    def statement(self, round_digest: bytes, task: Task, context: bytes) -> bytes:
        """What a client signs: the round, what was summed in it, and who survived.

        `context` (32 bytes) is the client's own digest of what it was told to compute, such as the model it
        was sent: clients that were sent different ones do not consent to one sum.
        """
        return LABEL_CONSENT + bytes([VERSION]) + round_digest + task.pack() + context + self.body()

    def pack(self) -> bytes:
        """The message."""
        return Header(Kind.SURVIVORS, self.run, self.round_id, 0).pack() + self.body()

    @classmethod
    def parse(cls, message: Octets, max_bytes: int) -> Survivors:
        """The message. Refuses set bits behind the last client."""
        header, reader = open_message(message, max_bytes, Kind.SURVIVORS)
        count = reader.integer(4)
        alive, dead = _bits(reader, count), _bits(reader, count)
        reader.end()
        return cls(header.run, header.round_id, alive, dead)


def _bits(reader: Reader, count: int) -> Bits:
    octets = np.frombuffer(reader.take((count + 7) // 8), np.uint8)
    bits = np.unpackbits(octets, bitorder="little")
    if bits[count:].any():
        raise Refusal(Reason.MALFORMED, "bits are set behind the last client")
    return bits[:count].astype(np.bool_)


@dataclass(frozen=True)
class Consent:
    """One client's signature under the survivors that it was shown."""

    run: bytes
    round_id: int
    sender: int
    signature: bytes

    def pack(self) -> bytes:
        """The message."""
        return Header(Kind.CONSENT, self.run, self.round_id, self.sender).pack() + self.signature

    @classmethod
    def parse(cls, message: Octets, max_bytes: int) -> Consent:
        """The message; the signature is not checked here."""
        header, reader = open_message(message, max_bytes, Kind.CONSENT)
        signature = reader.raw(SIGNATURE_BYTES)
        reader.end()
        return cls(header.run, header.round_id, header.sender, signature)


@dataclass(frozen=True, eq=False)
class Unmask:
    """The neighbours' consents, for a client to compare with its own before it reveals anything."""

    run: bytes
    round_id: int
    consents: dict[int, bytes]

    def pack(self) -> bytes:
        """The message."""
        items = [node.to_bytes(8, "little") + signature for node, signature in sorted(self.consents.items())]
        header = Header(Kind.UNMASK, self.run, self.round_id, 0).pack()
        return header + len(items).to_bytes(4, "little") + b"".join(items)

    @classmethod
    def parse(cls, message: Octets, max_bytes: int) -> Unmask:
        """The message; no signature is checked here."""
        header, reader = open_message(message, max_bytes, Kind.UNMASK)
        consents = dict(reader.records(CONSENTED).tolist())
        reader.end()
        return cls(header.run, header.round_id, consents)


class Secret(IntEnum):
    """Which of a client's two secrets a share belongs to."""

    SELF_MASK = 1  # revealed of the living
    MASK_KEY = 2  # revealed of the dead


SECRETS = {secret.value: secret for secret in Secret}


@dataclass(frozen=True, eq=False)
class Reveal:
    """One client's shares of its neighbours' secrets: one of each neighbour, never both."""

    run: bytes
    round_id: int
    sender: int
    shares: dict[int, tuple[Secret, bytes]]

    def pack(self) -> bytes:
        """The message."""
        items = [
            node.to_bytes(8, "little") + bytes([secret]) + share
            for node, (secret, share) in sorted(self.shares.items())
        ]
        header = Header(Kind.REVEAL, self.run, self.round_id, self.sender).pack()
        return header + len(items).to_bytes(4, "little") + b"".join(items)

    @classmethod
    def parse(cls, message: Octets, max_bytes: int) -> Reveal:
        """The message. Refuses an unknown kind of secret; of one client, it can hold one share only."""
        header, reader = open_message(message, max_bytes, Kind.REVEAL)
        records = reader.records(REVEALED)
        reader.end()
        items = records.tolist()
        if not {secret for _, secret, _ in items} <= SECRETS.keys():
            raise Refusal(Reason.MALFORMED, "a share of an unknown kind of secret")
        shares = {node: (SECRETS[secret], share) for node, secret, share in items}
        return cls(header.run, header.round_id, header.sender, shares)
