"""Noise for privacy: an AES keystream turned into Gaussian and Skellam samples.

A generator that an attacker could rewind or predict would take the noise away again, so nothing here can be seeded
outside the tests: `Keystream()` takes its key from the operating system.

A Skellam variable is the difference of two Poisson variables; here both have half the variance. Its sum over
independent clients is again one, with the sum of their variances, and it is an integer: so it survives masks modulo a
power of two exactly (Agarwal, Kairouz, Liu, "The Skellam Mechanism for Differentially Private Federated Learning",
NeurIPS 2021, section 3).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray
from scipy.special import ive

from fedrec.errors import ConfigError

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

CHUNK = 1 << 15  # samples made at a time: temporaries stay in the cache
GAUSSIAN_MAX = 8.6  # standard deviations: sqrt(2 ln 2^53), the most that 53 bits can give
LARGEST_STD = 1 << 15  # of a Skellam table: 5 MB
TAIL = 64  # a table ends where less than 2^-TAIL is left


class Keystream:
    """Random 64-bit words: AES-256 in counter mode under a fresh key. `key`: 32 bytes, for tests only."""

    def __init__(self, key: bytes | None = None) -> None:
        self._stream = Cipher(AES(os.urandom(32) if key is None else key), CTR(bytes(16))).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """(count,) uniform on 0 .. 2^64 - 1, never given twice."""
        return np.frombuffer(self._stream.update(bytes(8 * count)), np.uint64)


def gaussian(stream: Keystream, count: int, std: float) -> Float64Array:
    """(count,) normal samples of mean 0, by the method of Box and Muller with 53 random bits each."""
    samples = np.empty(count)
    for start in range(0, count, CHUNK):
        part = samples[start : start + CHUNK]
        half = (len(part) + 1) // 2
        uniform = ((stream.words(2 * half) >> np.uint64(11)) + 1.0) * 2.0**-53  # within (0, 1]
        radius = std * np.sqrt(-2.0 * np.log(uniform[:half]))
        angle = 2.0 * math.pi * uniform[half:]
        part[:half] = radius * np.cos(angle)
        part[half:] = (radius * np.sin(angle))[: len(part) - half]
    return samples


@dataclass(frozen=True, eq=False)
class Skellam:
    """The symmetric Skellam distribution of a variance, as a table of its cumulative probabilities.

    variance: of integers. largest: no sample is larger in magnitude; the tail that is cut off is below 2^-64.
    """

    variance: float
    largest: int
    _steps: NDArray[np.uint64] = field(repr=False)

    def samples(self, stream: Keystream, count: int) -> Int64Array:
        """(count,) samples by inversion of 64 random bits: a chance is off by 2^-64 and the last bits of a float."""
        drawn = np.empty(count, dtype=np.int64)
        for start in range(0, count, CHUNK):
            part = drawn[start : start + CHUNK]
            part[:] = np.searchsorted(self._steps, stream.words(len(part)), side="right")
        drawn -= self.largest
        return drawn


def skellam_max(variance: float) -> int:
    """No sample of this variance is larger in magnitude: beyond lies less than 2^-64, for every variance, since far out
    the distribution is no wider than a normal one where it is wide and than a Poisson one where it is narrow.

    Raises ConfigError where a table would be too long.
    """
    std = math.sqrt(variance) if variance > 0 else math.nan
    if not 0 < std <= LARGEST_STD:
        raise ConfigError(f"Expected a Skellam standard deviation={std:g} within 0..{LARGEST_STD} steps of the grid.")
    return math.ceil(9.5 * std + 60)


@lru_cache(maxsize=16)
def skellam(variance: float) -> Skellam:
    """The distribution of a variance > 0. Raises ConfigError where its table would be too long."""
    chances = _chances(variance)
    largest = len(chances) - 1
    chances = np.concatenate([chances[:0:-1], chances])
    below = np.cumsum(chances[:largest])  # P(X < k) for k <= 0: exact to the last bits where it is small
    steps = np.empty(2 * largest, dtype=np.uint64)
    steps[:largest] = _as_words(below)
    steps[largest:] = ~steps[:largest][::-1]  # P(X < 1 - k) = 1 - P(X < k): exactly symmetric
    return Skellam(variance, largest, steps)


def _chances(variance: float) -> Float64Array:
    """(largest + 1,) P(X = k) = e^-v I_k(v) for k = 0, 1, ... up to the tail that is cut off."""
    chances = np.asarray(ive(np.arange(skellam_max(variance) + 1, dtype=np.float64), variance), dtype=np.float64)
    if not np.isfinite(chances).all() or abs(float(chances[0] + 2 * chances[1:].sum()) - 1.0) > 1e-9:
        raise ConfigError(f"The Skellam table of variance {variance:g} is not exact; use another resolution.")
    kept = int(np.flatnonzero(chances > 2.0 ** -(TAIL + 8))[-1])
    return chances[: kept + 1]


def _as_words(chances: Float64Array) -> NDArray[np.uint64]:
    """Probabilities below 1/2 as multiples of 2^-64."""
    return np.rint(np.ldexp(chances, 64)).astype(np.uint64)
