"""Whole evaluations that can be checked by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, DataError, ModelError
from fedrec.metrics import RankingProtocol, UserMetrics, evaluate

NUM_ITEMS = 5
PROTOCOL = RankingProtocol(ks=(1, 3), list_length=2, num_bootstrap=0)


def run(
    scores: list[list[float]] | NDArray[np.floating],
    seen: list[list[int]],
    targets: list[list[int]],
    candidates: NDArray[np.bool_] | None = None,
    protocol: RankingProtocol = PROTOCOL,
) -> UserMetrics:
    matrix = np.asarray(scores)
    num_items = matrix.shape[1]
    return evaluate(
        lambda start, stop: matrix[start:stop],
        Histories.from_lists(seen, num_items),
        Histories.from_lists(targets, num_items),
        item_counts=np.ones(num_items),
        candidates=candidates,
        protocol=protocol,
    )


def test_one_target_at_rank_two() -> None:
    got = run([[5.0, 4.0, 3.0, 2.0, 1.0]], [[]], [[1]])
    assert got.of("HR@1") == [0.0]
    assert got.of("HR@3") == [1.0]
    assert got.of("Precision@3") == pytest.approx([1 / 3])
    assert got.of("F1@3") == pytest.approx([2 / 4])
    assert got.of("NDCG@3") == pytest.approx([1 / math.log2(3)])
    assert got.of("MRR@3") == [0.5]
    assert got.of("MAP@3") == [0.5]
    assert got.of("AUC") == [3 / 4]


def test_two_targets_at_ranks_one_and_three() -> None:
    got = run([[5.0, 4.0, 3.0, 2.0, 1.0]], [[]], [[2, 0]])
    assert got.of("Recall@1") == [0.5]
    assert got.of("MAP@3") == pytest.approx([(1 / 1 + 2 / 3) / 2])
    assert got.of("NDCG@3") == pytest.approx([(1 + 1 / 2) / (1 + 1 / math.log2(3))])
    assert got.of("AUC") == pytest.approx([(3 + 2) / 6])


def test_seen_items_are_no_candidates() -> None:
    got = run([[5.0, 4.0, 3.0, 2.0, 1.0]], [[0, 1]], [[2]])
    assert got.of("HR@1") == [1.0]
    assert got.lists.tolist() == [[2, 3]]


def test_seen_items_compete_when_the_protocol_says_so() -> None:
    protocol = RankingProtocol(ks=(1, 3), list_length=2, exclude_seen=False)
    got = run([[5.0, 4.0, 3.0, 2.0, 1.0]], [[0, 1]], [[2]], protocol=protocol)
    assert got.of("MRR@3") == pytest.approx([1 / 3])
    assert got.lists.tolist() == [[0, 1]]


def test_only_candidates_are_ranked() -> None:
    mask = np.array([False, False, True, True, True])
    got = run([[5.0, 4.0, 3.0, 2.0, 1.0]], [[2]], [[3]], candidates=mask)
    assert got.of("HR@1") == [1.0]
    assert got.lists.tolist() == [[3, 4]]


def test_users_without_a_rankable_target_are_not_evaluated() -> None:
    mask = np.array([True, True, True, True, False])
    rows = [[1.0, 2.0, 3.0, 4.0, 5.0]] * 4
    got = run(rows, [[0], [0], [0], []], [[0], [3], [4], []], candidates=mask)
    assert got.users.tolist() == [1]
    assert got.of("HR@1") == [1.0]


def test_a_target_counts_once_however_often_it_occurs() -> None:
    got = run([[5.0, 4.0, 3.0, 2.0, 1.0]], [[]], [[0, 0, 3]])
    assert got.of("Recall@1") == [0.5]


def test_minus_infinity_ranks_last_and_tied_but_before_nothing_excluded() -> None:
    last = -math.inf
    got = run([[last, last, last, 1.0, 2.0]], [[0]], [[1]])
    # candidates 4, 3, then 1 and 2 tied at ranks three and four
    assert got.of("HR@3") == pytest.approx([1 / 2])
    assert got.of("AUC") == pytest.approx([0.5 / 3])


def test_scores_in_single_precision_and_whole_numbers_rank_alike() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 4, (20, 9))
    targets = [[int(rng.integers(9))] for _ in range(20)]
    results = [run(scores.astype(kind), [[]] * 20, targets).of("NDCG@3") for kind in ("i8", "f4", "f8")]
    assert results[0].tolist() == results[1].tolist() == results[2].tolist()


def test_the_callers_scores_are_left_alone() -> None:
    scores = np.arange(5.0)[None, :]
    run(scores, [[4]], [[0]])
    assert scores.tolist() == [[0.0, 1.0, 2.0, 3.0, 4.0]]


def test_a_user_gets_the_same_metrics_alone_as_in_a_crowd_of_several_blocks() -> None:
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 300, (900, 2000)).astype(np.float32)
    shuffled = [rng.permutation(2000)[:33].tolist() for _ in range(900)]
    seen, targets = (
        [row[:30] for row in shuffled],
        [row[30 : 31 + user % 3] for user, row in enumerate(shuffled)],
    )
    crowd = run(scores, seen, targets)
    for row in (0, 523, 524, 525, 899):
        alone = run(scores[row : row + 1], [seen[row]], [targets[row]])
        assert crowd.slices["all"].values[row].tolist() == alone.slices["all"].values[0].tolist()
        assert crowd.lists[row].tolist() == alone.lists[0].tolist()


def test_nan_has_no_place_in_a_ranking() -> None:
    with pytest.raises(ModelError, match="NaN"):
        run([[1.0, math.nan, 2.0, 0.0, math.inf]], [[]], [[0]])


def test_scores_for_part_of_the_catalogue_are_refused() -> None:
    histories = Histories.from_lists([[0]], NUM_ITEMS)
    targets = Histories.from_lists([[1]], NUM_ITEMS)
    with pytest.raises(ModelError, match=r"\(1, 5\).*got \(1, 4\)"):
        evaluate(lambda start, stop: np.zeros((stop - start, 4)), histories, targets, item_counts=np.ones(5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"targets": Histories.from_lists([[1], [2]], NUM_ITEMS)},
        {"item_counts": np.ones(4)},
        {"item_vectors": np.ones((6, 2))},
        {"candidates": np.ones(4, dtype=bool)},
        {"candidates": np.arange(5)},
    ],
)
def test_inputs_that_do_not_fit_together_are_refused(wrong: dict[str, object]) -> None:
    histories = Histories.from_lists([[0]], NUM_ITEMS)
    given = {"targets": histories, "item_counts": np.ones(5), **wrong}
    targets = given.pop("targets")
    with pytest.raises(DataError):
        evaluate(lambda start, stop: np.zeros((stop - start, 5)), histories, targets, **given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ks": ()},
        {"ks": (0, 10)},
        {"ks": (20, 10)},
        {"list_length": 0},
        {"sampled_negatives": 0},
        {"novelty_cap": math.inf},
        {"num_bootstrap": -1},
    ],
)
def test_a_protocol_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        RankingProtocol(**wrong)
