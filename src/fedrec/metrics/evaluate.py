"""Ranking a fold's users over the whole catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.data.histories import Histories
from fedrec.errors import DataError
from fedrec.metrics.expected import ranking_metrics
from fedrec.metrics.lists import diversity, novelty, self_information, top_lists, unit_rows
from fedrec.metrics.protocol import RankingProtocol
from fedrec.metrics.ranks import (
    BoolMask,
    IntArray,
    ScoreFn,
    TargetRanks,
    among_candidates,
    checked_scores,
    excluded_items,
    rankable_targets,
    sampled_exclusion,
)
from fedrec.metrics.slices import ACTIVITY_SLICES, ALL, TARGET_SLICES, activity_slice, target_slice

Float64Array = NDArray[np.float64]

BLOCK_CELLS = 1 << 20  # scores held at once: 8 MB, small enough to stay near the cache


@dataclass(frozen=True)
class SliceMetrics:
    """One slice: which of the evaluated users it holds, (n,), and their metrics, (n, num_metrics)."""

    members: IntArray
    values: Float64Array


@dataclass(frozen=True)
class UserMetrics:
    """What is known about each evaluated user. Private to the client: only its `MetricSums` leave.

    users: (num_evaluated,) rows of the fold that have a rankable target.
    slices: by name, see `fedrec.metrics.slices`.
    lists: (num_evaluated, list_length) positions, -1 where candidates ran out; never from sampled candidates.
    novelty, diversity: (num_evaluated,) of the lists; diversity is NaN where it is not defined.
    """

    protocol: RankingProtocol
    num_items: int
    users: IntArray
    slices: Mapping[str, SliceMetrics]
    lists: IntArray
    novelty: Float64Array
    diversity: Float64Array

    def of(self, metric: str, slice_name: str = ALL) -> Float64Array:
        """(n,) values of one metric for the users of one slice."""
        return self.slices[slice_name].values[:, self.protocol.metric_names.index(metric)]


def evaluate(
    score: ScoreFn,
    history: Histories,
    targets: Histories,
    *,
    item_counts: NDArray[np.generic],
    item_vectors: NDArray[np.generic] | None = None,
    candidates: BoolMask | None = None,
    protocol: RankingProtocol | None = None,
) -> UserMetrics:
    """Metrics of every user with a rankable target, ranked over the whole catalogue.

    A target is rankable if it is a candidate that the user has not seen (with `protocol.exclude_seen`).

    score: `score(start, stop)` gives (stop - start, num_items) floats for those rows; -inf ranks last.
    history, targets: what each user had before, and what was held out; the same rows in both.
    item_counts: (num_items,) public training counts, for novelty and popularity slices.
    item_vectors: (num_items, dim), for example multi-hot categories, for diversity; without it there is none.
    candidates: (num_items,) items that may be recommended, such as a tenant's own or the cold ones.
    Raises DataError for inputs that do not fit together, ModelError for NaN or too few scores.
    """
    protocol = protocol or RankingProtocol()
    _check(history, targets, item_counts, item_vectors, candidates)
    ranks, lists = _rank_blocks(score, history, targets, candidates, protocol)
    users, values = ranking_metrics(ranks, protocol.ks)
    shown = lists[users]
    units = None if item_vectors is None else unit_rows(item_vectors)
    return UserMetrics(
        protocol=protocol,
        num_items=history.num_items,
        users=users,
        slices={
            ALL: SliceMetrics(np.arange(len(users)), values),
            **_by_activity(history.lengths[users], values),
            **_by_target(ranks, users, target_slice(item_counts), protocol.ks),
        },
        lists=shown,
        novelty=novelty(shown, self_information(item_counts, protocol.novelty_cap)),
        diversity=np.full(len(users), np.nan) if units is None else diversity(shown, units),
    )


def _rank_blocks(
    score: ScoreFn,
    history: Histories,
    targets: Histories,
    candidates: BoolMask | None,
    protocol: RankingProtocol,
) -> tuple[TargetRanks, IntArray]:
    """Ranks of all targets, and the top lists of all users, block by block of users."""
    num_users, num_items = history.num_users, history.num_items
    users, items = rankable_targets(targets, history if protocol.exclude_seen else None, candidates)
    ahead, tied = np.zeros_like(users), np.zeros_like(users)
    num_candidates = np.zeros(num_users, dtype=np.int64)
    lists = np.zeros((num_users, protocol.list_length), dtype=np.int64)
    step = max(1, BLOCK_CELLS // max(num_items, 1))
    for start in range(0, num_users, step):
        stop = min(start + step, num_users)
        scores = checked_scores(score, start, stop, num_items)
        seen = history.select(np.arange(start, stop)) if protocol.exclude_seen else None
        excluded = excluded_items(seen, candidates, scores.shape)
        lists[start:stop] = top_lists(scores, excluded, protocol.list_length)
        part = slice(*np.searchsorted(users, [start, stop]))
        if protocol.sampled_negatives is not None:
            seeds = (protocol.seed, start, protocol.sampled_negatives)
            excluded = sampled_exclusion(excluded, users[part] - start, items[part], seeds)
        block = among_candidates(scores, excluded, users[part] - start, items[part])
        ahead[part], tied[part], num_candidates[start:stop] = block.ahead, block.tied, block.num_candidates
    return TargetRanks(users, items, ahead, tied, num_candidates), lists


def _by_activity(history_lengths: IntArray, values: Float64Array) -> dict[str, SliceMetrics]:
    of_user = activity_slice(history_lengths)
    members = {name: np.flatnonzero(of_user == index) for index, name in enumerate(ACTIVITY_SLICES)}
    return {name: SliceMetrics(chosen, values[chosen]) for name, chosen in members.items()}


def _by_target(ranks: TargetRanks, users: IntArray, of_item: IntArray, ks: tuple[int, ...]) -> dict[str, SliceMetrics]:
    of_target = of_item[ranks.items]
    slices = {}
    for index, name in enumerate(TARGET_SLICES):
        chosen, values = ranking_metrics(ranks.keep(of_target == index), ks)
        slices[name] = SliceMetrics(np.searchsorted(users, chosen), values)
    return slices


def _check(
    history: Histories,
    targets: Histories,
    item_counts: NDArray[np.generic],
    item_vectors: NDArray[np.generic] | None,
    candidates: BoolMask | None,
) -> None:
    rows = (history.num_users, history.num_items)
    if (targets.num_users, targets.num_items) != rows:
        raise DataError(
            f"history has (num_users, num_items)={rows} but targets {(targets.num_users, targets.num_items)}",
            cure="give both for the same users and catalogue, as a Fold holds them",
        )
    sizes = {"item_counts": item_counts, "item_vectors": item_vectors, "candidates": candidates}
    for name, value in sizes.items():
        if value is not None and len(value) != history.num_items:
            raise DataError(
                f"{name} is for {len(value)} items, the catalogue has {history.num_items}",
                cure="give one entry for each catalogue position",
            )
    if candidates is not None and candidates.dtype != np.bool_:
        raise DataError(
            f"candidates has type {candidates.dtype}",
            cure="give a boolean mask over the catalogue, not positions",
        )
