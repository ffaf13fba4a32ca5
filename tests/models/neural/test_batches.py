"""Batches, item by item."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedrec.data.histories import Histories
from fedrec.errors import ModelError
from fedrec.models.neural.batches import Batch, Batches

ROWS = Histories.from_lists([[1, 2, 3, 4], [5], [], [6, 7]], 9)


def only_batch(objective: str, rows: Histories = ROWS, max_length: int = 10) -> Batch:
    (batch,) = Batches(rows, objective, max_length, 8).epoch(torch.Generator().manual_seed(0))
    return batch


def by_length(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """(inputs, targets) without padding, the longest first."""
    rows = [
        (row[:length].tolist(), targets[mask].tolist())
        for row, length, targets, mask in zip(batch.inputs, batch.lengths, batch.targets, batch.mask, strict=True)
    ]
    return sorted(rows, key=lambda row: -len(row[0]))


def test_each_event_is_followed_by_the_next():
    assert by_length(only_batch("next")) == [([1, 2, 3], [2, 3, 4]), ([6], [7])]


def test_only_the_newest_events_are_used():
    assert by_length(only_batch("next", max_length=2)) == [([2, 3], [3, 4]), ([6], [7])]


def test_padding_is_at_the_end_and_is_no_target():
    batch = only_batch("next")
    assert batch.num_targets == 4
    short = int(batch.lengths.argmin())
    assert batch.inputs[short].tolist() == [6, 0, 0]
    assert batch.mask[short].tolist() == [True, False, False]


def test_the_rest_is_what_comes_after_a_random_moment():
    seen = set()
    for seed in range(20):
        (batch,) = Batches(ROWS, "rest", 10, 8).epoch(torch.Generator().manual_seed(seed))
        for inputs, targets in by_length(batch):
            assert inputs + targets in ([1, 2, 3, 4], [6, 7])
            assert inputs
            assert targets
            seen.add(tuple(inputs))
    assert seen == {(1,), (1, 2), (1, 2, 3), (6,)}


def test_windows_around_a_random_moment_are_bounded():
    rows = Histories.from_lists([list(range(9))], 9)
    for seed in range(20):
        (batch,) = Batches(rows, "rest", 2, 8).epoch(torch.Generator().manual_seed(seed))
        ((inputs, targets),) = by_length(batch)
        assert 1 <= len(inputs) <= 2
        assert 1 <= len(targets) <= 2
        assert inputs + targets == list(range(inputs[0], inputs[0] + len(inputs) + len(targets)))


def test_an_epoch_has_every_user_once_and_depends_on_the_generator_only():
    rows = Histories.from_lists([[user, (user + 1) % 30] for user in range(30)], 30)
    batches = Batches(rows, "next", 5, 4)
    first, again, other = (
        [batch.inputs[:, 0].tolist() for batch in batches.epoch(torch.Generator().manual_seed(seed))]
        for seed in (1, 1, 2)
    )
    assert sorted(user for users in first for user in users) == list(range(30))
    assert first == again
    assert first != other
    assert len(batches) == len(first) == 8


def test_users_of_like_length_are_together():
    rows = Histories.from_lists([[1] * length for length in (2, 100, 2, 100, 2, 100, 100, 2)], 3)
    for batch in Batches(rows, "next", 200, 4).epoch(torch.Generator().manual_seed(0)):
        assert len(set(batch.lengths.tolist())) == 1


def test_nobody_to_learn_from_is_an_error():
    with pytest.raises(ModelError, match="Nobody has two events"):
        Batches(Histories.from_lists([[1], []], 3), "next", 5, 4)


@pytest.mark.parametrize("objective", ["next", "rest"])
def test_batches_of_rows_have_one_shape_whoever_is_in_them(objective):
    """Three users of lengths 9, 2 and 4, two at a time, in the order in which they were given."""
    rows = Histories.from_lists([[1, 2, 3, 4, 5, 6, 7, 8, 1], [6, 7], [1], [2, 3, 4, 5]], 9)
    batches = Batches(rows, objective, 5, 8)
    for chosen, counts in (([0, 1, 2], [2, 1]), ([1], [1]), ([], [])):
        found = list(batches.of_rows(np.array(chosen, np.int64), 2, torch.Generator().manual_seed(0)))
        assert [users for _, users in found] == counts
        for batch, _ in found:
            shapes = [tuple(value.shape) for value in (batch.inputs, batch.lengths, batch.targets, batch.mask)]
            assert shapes == [(2, 5), (2,), (2, 5), (2, 5)]


def test_rows_after_the_users_are_made_up_of_one_event_and_one_target():
    ((batch, users),) = Batches(ROWS, "next", 4, 8).of_rows(np.array([1, 0]), 3, torch.Generator().manual_seed(0))
    assert users == 2
    assert batch.inputs.tolist() == [[6, 0, 0, 0], [1, 2, 3, 0], [0, 0, 0, 0]]
    assert batch.lengths.tolist() == [1, 3, 1]
    assert batch.targets.tolist() == [[7, 0, 0, 0], [2, 3, 4, 0], [0, 0, 0, 0]]
    assert batch.mask.long().tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]
