"""Which users are in a step: each with the same chance and independently of all others (Poisson sampling).

Amplification by sampling holds only if nobody else knows who was drawn, so the draws come from a cryptographic
generator and not from the public seed of the run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ConfigError
from fedrec.privacy.noise import Keystream


def drawn(num_users: int, rate: float, stream: Keystream) -> NDArray[np.int64]:
    """The positions of those who are in a step, often none. Each is, with chance `rate` up to 2^-53."""
    if not 0 < rate <= 1:
        raise ConfigError(f"Expected rate={rate} within (0, 1].")
    uniform = (stream.words(num_users) >> np.uint64(11)) * 2.0**-53
    return np.flatnonzero(uniform < rate)


def secret_seed(stream: Keystream) -> int:
    """A seed for all else that is drawn in private training: dropout, negatives, where a history is cut.

    Under a public seed they would be known, and a user more would shift them for all who come after.
    """
    return int(stream.words(1)[0] >> np.uint64(1))
