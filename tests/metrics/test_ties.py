"""Ties by expectation, against a slow twin that lists every order of the tied items and averages."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.data.histories import Histories
from fedrec.metrics import RankingProtocol, evaluate

NUM_ITEMS = 6
KS = (1, 2, 4)


def every_order(scores: list[float], candidates: list[int]) -> Iterator[list[int]]:
    """All rankings of `candidates` in which no item stands before one with a higher score."""
    for order in itertools.permutations(candidates):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            yield list(order)


def metrics_of_order(order: list[int], targets: set[int], k: int) -> dict[str, float]:
    """Every metric of one ranking without ties, by its textbook definition."""
    hit_ranks = [rank for rank, item in enumerate(order, start=1) if item in targets and rank <= k]
    recall, precision = len(hit_ranks) / len(targets), len(hit_ranks) / k
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(targets), k) + 1))
    pairs = [(order.index(t) < order.index(o)) for t in targets for o in order if o not in targets]
    return {
        f"HR@{k}": float(bool(hit_ranks)),
        f"Recall@{k}": recall,
        f"Precision@{k}": precision,
        f"F1@{k}": 2 * precision * recall / (precision + recall) if hit_ranks else 0.0,
        f"NDCG@{k}": sum(1 / math.log2(rank + 1) for rank in hit_ranks) / ideal,
        f"MRR@{k}": 1 / hit_ranks[0] if hit_ranks else 0.0,
        f"MAP@{k}": sum(found / rank for found, rank in enumerate(hit_ranks, start=1)) / len(targets),
        "AUC": sum(pairs) / len(pairs) if pairs else 0.5,
    }


def twin(scores: list[float], seen: set[int], targets: set[int]) -> dict[str, float]:
    orders = list(every_order(scores, [item for item in range(NUM_ITEMS) if item not in seen]))
    rows = [
        {name: value for k in KS for name, value in metrics_of_order(order, targets, k).items()} for order in orders
    ]
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}


def measured(scores: list[float], seen: set[int], targets: set[int]) -> dict[str, float]:
    protocol = RankingProtocol(ks=KS, list_length=3)
    matrix = np.array([scores])
    metrics = evaluate(
        lambda start, stop: matrix[start:stop],
        Histories.from_lists([sorted(seen)], NUM_ITEMS),
        Histories.from_lists([sorted(targets)], NUM_ITEMS),
        item_counts=np.ones(NUM_ITEMS),
        protocol=protocol,
    )
    return {name: float(metrics.of(name)[0]) for name in protocol.metric_names}


@st.composite
def rankings(draw: st.DrawFn) -> tuple[list[float], set[int], set[int]]:
    levels = st.sampled_from([-math.inf, -1.0, 0.0, 2.5, math.inf])
    scores = draw(st.lists(levels, min_size=NUM_ITEMS, max_size=NUM_ITEMS))
    items = draw(st.permutations(range(NUM_ITEMS)))
    num_targets = draw(st.integers(1, NUM_ITEMS))
    num_seen = draw(st.integers(0, NUM_ITEMS - num_targets))
    return scores, set(items[num_targets : num_targets + num_seen]), set(items[:num_targets])


@settings(max_examples=150, deadline=None)
@given(rankings())
def test_every_metric_is_its_mean_over_all_orders_of_the_ties(
    ranking: tuple[list[float], set[int], set[int]],
) -> None:
    expected, got = twin(*ranking), measured(*ranking)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, abs=1e-12), name


def test_hit_rate_with_two_targets_in_a_tie_is_hypergeometric() -> None:
    # 6 tied items, 2 of them targets: P(no target among the first 2) = C(4,2)/C(6,2) = 6/15
    got = measured([0.0] * 6, set(), {1, 4})
    assert got["HR@2"] == pytest.approx(9 / 15)
    assert got["Recall@2"] == pytest.approx(2 / 6)
    # first target at rank 1 with 1/3, at rank 2 with 2/3 x 2/5
    assert got["MRR@2"] == pytest.approx(1 / 3 + (2 / 3) * (2 / 5) / 2)
    assert got["AUC"] == 0.5


def test_one_score_for_every_item_earns_what_chance_earns() -> None:
    got = measured([7.0] * 6, {0}, {3})
    assert got["HR@1"] == pytest.approx(1 / 5)
    assert got["HR@4"] == pytest.approx(4 / 5)


@given(rankings(), st.permutations(range(NUM_ITEMS)))
def test_the_order_of_the_catalogue_does_not_matter(
    ranking: tuple[list[float], set[int], set[int]], moved_to: list[int]
) -> None:
    scores, seen, targets = ranking
    moved = [0.0] * NUM_ITEMS
    for item, score in enumerate(scores):
        moved[moved_to[item]] = score
    there = measured(moved, {moved_to[item] for item in seen}, {moved_to[item] for item in targets})
    assert there == pytest.approx(measured(scores, seen, targets), abs=1e-12)


@given(rankings())
def test_a_higher_score_for_a_target_never_hurts(ranking: tuple[list[float], set[int], set[int]]) -> None:
    scores, seen, targets = ranking
    raised = list(scores)
    raised[min(targets)] = math.inf
    before, after = measured(scores, seen, targets), measured(raised, seen, targets)
    assert all(after[name] >= before[name] - 1e-12 for name in before)
