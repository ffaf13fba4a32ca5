"""The messages that prepare a round: adverts, the cohort made of them, and the sealed shares.

| message   | from   | behind the header                                                                       |
|-----------|--------|-----------------------------------------------------------------------------------------|
| advertise | server | nothing: the round to advertise for is the header's                                     |
| advert    | client | advert (152)                                                                            |
| cohort    | server | roster digest (32), degree u16, threshold u16, count u32, count x advert (152)          |
| shares    | client | commitment (32), count u32, count x (holder u64, sealed (94))                           |

advert (152): node u64, round u64, since u64, transport key (32), mask key (32), signature (64).
sealed (94): nonce (12), then under AES-128-GCM, tag (16) included: share of the self-mask secret (33), share of the
mask key (33). Header and number formats are those of `wire`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrec.privacy.secagg.keys import (
    KEY_BYTES,
    LABEL_ADVERT,
    LABEL_COMMITMENT,
    LABEL_ROUND,
    SEAL_OVERHEAD,
    SIGNATURE_BYTES,
    hkdf,
)
from fedrec.privacy.secagg.shares import SHARE_BYTES
from fedrec.privacy.secagg.wire import VERSION, Header, Kind, Octets, Reader, Records, open_message

DIGEST_BYTES = 32
SEALED_BYTES = SEAL_OVERHEAD + 2 * SHARE_BYTES

ADVERT = np.dtype(
    [
        ("node", "<u8"),
        ("round", "<u8"),
        ("since", "<u8"),
        ("transport", f"V{KEY_BYTES}"),
        ("mask", f"V{KEY_BYTES}"),
        ("signature", f"V{SIGNATURE_BYTES}"),
    ]
)
SEALED = np.dtype([("node", "<u8"), ("sealed", f"V{SEALED_BYTES}")])


@dataclass(frozen=True)
class Advert:
    """The keys of one client for one round. `since` is the round in which its transport key was made."""

    node: int
    round_id: int
    since: int
    transport: bytes
    mask: bytes
    signature: bytes

    @classmethod
    def of(cls, record: Any) -> Advert:
        """The advert in a record of type `ADVERT`."""
        node, round_id, since, transport, mask, signature = record.item()
        return cls(node, round_id, since, bytes(transport), bytes(mask), bytes(signature))

    def pack(self) -> bytes:
        """152 bytes, laid out as `ADVERT`."""
        numbers = b"".join(n.to_bytes(8, "little") for n in (self.node, self.round_id, self.since))
        return numbers + self.transport + self.mask + self.signature

    def statement(self, run: bytes, roster_digest: bytes) -> bytes:
        """What the identity key signs: version, run, roster, and the advert without its signature."""
        return LABEL_ADVERT + bytes([VERSION]) + run + roster_digest + self.pack()[:-SIGNATURE_BYTES]


def commitment(secret: bytes, round_id: int, node: int) -> bytes:
    """What tells a rebuilt self-mask secret from a wrong one, and nothing about it beforehand."""
    return hkdf(secret, LABEL_COMMITMENT, round_id.to_bytes(8, "little") + node.to_bytes(8, "little"))


def pack_advertise(run: bytes, round_id: int) -> bytes:
    """The request for an advert."""
    return Header(Kind.ADVERTISE, run, round_id, 0).pack()


def parse_advertise(message: Octets, max_bytes: int) -> Header:
    """The request for an advert."""
    header, reader = open_message(message, max_bytes, Kind.ADVERTISE)
    reader.end()
    return header


def pack_advert(run: bytes, advert: Advert) -> bytes:
    """An advert as a message of its own."""
    return Header(Kind.ADVERT, run, advert.round_id, advert.node).pack() + advert.pack()


def parse_advert(message: Octets, max_bytes: int) -> tuple[Header, Advert]:
    """An advert; neither its signature nor that it is its sender's is checked here."""
    header, reader = open_message(message, max_bytes, Kind.ADVERT)
    record = np.frombuffer(reader.take(ADVERT.itemsize), ADVERT)[0]
    reader.end()
    return header, Advert.of(record)


@dataclass(frozen=True, eq=False)
class Cohort:
    """Everybody's adverts for a round, by ascending node, and the parameters of its graph."""

    run: bytes
    round_id: int
    roster_digest: bytes
    degree: int
    threshold: int
    adverts: Records

    def pack(self) -> bytes:
        """The message."""
        return b"".join(
            (
                Header(Kind.COHORT, self.run, self.round_id, 0).pack(),
                self.roster_digest,
                self.degree.to_bytes(2, "little"),
                self.threshold.to_bytes(2, "little"),
                len(self.adverts).to_bytes(4, "little"),
                self.adverts.tobytes(),
            )
        )

    @classmethod
    def parse(cls, message: Octets, max_bytes: int) -> Cohort:
        """The message; nodes ascend, nothing else of the content is checked."""
        header, reader = open_message(message, max_bytes, Kind.COHORT)
        roster_digest, degree, threshold = reader.raw(DIGEST_BYTES), reader.integer(2), reader.integer(2)
        adverts = reader.records(ADVERT)
        reader.end()
        return cls(header.run, header.round_id, roster_digest, degree, threshold, adverts)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The clients, ascending."""
        return tuple(self.adverts["node"].tolist())

    def digest(self) -> bytes:
        """32 bytes that bind version, run, round, roster, parameters and all signed adverts."""
        return hkdf(self.pack(), LABEL_ROUND, b"")


@dataclass(frozen=True, eq=False)
class Shares:
    """One client's sealed shares for its neighbours, and the commitment to its self-mask secret."""

    run: bytes
    round_id: int
    sender: int
    commitment: bytes
    sealed: dict[int, bytes]

    def pack(self) -> bytes:
        """The message."""
        header = Header(Kind.SHARES, self.run, self.round_id, self.sender).pack()
        return header + self.commitment + pack_sealed(self.sealed)

    @classmethod
    def parse(cls, message: Octets, max_bytes: int) -> Shares:
        """The message; who the receivers are is not checked here."""
        header, reader = open_message(message, max_bytes, Kind.SHARES)
        committed = reader.raw(DIGEST_BYTES)
        sealed = parse_sealed(reader)
        reader.end()
        return cls(header.run, header.round_id, header.sender, committed, sealed)


def pack_sealed(sealed: dict[int, bytes]) -> bytes:
    """Sealed shares with the node at the other end, ascending."""
    items = [node.to_bytes(8, "little") + sealed[node] for node in sorted(sealed)]
    return len(items).to_bytes(4, "little") + b"".join(items)


def parse_sealed(reader: Reader) -> dict[int, bytes]:
    """Sealed shares with the node at the other end."""
    return dict(reader.records(SEALED).tolist())
