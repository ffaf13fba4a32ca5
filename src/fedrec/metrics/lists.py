"""The list that a user would be shown, and what it is like beyond being right: exposure, novelty, diversity.

A shown list has one order, so ties are broken here (unlike in the ranking metrics): by score, highest first,
then by catalogue position, lowest first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.metrics.ranks import BoolMask, IntArray, Scores

Float64Array = NDArray[np.float64]

NO_ITEM = -1


def top_lists(scores: Scores, excluded: BoolMask, length: int) -> IntArray:
    """(num_users, length) item positions, best first; `NO_ITEM` fills the end when candidates run out."""
    num_users, num_items = scores.shape
    kept = min(length, num_items)
    masked = np.where(excluded, -np.inf, scores)
    threshold = np.partition(masked, num_items - kept, axis=1)[:, num_items - kept, None]
    above = masked > threshold
    level = (masked == threshold) & ~excluded
    room = kept - np.count_nonzero(above, axis=1)
    above |= level & (np.cumsum(level, axis=1, dtype=np.int32) <= room[:, None])
    users, items = np.nonzero(above)
    order = np.lexsort((-masked[users, items], users))
    places = np.arange(len(users)) - np.searchsorted(users, users)
    lists = np.full((num_users, length), NO_ITEM, dtype=np.int64)
    lists[users, places] = items[order]
    return lists


def self_information(item_counts: NDArray[np.generic], cap: float) -> Float64Array:
    """(num_items,) -log2 of each item's share of all events, in bits, at most `cap`.

    An item that nobody met counts as met once (Zhou et al., PNAS 2010; Vargas & Castells, RecSys 2011).
    """
    counts = np.maximum(np.asarray(item_counts, dtype=np.float64), 0.0)
    bits: Float64Array = np.log2(max(float(counts.sum()), 1.0)) - np.log2(np.maximum(counts, 1.0))
    return np.clip(bits, 0.0, cap)


def novelty(lists: IntArray, information: Float64Array) -> Float64Array:
    """(num_users,) mean self-information of the listed items, in bits; 0 for an empty list."""
    shown = lists != NO_ITEM
    bits = np.where(shown, information[lists], 0.0)
    means: Float64Array = bits.sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
    return means


def unit_rows(vectors: NDArray[np.generic]) -> Float64Array:
    """The rows scaled to length 1; a row of zeros stays, and is thus unlike everything, itself included."""
    rows = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def diversity(lists: IntArray, units: Float64Array) -> Float64Array:
    """(num_users,) 1 - mean cosine over pairs of listed items, in [0, 2]; NaN for a list shorter than two.

    units: (num_items, dim) from `unit_rows`. Uses |sum of v|^2 = sum of |v|^2 + 2 x the sum over pairs
    (intra-list diversity, Ziegler et al., WWW 2005).
    """
    padded = np.vstack([units, np.zeros((1, units.shape[1]))])  # NO_ITEM = -1 reads the last row
    total = np.zeros((len(lists), units.shape[1]))
    for place in range(lists.shape[1]):
        total += padded[lists[:, place]]
    own = np.einsum("id,id->i", padded, padded)[lists].sum(axis=1)
    shown = np.count_nonzero(lists != NO_ITEM, axis=1)
    ordered_pairs = (shown * (shown - 1)).astype(np.float64)
    cosine = (np.einsum("ud,ud->u", total, total) - own) / np.where(ordered_pairs > 0, ordered_pairs, np.nan)
    apart: Float64Array = np.clip(1.0 - cosine, 0.0, 2.0)
    return apart


def exposure(lists: IntArray, num_items: int) -> Float64Array:
    """(num_items,) how many lists hold each item."""
    return np.bincount(lists[lists != NO_ITEM], minlength=num_items).astype(np.float64)


def coverage(exposure: Float64Array) -> float:
    """Share of the items that are in some list."""
    return float(np.mean(exposure >= 0.5))  # exact for counts, and blind to fixed-point rounding


def gini(exposure: Float64Array) -> float:
    """Gini coefficient: 0 if every item is listed equally often, near 1 if few take all; NaN if none is."""
    ordered = np.sort(np.maximum(exposure, 0.0))
    total, count = ordered.sum(), len(ordered)
    if total <= 0:
        return float("nan")
    weights = 2 * np.arange(1, count + 1) - count - 1
    return float(weights @ ordered / (count * total))
