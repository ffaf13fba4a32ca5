"""Ranking metrics as exact expectations over a random order of tied candidates.

Source: McSherry & Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence
of Tied Scores", ECIR 2008, extended to the hit rate (hypergeometric) and to several tied targets. Relevance
is binary. Without ties the values are those of trec_eval and ranx. For a user with R targets, at cut-off k:

    HR         1 if a target is among the first k, else 0
    Recall     hits / R                     Precision  hits / k (also when fewer than k items can be ranked)
    F1         2 hits / (k + R), the harmonic mean of the two
    NDCG       sum over hits of 1 / log2(rank + 1), over its value with the targets at the first ranks
    MRR        1 / (rank of the first hit), 0 if there is none
    MAP        sum over hits of Precision@rank, over R (not over min(k, R))
    AUC        share of (target, other candidate) pairs in the right order, ties one half; 1/2 without a pair
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.metrics.ranks import IntArray, TargetRanks

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class TieGroups:
    """The groups of equal score that hold targets, best first within each user; every user has at least one.

    ahead, tied, relevant, earlier: (num_groups,) candidates before the group, in it, targets in it, targets
    before it.
    first: (num_users,) index of each user's best group. relevant_total, num_candidates: (num_users,).
    """

    ahead: IntArray
    tied: IntArray
    relevant: IntArray
    earlier: IntArray
    first: IntArray
    relevant_total: IntArray
    num_candidates: IntArray

    @staticmethod
    def of(ranks: TargetRanks) -> tuple[IntArray, TieGroups]:
        """The users (num_users,) that have a target, ascending, and their groups."""
        order = np.lexsort((ranks.ahead, ranks.users))
        by_user, ahead = ranks.users[order], ranks.ahead[order]
        starts = np.flatnonzero((np.diff(by_user, prepend=-1) != 0) | (np.diff(ahead, prepend=-1) != 0))
        relevant = np.diff(starts, append=len(order))
        users, first, groups = np.unique(by_user[starts], return_index=True, return_counts=True)
        earlier = starts - np.repeat(starts[first], groups)
        total = np.bincount(ranks.users, minlength=len(ranks.num_candidates))[users]
        tied = ranks.tied[order][starts]
        return users, TieGroups(ahead[starts], tied, relevant, earlier, first, total, ranks.num_candidates[users])

    def place(self, depth: int) -> IntArray:
        """(num_groups, depth) the place inside the group, from 1, of the ranks 1..depth; 0 outside it."""
        place = np.arange(1, depth + 1) - self.ahead[:, None]
        return np.where((place >= 1) & (place <= self.tied[:, None]), place, 0)


def ranking_metrics(ranks: TargetRanks, ks: tuple[int, ...]) -> tuple[IntArray, Float64Array]:
    """Users that have a target (num_users,), and their metrics (num_users, num_metrics), all in [0, 1].

    Columns: HR, Recall, Precision, F1, NDCG, MRR, MAP for each cut-off in turn, then AUC.
    """
    users, groups = TieGroups.of(ranks)
    if len(users) == 0:
        return users, np.zeros((0, 7 * len(ks) + 1))
    depth = ks[-1]
    rank = np.arange(1, depth + 1)
    discount = 1 / np.log2(rank + 1)
    first_hit, relevance = first_hit_probability(groups, depth), relevance_probability(groups, depth)
    cumulative = {
        "hit": np.cumsum(first_hit, axis=1),
        "hits": np.cumsum(relevance, axis=1),
        "dcg": np.cumsum(relevance * discount, axis=1),
        "reciprocal": np.cumsum(first_hit / rank, axis=1),
        "precision": np.cumsum(expected_precision(groups, depth), axis=1),
    }
    total, ideal = groups.relevant_total, np.cumsum(discount)
    columns: list[Float64Array] = []
    for k in ks:
        hit, hits, dcg, reciprocal, precision = (values[:, k - 1] for values in cumulative.values())
        columns += [hit, hits / total, hits / k, 2 * hits / (k + total)]
        columns += [dcg / ideal[np.minimum(total, k) - 1], reciprocal, precision / total]
    table = np.column_stack([*columns, area_under_curve(groups)])
    return users, np.clip(table, 0.0, 1.0)  # rounding errors must not break the bound of 1


def relevance_probability(groups: TieGroups, depth: int) -> Float64Array:
    """(num_users, depth) probability that a rank holds a target: r / n inside a group of n with r."""
    density = (groups.relevant / groups.tied)[:, None]
    return _per_user(np.where(groups.place(depth) > 0, density, 0.0), groups)


def first_hit_probability(groups: TieGroups, depth: int) -> Float64Array:
    """(num_users, depth) probability that each rank holds the user's first target.

    Only the best group with targets matters: of its n items with r targets, the first p hold none with
    probability C(n - r, p) / C(n, p), the product of (n - r - j) / (n - j) over j < p.
    """
    place = groups.place(depth)[groups.first]
    tied, relevant = groups.tied[groups.first, None], groups.relevant[groups.first, None]
    left = np.maximum(tied - place + 1, 1)
    miss = np.where(place > 0, np.maximum(left - relevant, 0) / left, 1.0)
    none_yet = np.cumprod(miss, axis=1)
    return -np.diff(none_yet, axis=1, prepend=1.0)


def expected_precision(groups: TieGroups, depth: int) -> Float64Array:
    """(num_users, depth) expectation of Precision@rank where the rank holds a target, else 0.

    At place p of a group of n with r targets: r/n x (earlier targets + 1 + (p - 1)(r - 1)/(n - 1)) / rank.
    """
    place = groups.place(depth)
    beside = ((groups.relevant - 1) / np.maximum(groups.tied - 1, 1))[:, None]
    hits = groups.earlier[:, None] + 1 + (place - 1) * beside
    density = (groups.relevant / groups.tied)[:, None]
    return _per_user(np.where(place > 0, density * hits / np.arange(1, depth + 1), 0.0), groups)


def area_under_curve(groups: TieGroups) -> Float64Array:
    """(num_users,) probability that a target stands before another candidate, ties counting one half."""
    counts = np.diff(groups.first, append=len(groups.tied))
    others = np.repeat(groups.num_candidates - groups.relevant_total, counts)
    others_tied = groups.tied - groups.relevant
    others_behind = others - (groups.ahead - groups.earlier) - others_tied
    right = _per_user(groups.relevant * (others_behind + 0.5 * others_tied), groups)
    pairs = groups.relevant_total * (groups.num_candidates - groups.relevant_total)
    return np.where(pairs > 0, right / np.maximum(pairs, 1), 0.5)


def _per_user(values: Float64Array, groups: TieGroups) -> Float64Array:
    return np.add.reduceat(values, groups.first, axis=0)
