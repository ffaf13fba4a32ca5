"""Whom a tenant was told to forget, so that their rows do not come back with the next rows from its database.

    <store>/forgotten/key   32 bytes in hexadecimal digits, made when the first user is forgotten. SECRET
    <store>/forgotten/ids   HMAC-SHA256 of each id under the key, one a line

The ids themselves are not kept. Who has both files can test whether somebody was forgotten, by trying ids; who has one
of them cannot.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedrec.client.incoming import FORGOTTEN
from fedrec.data import Dataset
from fedrec.errors import ConfigError, UnknownUser
from fedrec.files import write_bytes

KEY, IDS = "key", "ids"
_DIGITS = 64


@dataclass(frozen=True)
class Forgotten:
    """The forgotten users of the tenant in `store`."""

    store: Path

    def __contains__(self, user: str) -> bool:
        return bool(self._hashes()) and self._hash(user) in self._hashes()

    def add(self, user: str) -> None:
        """Keep the hash of a user's id."""
        if not self._path(KEY).exists():
            self._path(KEY).parent.mkdir(mode=0o700, exist_ok=True)
            write_bytes(self._path(KEY), secrets.token_hex(_DIGITS // 2).encode() + b"\n", mode=0o600)
        self._write(self._hashes() | {self._hash(user)})

    def without(self, rows: Dataset, readmit: Sequence[str] = ()) -> tuple[Dataset | None, int]:
        """The rows of all others, None if there are none, and how many were left out. readmit: users who may stay.

        Raises UnknownUser if one of `readmit` was not forgotten.
        """
        for user in readmit:
            self._check(user)
        hashes = self._hashes()
        if not hashes:
            return rows, 0
        gone = np.array([user not in readmit and self._hash(user) in hashes for user in rows.interactions.user_ids])
        out = gone[rows.interactions.users]
        if out.all():
            return None, int(out.sum())
        return (rows.select_events(~out) if out.any() else rows), int(out.sum())

    def readmit(self, users: Sequence[str]) -> None:
        """Let users back. Raises UnknownUser if one was not forgotten."""
        for user in users:
            self._check(user)
        if users:
            self._write(self._hashes() - {self._hash(user) for user in users})

    def _check(self, user: str) -> None:
        if user not in self:
            raise UnknownUser(f"{user!r} was not forgotten here, or was readmitted; leave out --readmit.")

    def _hashes(self) -> frozenset[str]:
        path = self._path(IDS)
        try:
            return frozenset(path.read_text(encoding="ascii").split()) if path.exists() else frozenset()
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error!r}; restore it.") from error

    def _write(self, hashes: frozenset[str]) -> None:
        write_bytes(self._path(IDS), "".join(f"{one}\n" for one in sorted(hashes)).encode(), mode=0o600)

    def _hash(self, user: str) -> str:
        return hmac.new(self._key(), user.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def _key(self) -> bytes:
        """Raises ConfigError without it: nothing is let in while nobody can tell who was forgotten."""
        path = self._path(KEY)
        try:
            text = path.read_text(encoding="ascii").strip()
            if len(text) != _DIGITS:
                raise ValueError(f"{len(text)} digits")
            return bytes.fromhex(text)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} is not a key of {_DIGITS} hexadecimal digits; restore it.") from error

    def _path(self, name: str) -> Path:
        return self.store / FORGOTTEN / name
