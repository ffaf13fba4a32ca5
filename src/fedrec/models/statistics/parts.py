"""What every statistic checks and states in the same way."""

from __future__ import annotations

import hashlib

import numpy as np

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ContributionError
from fedrec.models import validate
from fedrec.models.protocols import AnyArray

RESOLUTION = 2.0**-24
"""Fixed-point step of real-valued blocks: a federated sum equals the pooled one to this step per client."""


def check_catalogue(num_items: int, max_items_per_user: int) -> None:
    """Refuse impossible sizes."""
    validate.whole("num_items", num_items)
    validate.whole("max_items_per_user", max_items_per_user)


def check_histories(histories: Histories, num_items: int) -> None:
    """Refuse histories over another catalogue."""
    if histories.num_items != num_items:
        raise ContributionError(
            f"The statistic is over {num_items} items, the histories over {histories.num_items}; "
            "both sides must use the same catalogue."
        )


def check_factors(name: str, factors: AnyArray) -> None:
    """Refuse anything but a finite float64 matrix with at least one row and column."""
    if factors.dtype != np.float64 or factors.ndim != 2 or not factors.size:
        raise ConfigError(f"Expected {name} to be a float64 matrix, got {factors.dtype} of shape {factors.shape}.")
    if not np.isfinite(factors).all():
        raise ConfigError(f"Expected {name} to be finite.")


def digest(array: AnyArray) -> str:
    """Short name of an array's exact content."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
