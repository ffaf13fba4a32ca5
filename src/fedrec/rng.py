"""Randomness is an argument: every stream is derived from a seed and the path of its use.

Two paths never share a stream, and a stream does not depend on which others were drawn before it, so a
resumed run continues exactly. This is for sampling, initialisation and simulation. Privacy noise and
keys never come from here: they need a cryptographic generator.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *path: str | int) -> np.random.Generator:
    """The generator of `path` (for example `"split", "dirichlet", 3`) under `seed`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *path))
    digest = hashlib.blake2b(text.encode(), digest_size=32).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "little"))))
