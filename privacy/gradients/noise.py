"""Gaussian noise for whole tables of weights: an AES keystream turned into 32-bit normal samples, a chunk at a time.

A step of training needs a sample for each weight, so this is the fast twin of `fedrec.privacy.noise.gaussian`. 64 bits
make two samples: 40 for the radius, so that no tail is cut off below 7.4 standard deviations, and 24 for the angle.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fedrec.errors import ModelError
from fedrec.privacy.noise import Keystream, gaussian

CHUNK = 1 << 15  # pairs made at a time: temporaries stay in the cache
RADIUS_BITS, ANGLE_BITS = 40, 24
LARGEST = math.sqrt(2 * math.log(2) * RADIUS_BITS)
"""In standard deviations: no 32-bit sample is larger in magnitude."""

LEAST_STD, MOST_STD = 1e-25, 1e25
"""So many samples as there can be of 32 bits, none of which is rounded to 0 or to infinity."""


class NoiseSource:
    """Normal noise under a fresh key of the operating system's. `key`: 32 bytes, for tests only."""

    def __init__(self, key: bytes | None = None) -> None:
        self._stream = Keystream(key)

    def fill(self, out: Tensor, std: float) -> Tensor:
        """Overwrite `out` (contiguous, 32 or 64 bits) with independent samples of mean 0; returns it.

        Raises ModelError for a `std` out of range.
        """
        if not LEAST_STD <= std <= MOST_STD:
            raise ModelError(f"Noise of a standard deviation of {std:g} would not be what it says in 32 bits.")
        flat = out.view(-1)
        if out.dtype == torch.float64:
            flat.copy_(torch.from_numpy(gaussian(self._stream, flat.numel(), std)))
            return out
        for start in range(0, flat.numel(), 2 * CHUNK):
            self._fill_chunk(flat[start : start + 2 * CHUNK], std)
        return out

    def _fill_chunk(self, out: Tensor, std: float) -> None:
        """By the method of Box and Muller."""
        half = (out.numel() + 1) // 2
        words = self._stream.words(half)
        uniform = (words >> np.uint64(64 - RADIUS_BITS)).view(np.int64) + 1.0
        logs = np.log(uniform * 2.0**-RADIUS_BITS)  # of numbers within (0, 1]
        radius = torch.from_numpy((logs * -2.0).astype(np.float32)).sqrt_().mul_(std)
        turns = (words & np.uint64((1 << ANGLE_BITS) - 1)).view(np.int64).astype(np.float32)
        angle = torch.from_numpy(turns).mul_(2 * math.pi * 2.0**-ANGLE_BITS)
        torch.mul(radius, torch.cos(angle), out=out[:half])
        rest = out.numel() - half
        torch.mul(radius[:rest], torch.sin(angle[:rest]), out=out[half:])
