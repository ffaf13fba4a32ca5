"""Slices by activity and by the popularity of targets."""

import numpy as np
import pytest

from fedrec.data.histories import Histories
from fedrec.metrics import SLICES, RankingProtocol, evaluate
from fedrec.metrics.slices import ACTIVITY_SLICES, TARGET_SLICES, activity_slice, target_slice


@pytest.mark.parametrize(
    ("length", "name"),
    [(0, "0"), (1, "1-9"), (9, "1-9"), (10, "10-49"), (49, "10-49"), (50, "50-199"), (199, "50-199")],
)
def test_activity_is_cut_at_public_lengths(length: int, name: str) -> None:
    assert ACTIVITY_SLICES[activity_slice(np.array([length]))[0]] == f"activity:{name}"


def test_the_most_active_have_no_upper_end() -> None:
    assert {ACTIVITY_SLICES[i] for i in activity_slice(np.array([200, 10**6]))} == {"activity:200+"}


def test_head_and_tail_each_hold_a_fifth_of_the_events() -> None:
    # of 20 events the first 4 make the head, the last 4 the tail
    names = [TARGET_SLICES[i][7:] for i in target_slice(np.array([1, 4, 0, 6, 6, 2, 1]))]
    # in order of popularity: 6 (from 0), 6 (from 6), 4 (from 12), 2 (from 16), 1, 1, 0
    assert names == ["tail", "mid", "cold", "head", "mid", "tail", "tail"]


def test_without_events_every_item_is_cold() -> None:
    assert {TARGET_SLICES[i] for i in target_slice(np.zeros(3))} == {"target:cold"}


def test_a_target_slice_asks_for_its_targets_in_the_unchanged_ranking() -> None:
    counts = np.array([10, 10, 10, 10, 10, 0])  # items 0 | 1 2 3 | 4 | 5: head, mid, tail, cold
    scores = np.array([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    got = evaluate(
        lambda start, stop: scores[start:stop],
        Histories.from_lists([[1]], 6),
        Histories.from_lists([[0, 2, 5]], 6),
        item_counts=counts,
        protocol=RankingProtocol(ks=(2,)),
    )
    # the ranking is 0 2 3 4 5
    assert got.of("Recall@2") == pytest.approx([2 / 3])
    assert got.of("MRR@2", "target:head") == [1.0]
    assert got.of("MRR@2", "target:mid") == [0.5]  # item 0 stays before it
    assert got.of("HR@2", "target:cold") == [0.0]
    assert got.of("HR@2", "target:tail").tolist() == []
    assert got.of("HR@2", "activity:1-9") == [1.0]


def test_every_user_is_in_all_and_in_one_activity_slice() -> None:
    rng = np.random.default_rng(4)
    seen = [rng.choice(400, n, replace=False).tolist() for n in (0, 3, 9, 10, 60, 250, 0)]
    got = evaluate(
        lambda start, stop: np.zeros((stop - start, 400)),
        Histories.from_lists(seen, 400),
        Histories.from_lists([[int(np.setdiff1d(np.arange(400), row)[0])] for row in seen], 400),
        item_counts=np.ones(400),
    )
    assert tuple(got.slices) == SLICES
    assert got.slices["all"].members.tolist() == list(range(7))
    assert got.slices["activity:0"].members.tolist() == [0, 6]
    together = np.concatenate([got.slices[name].members for name in ACTIVITY_SLICES])
    assert sorted(together) == list(range(7))
