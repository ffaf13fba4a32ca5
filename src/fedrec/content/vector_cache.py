"""Vectors on disk by the hash of what they describe, so that nothing is encoded twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedrec.errors import ModelError
from fedrec.models.protocols import Float32Array

KEYS_AT_A_TIME = 500
WAIT_S = 60.0  # for another process that is writing


@dataclass(frozen=True)
class VectorCache:
    """An SQLite file. Several processes may use it at once; losing it costs time and nothing else.

    width: coordinates of a vector; what has another width is taken as missing. Raises ModelError if the file is no
    cache or cannot be used.
    """

    path: Path
    width: int

    def read(self, keys: Collection[bytes]) -> dict[bytes, Float32Array]:
        """The vectors (width,) of those of `keys` that are there."""
        found: dict[bytes, Float32Array] = {}
        wanted = sorted(keys)
        with self._open() as database:
            for start in range(0, len(wanted), KEYS_AT_A_TIME):
                part = wanted[start : start + KEYS_AT_A_TIME]
                query = f"SELECT key, vector FROM vectors WHERE key IN ({','.join('?' * len(part))})"
                for key, raw in database.execute(query, part):
                    vector = np.frombuffer(raw, "<f4").astype(np.float32)
                    if len(vector) == self.width:
                        found[key] = vector
        return found

    def write(self, vectors: Mapping[bytes, Float32Array]) -> None:
        """Keep these; what is already there is replaced."""
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()]
        with self._open() as database:
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self.path, timeout=WAIT_S)
            try:
                with database:
                    database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
                    yield database
            finally:
                database.close()
        except (sqlite3.Error, OSError, ValueError) as error:
            raise ModelError(
                f"The cache of vectors {self.path} cannot be used ({error}); remove it, or set FEDREC_CACHE to a "
                "directory that can."
            ) from error
