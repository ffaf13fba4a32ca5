"""The distinct items of each user: what bounds a user's influence on a statistic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.data.histories import Histories


def is_newest(histories: Histories) -> NDArray[np.bool_]:
    """(num_events,) whether its user has no later event on the same item."""
    codes = histories.rows * histories.num_items + histories.items
    _, first_from_the_end = np.unique(codes[::-1], return_index=True)
    mask = np.zeros(histories.num_events, dtype=np.bool_)
    mask[histories.num_events - 1 - first_from_the_end] = True
    return mask


def newest_distinct(histories: Histories, limit: int) -> Histories:
    """Each user's `limit` most recent distinct items, each once, oldest first."""
    return histories.keep(is_newest(histories)).newest(limit)
