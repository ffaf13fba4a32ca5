"""One metric of each user under many ways of scoring that share their work, such as the mixes of a fusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedrec.data.holdout import Fold
from fedrec.metrics.expected import ranking_metrics
from fedrec.metrics.protocol import RankingProtocol
from fedrec.metrics.ranks import (
    Scores,
    TargetRanks,
    checked_scores,
    counted_among,
    excluded_items,
    rankable_targets,
)

BLOCK_CELLS = 1 << 18  # scores of one way that are held at once: all ways go over them again and again
MixScoreFn = Callable[[int, int], Sequence[Scores]]
"""`score(start, stop)` gives one (stop - start, num_items) array of scores for each way."""


def mix_values(
    score: MixScoreFn, num_mixes: int, fold: Fold, protocol: RankingProtocol, metric: str
) -> NDArray[np.float64]:
    """(num_mixes, num_evaluated) what `evaluate(...).of(metric)` gives for each way of scoring, every item being a
    candidate. Sampled negatives are not for choosing; they are left out of account."""
    history, step = fold.history, max(1, BLOCK_CELLS // max(fold.history.num_items, 1))
    users, items = rankable_targets(fold.targets, history if protocol.exclude_seen else None, None)
    ahead, tied = np.zeros((num_mixes, len(users)), np.int64), np.zeros((num_mixes, len(users)), np.int64)
    num_candidates = np.zeros(history.num_users, np.int64)
    for start in range(0, history.num_users, step):
        stop = min(start + step, history.num_users)
        seen = history.select(np.arange(start, stop)) if protocol.exclude_seen else None
        excluded = excluded_items(seen, None, (stop - start, history.num_items))
        part = slice(*np.searchsorted(users, [start, stop]))
        for index, found in enumerate(score(start, stop)):
            scores = checked_scores(partial(_as_it_is, found), start, stop, history.num_items)
            block = counted_among(scores, excluded, users[part] - start, items[part])
            ahead[index, part], tied[index, part] = block.ahead, block.tied
            num_candidates[start:stop] = block.num_candidates
    column = protocol.metric_names.index(metric)
    ranks = [TargetRanks(users, items, ahead[one], tied[one], num_candidates) for one in range(num_mixes)]
    return np.stack([ranking_metrics(one, protocol.ks)[1][:, column] for one in ranks])


def _as_it_is(scores: Scores, start: int, stop: int) -> Scores:
    return scores
