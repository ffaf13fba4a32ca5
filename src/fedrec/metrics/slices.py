"""For whom and on what a recommender works: groups of users by activity, of targets by popularity.

Every boundary is public and fixed before any data is seen, so every client cuts its users the same way.

- `activity:*` is by the length of the user's history; `activity:0` are the cold users.
- `target:*` is by the popularity of the target. Items are ordered by global training count (highest first,
  ties by position). `head` are those from the top that hold the first fifth of all events, `tail` those at
  the bottom that hold the last fifth, `mid` the rest (the division by share of events of Abdollahpouri et
  al., "User-centered Evaluation of Popularity Bias", UMAP 2021); an item that straddles a boundary belongs
  to the more popular side. `target:cold` are items without any training event. A user with several targets
  is in each slice for which there is one, and there only those targets are to be found; the ranking is
  unchanged, and the user's other targets are ordinary items of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.metrics.ranks import IntArray

ALL = "all"
ACTIVITY_STARTS = (0, 1, 10, 50, 200)
ACTIVITY_SLICES = ("activity:0", "activity:1-9", "activity:10-49", "activity:50-199", "activity:200+")
TARGET_SLICES = ("target:head", "target:mid", "target:tail", "target:cold")
SLICES = (ALL, *ACTIVITY_SLICES, *TARGET_SLICES)
MAX_SLICES_PER_USER = 2 + len(TARGET_SLICES)


def activity_slice(history_lengths: IntArray) -> IntArray:
    """(num_users,) index into `ACTIVITY_SLICES`."""
    return np.searchsorted(ACTIVITY_STARTS, history_lengths, side="right") - 1


def target_slice(item_counts: NDArray[np.generic]) -> IntArray:
    """(num_items,) index into `TARGET_SLICES`."""
    counts = np.maximum(np.asarray(item_counts, dtype=np.float64), 0.0)
    order = np.argsort(-counts, kind="stable")
    total = counts.sum()
    before = np.cumsum(counts[order]) - counts[order]
    slices = np.empty(len(counts), dtype=np.int64)
    slices[order] = (5 * before >= total).astype(np.int64) + (5 * before >= 4 * total)
    slices[counts == 0] = TARGET_SLICES.index("target:cold")
    return slices
