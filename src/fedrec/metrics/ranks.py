"""Where each target stands among a user's candidates: how many score higher, how many the same.

These two counts are all that a metric may know about the scores. A recommender therefore gains nothing by
giving many items one score, nor does the order of the catalogue help it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.data.histories import Histories
from fedrec.errors import ModelError
from fedrec.rng import derive

IntArray = NDArray[np.int64]
BoolMask = NDArray[np.bool_]
Scores = NDArray[np.floating]
ScoreFn = Callable[[int, int], Scores]


@dataclass(frozen=True)
class TargetRanks:
    """Every rankable target of every user, ordered by user.

    users, items, ahead, tied: (num_targets,); `ahead` candidates score higher than the target, `tied` score
    the same, the target included. num_candidates: (num_users,) items that were ranked for each user.
    """

    users: IntArray
    items: IntArray
    ahead: IntArray
    tied: IntArray
    num_candidates: IntArray

    def keep(self, mask: BoolMask) -> TargetRanks:
        """The targets where `mask` (num_targets,) is true; the ranking they stand in does not change."""
        return TargetRanks(self.users[mask], self.items[mask], self.ahead[mask], self.tied[mask], self.num_candidates)


def rankable_targets(
    targets: Histories, seen: Histories | None, candidates: BoolMask | None
) -> tuple[IntArray, IntArray]:
    """(users, items), each (num_targets,): the distinct targets that are candidates, by user, then item.

    A target that the user has `seen` or that is no candidate can never be recommended, so it is left out.
    """
    keys = np.unique(targets.rows * targets.num_items + targets.items)
    if seen is not None:
        keys = keys[~np.isin(keys, seen.rows * seen.num_items + seen.items)]
    users, items = np.divmod(keys, targets.num_items)
    if candidates is None:
        return users, items
    return users[candidates[items]], items[candidates[items]]


def excluded_items(seen: Histories | None, candidates: BoolMask | None, shape: tuple[int, int]) -> BoolMask:
    """(num_users, num_items) true where an item is no candidate. `seen` has the rows of this block."""
    excluded = np.zeros(shape, dtype=np.bool_)
    if candidates is not None:
        excluded[:] = ~candidates
    if seen is not None:
        excluded[seen.rows, seen.items] = True
    return excluded


def checked_scores(score: ScoreFn, start: int, stop: int, num_items: int) -> Scores:
    """(stop - start, num_items) floats from `score`, refused if the shape is wrong or a score is NaN."""
    scores = np.asarray(score(start, stop))
    if scores.shape != (stop - start, num_items):
        raise ModelError(
            f"Expected scores of shape {(stop - start, num_items)} for users {start} to {stop}, "
            f"got {scores.shape}; score every item of the catalogue."
        )
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    if np.isnan(scores.min(initial=np.inf)):
        raise ModelError(
            f"A score of a user between {start} and {stop} is NaN, which has no place in a ranking; "
            "use -inf for items that must come last."
        )
    return scores


def among_candidates(scores: Scores, excluded: BoolMask, users: IntArray, items: IntArray) -> TargetRanks:
    """Ranks of the targets (users, items) of one block. scores, excluded: (num_users, num_items)."""
    ordered = np.sort(np.where(excluded, -np.inf, scores), axis=1)
    values = scores[users, items]
    num_excluded = np.count_nonzero(excluded, axis=1)
    above = _count_below(ordered, users, values, inclusive=True)
    below = _count_below(ordered, users, values, inclusive=False)
    hidden = np.where(values == -np.inf, num_excluded[users], 0)
    num_items = scores.shape[1]
    return TargetRanks(users, items, num_items - above, above - below - hidden, num_items - num_excluded)


def counted_among(scores: Scores, excluded: BoolMask, users: IntArray, items: IntArray) -> TargetRanks:
    """The same as `among_candidates`, without sorting: faster where a user has few targets."""
    candidates = np.where(excluded, -np.inf, scores)
    values, rows = scores[users, items][:, None], candidates[users]
    ahead, not_behind = np.count_nonzero(rows > values, axis=1), np.count_nonzero(rows >= values, axis=1)
    num_excluded = np.count_nonzero(excluded, axis=1)
    hidden = np.where(values[:, 0] == -np.inf, num_excluded[users], 0)
    return TargetRanks(users, items, ahead, not_behind - ahead - hidden, scores.shape[1] - num_excluded)


def sampled_exclusion(excluded: BoolMask, users: IntArray, items: IntArray, seeds: tuple[int, int, int]) -> BoolMask:
    """(num_users, num_items) true everywhere but at the targets and the sampled negatives of each user.

    seeds: (seed, first user of the block, number of negatives). A sample does not depend on the block size.
    """
    seed, start, count = seeds
    eligible = ~excluded
    eligible[users, items] = False
    pool = np.ones_like(excluded)
    pool[users, items] = False
    for row in range(len(excluded)):
        choices = np.flatnonzero(eligible[row])
        rng = derive(seed, "sampled negatives", start + row)
        pool[row, rng.choice(choices, min(count, len(choices)), replace=False)] = False
    return pool


def _count_below(ordered: Scores, rows: IntArray, values: Scores, *, inclusive: bool) -> IntArray:
    """(n,) how many of `ordered[rows]`, ascending, are below `values` (or equal, if `inclusive`)."""
    low = np.zeros(len(rows), dtype=np.int64)
    high = np.full(len(rows), ordered.shape[1], dtype=np.int64)
    while np.any(searching := low < high):
        middle = (low + high) // 2
        probe = ordered[rows, np.minimum(middle, ordered.shape[1] - 1)]
        further = (probe <= values) if inclusive else (probe < values)
        low, high = (
            np.where(searching & further, middle + 1, low),
            np.where(searching & ~further, middle, high),
        )
    return low
