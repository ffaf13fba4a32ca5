"""One metric under many ways of scoring: a slow twin is `evaluate`, once for each way."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.data import Fold, Histories
from fedrec.metrics import RankingProtocol, evaluate
from fedrec.metrics.mixes import mix_values
from fedrec.metrics.ranks import among_candidates, counted_among

USERS, ITEMS = 40, 15


def fold_of(rng: np.random.Generator) -> Fold:
    def rows(most: int) -> list[list[int]]:
        return [rng.integers(0, ITEMS, rng.integers(0, most)).tolist() for _ in range(USERS)]

    return Fold(Histories.from_lists(rows(6), ITEMS), Histories.from_lists(rows(3), ITEMS), np.arange(USERS))


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_each_way_has_the_values_that_evaluate_gives_it(exclude_seen, monkeypatch):
    monkeypatch.setattr("fedrec.metrics.mixes.BLOCK_CELLS", 7 * ITEMS)  # several blocks of users
    rng = np.random.default_rng(0)
    fold, ways = fold_of(rng), rng.integers(0, 4, (3, USERS, ITEMS)).astype(np.float32)
    protocol = RankingProtocol(ks=(2, 5), exclude_seen=exclude_seen, num_bootstrap=0)
    found = mix_values(lambda start, stop: list(ways[:, start:stop]), 3, fold, protocol, "NDCG@5")
    for way, values in zip(ways, found, strict=True):
        twin = evaluate(
            lambda start, stop, way=way: way[start:stop],
            fold.history,
            fold.targets,
            item_counts=np.ones(ITEMS),
            protocol=protocol,
        )
        assert values.tolist() == twin.of("NDCG@5").tolist()


def test_counting_says_the_same_as_sorting():
    rng = np.random.default_rng(1)
    scores = np.where(rng.random((USERS, ITEMS)) < 0.1, -np.inf, rng.integers(0, 3, (USERS, ITEMS)))
    excluded = rng.random((USERS, ITEMS)) < 0.3
    users, items = np.nonzero(~excluded)
    one, other = (ranks(scores, excluded, users, items) for ranks in (among_candidates, counted_among))
    assert np.isinf(scores[users, items]).any()
    for name in ("ahead", "tied", "num_candidates"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def test_nobody_to_rank_is_no_value_at_all():
    nobody = Fold(Histories.from_lists([], ITEMS), Histories.from_lists([], ITEMS), np.arange(0))
    assert mix_values(lambda start, stop: [], 2, nobody, RankingProtocol(), "NDCG@10").shape == (2, 0)
