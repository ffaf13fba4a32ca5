"""What every statistic checks and states in the same way."""

from __future__ import annotations

import hashlib

import numpy as np

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ContributionError
from fedrec.models import validate
from fedrec.models.protocols import AnyArray, Float32Array, Float64Array

RESOLUTION = 2.0**-24
"""Fixed-point step of real-valued blocks: a federated sum equals the pooled one to this step per client."""


UNIT_RESOLUTION = 2.0**-12
"""The grid on which the weights of `unit_weights` lie: coarse enough for integer noise, fine for weights of 0.01."""


def unit_weights(counts: AnyArray) -> Float64Array:
    """(n,) weights with which vectors of so many ones have an L2 norm of at most 1, each a multiple of the grid."""
    exact = 1.0 / np.sqrt(np.maximum(counts, 1).astype(np.float64))
    weights: Float64Array = np.floor(exact / UNIT_RESOLUTION) * UNIT_RESOLUTION
    return weights


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


def check_content(content: AnyArray, widths: AnyArray) -> None:
    """Refuse anything but finite float32 content vectors and the int64 widths of their fields."""
    if content.dtype != np.float32 or content.ndim != 2 or not content.size or not np.isfinite(content).all():
        raise ConfigError(f"Expected content to be a finite float32 matrix, got {content.dtype} of {content.shape}.")
    fits = widths.dtype == np.int64 and widths.ndim == 1 and len(widths) and (widths > 0).all()
    if not fits or int(widths.sum()) != content.shape[1]:
        raise ConfigError(
            f"Expected widths of {content.shape[1]} coordinates together, got {widths.dtype} {widths.tolist()}."
        )


def check_whitening(widths: AnyArray, mean: AnyArray, basis: AnyArray) -> None:
    """Refuse anything but a finite float64 mean (d,) and basis (d, rank)."""
    width = int(widths.sum())
    if mean.dtype != np.float64 or basis.dtype != np.float64 or mean.shape != (width,) or basis.ndim != 2:
        raise ConfigError(f"Expected a float64 mean and basis of {width} rows, got {mean.shape} and {basis.shape}.")
    if len(basis) != width or not (np.isfinite(mean).all() and np.isfinite(basis).all()):
        raise ConfigError(f"Expected a finite basis of {width} rows, got {basis.shape}.")


def shortened(rows: Float32Array) -> Float64Array:
    """Rows (n, d), those longer than 1 brought to length 1."""
    exact = rows.astype(np.float64)
    short: Float64Array = exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1.0)
    return short


def digest(array: AnyArray) -> str:
    """Short name of an array's exact content."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
