"""What every statistic checks and states in the same way."""

from __future__ import annotations

import hashlib

import numpy as np

from fedrec.data.decay import ROOT_STEP
from fedrec.data.histories import CsrMatrix, Histories
from fedrec.errors import ConfigError, ContributionError
from fedrec.models import validate
from fedrec.models.protocols import AnyArray, Float32Array, Float64Array

RESOLUTION = 2.0**-24
"""Fixed-point step of real-valued blocks: a federated sum equals the pooled one to this step per client."""


UNIT_RESOLUTION = 2.0**-12
"""The grid on which the weights of `unit_weights` lie: coarse enough for integer noise, fine for weights of 0.01."""

LEAST_SIZE, MOST_SIZE = 1e-15, 1e15
"""Of the largest number of an array that a server sends for a statistic."""


def unit_weights(counts: AnyArray) -> Float64Array:
    """(n,) weights with which vectors of so many ones have an L2 norm of at most 1, each a multiple of the grid."""
    exact = 1.0 / np.sqrt(np.maximum(counts, 1).astype(np.float64))
    weights: Float64Array = np.floor(exact / UNIT_RESOLUTION) * UNIT_RESOLUTION
    return weights


def grid(unit_norm: bool, weighed: bool) -> float:
    """The step on which sums of ones lie: of weights of unit norm, of events that fade, of both, or whole numbers."""
    return (UNIT_RESOLUTION if unit_norm else 1.0) * (ROOT_STEP**2 if weighed else 1.0)


def event_weights(kept: Histories, unit_norm: bool) -> Float64Array | None:
    """(num_events,) what each distinct event counts, at most 1: less as it fades, and scaled to unit norm. None if all
    count 1."""
    units = unit_weights(kept.lengths)[kept.rows] if unit_norm else None
    if kept.roots is None:
        return units
    faded: Float64Array = kept.roots**2
    return faded if units is None else faded * units


def root_matrix(kept: Histories) -> CsrMatrix:
    """(num_users, num_items) the matrix X of sums X^T X: 1 where a user has an item, or the root of what that weighs,
    so that a pair weighs the geometric mean of its events, and an item with itself what its event weighs.

    kept: each item of a user once.
    """
    return kept.binary() if kept.roots is None else kept.weighted(kept.roots)


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


def check_grid(histories: Histories, weighed: bool) -> None:
    """Refuse events that fade in a sum of whole numbers: they would not lie on its grid."""
    if histories.roots is not None and not weighed:
        raise ContributionError("The events fade, and the statistic is one of whole numbers; set its `weighed`.")


def check_factors(name: str, factors: AnyArray) -> None:
    """Refuse anything but a finite float64 matrix with at least one row and column."""
    if factors.dtype != np.float64 or factors.ndim != 2 or not factors.size:
        raise ConfigError(f"Expected {name} to be a float64 matrix, got {factors.dtype} of shape {factors.shape}.")
    check_size(name, factors)


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
    if len(basis) != width:
        raise ConfigError(f"Expected a basis of {width} rows, got {basis.shape}.")
    check_size("mean", mean)
    check_size("basis", basis)


def check_size(name: str, values: AnyArray) -> None:
    """Refuse an array that is not finite, or not 0 but so small or large that squares of it are no longer exact: the
    bound of a user would be one of other numbers than those that are added up."""
    if not np.isfinite(values).all():
        raise ConfigError(f"Expected {name} to be finite.")
    largest = float(np.abs(values).max(initial=0.0))
    if largest and not LEAST_SIZE <= largest <= MOST_SIZE:
        raise ConfigError(f"Expected {name} from {LEAST_SIZE:g} to {MOST_SIZE:g} in size, got {largest:g}.")


def shortened(rows: Float32Array) -> Float64Array:
    """Rows (n, d), those longer than 1 brought to length 1."""
    exact = rows.astype(np.float64)
    short: Float64Array = exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1.0)
    return short


def digest(array: AnyArray) -> str:
    """Short name of an array's exact content."""
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()
