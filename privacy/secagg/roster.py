"""The roster: who may take part, and the identity key of each, pinned by every party for itself.

The file reaches a tenant by a way that the aggregation server does not control (a contract, a signed
repository, a phone call that compares `digest`). A server that could write it could be all the other clients.

    fedrec-roster 1
    # node  Ed25519 public key, 64 hexadecimal digits                                 name
    1       d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a          north
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fedrec.errors import ConfigError
from fedrec.privacy.secagg.keys import KEY_BYTES, LABEL_ROSTER

FIRST_LINE = "fedrec-roster 1"
MAX_MEMBERS = 1 << 16
MAX_FILE_BYTES = MAX_MEMBERS * 160


@dataclass(frozen=True)
class Member:
    """One line of the roster: a protocol node number (1..2^63 - 1), an identity key and a name for people."""

    node: int
    key: bytes
    name: str

    def __post_init__(self) -> None:
        if not 1 <= self.node < 1 << 63:
            raise ConfigError(f"Roster: expected a node number within 1..2^63 - 1, got {self.node}.")
        if len(self.key) != KEY_BYTES:
            raise ConfigError(f"Roster: expected a key of 32 bytes for node {self.node}, got {len(self.key)}.")
        if not self.name or len(self.name) > 64 or len(self.name.split()) != 1 or not self.name.isprintable():
            raise ConfigError(f"Roster: expected a name of 1..64 characters without spaces, got {self.name!r}.")


@dataclass(frozen=True)
class Roster:
    """The members, in ascending order of their node numbers."""

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        nodes = [member.node for member in self.members]
        if not 1 <= len(nodes) <= MAX_MEMBERS:
            raise ConfigError(f"Roster: expected 1..{MAX_MEMBERS} members, got {len(nodes)}.")
        if nodes != sorted(set(nodes)):
            raise ConfigError("Roster: expected node numbers to ascend without repeats; sort or correct the file.")
        for what in ("key", "name"):
            if len({getattr(member, what) for member in self.members}) != len(nodes):
                raise ConfigError(f"Roster: expected every {what} to differ; one party holds one line.")

    @cached_property
    def keys(self) -> Mapping[int, bytes]:
        """The identity key of each node."""
        return {member.node: member.key for member in self.members}

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that two parties compare to know that they hold the same roster."""
        state = hashlib.sha256(LABEL_ROSTER)
        for member in self.members:
            name = member.name.encode()
            state.update(member.node.to_bytes(8, "little") + member.key + len(name).to_bytes(2, "little") + name)
        return state.digest()

    def to_text(self) -> str:
        """The roster file."""
        lines = [f"{member.node} {member.key.hex()} {member.name}" for member in self.members]
        return "\n".join((FIRST_LINE, *lines, ""))

    @classmethod
    def from_text(cls, text: str) -> Roster:
        """Reads a roster file. Raises ConfigError naming the line that is wrong."""
        lines = text.splitlines() if len(text) <= MAX_FILE_BYTES else []
        if not lines or lines[0].strip() != FIRST_LINE:
            raise ConfigError(f"Roster: expected '{FIRST_LINE}' in the first line of at most {MAX_FILE_BYTES} bytes.")
        members = [
            _member(number, line)
            for number, line in enumerate(lines[1:], start=2)
            if line.strip() and not line.lstrip().startswith("#")
        ]
        return cls(tuple(members))


def _member(number: int, line: str) -> Member:
    fields = line.split()
    if len(fields) != 3 or not (fields[0].isascii() and fields[0].isdigit() and len(fields[0]) <= 19):
        raise ConfigError(f"Roster, line {number}: expected 'node key name', got {line[:80]!r}.")
    try:
        key = bytes.fromhex(fields[1])
    except ValueError as error:
        raise ConfigError(f"Roster, line {number}: expected a key of 64 hexadecimal digits.") from error
    return Member(int(fields[0]), key, fields[2])
