"""Losses against numbers by hand and slow twins."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from fedrec.models import losses
from fedrec.models.losses import LOSSES, SAMPLED, bce, bpr, full_softmax, gbce, sampled_softmax


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_full_softmax_of_two_equal_items_is_log_two():
    loss = full_softmax(torch.zeros(1, 3), torch.ones(2, 3), torch.tensor([1]), torch.ones(1))
    assert loss.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("cells", [1, 20, 10_000])
def test_full_softmax_and_its_gradients_are_those_of_torch(monkeypatch, cells):
    monkeypatch.setattr(losses, "CELLS_AT_A_TIME", cells)
    targets, weights = torch.tensor([0, 4, 6, 6, 2]), torch.tensor([0.5, 1.0, 0.0, 2.0, 0.25], dtype=torch.float64)
    found, expected = ([random(5, 3).requires_grad_(), random(7, 3, seed=1).requires_grad_()] for _ in range(2))
    loss = 3 * full_softmax(*found, targets, weights)
    loss.backward()
    twin = 3 * (cross_entropy(expected[0] @ expected[1].T, targets, reduction="none") * weights).sum()
    twin.backward()
    assert loss.item() == pytest.approx(twin.item(), rel=1e-12)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12)


def test_full_softmax_survives_large_scores():
    states = torch.tensor([[1000.0], [-1000.0]])
    loss = full_softmax(states, torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 0]), torch.ones(2))
    assert loss.item() == pytest.approx(2000.0)


def test_sampled_softmax_with_every_other_item_is_full_softmax():
    scores = random(4, 6)
    found = sampled_softmax(scores[:, 0], scores[:, 1:], num_items=6)
    torch.testing.assert_close(found, cross_entropy(scores, torch.zeros(4, dtype=torch.long), reduction="none"))


def test_sampled_softmax_lets_each_negative_stand_for_its_share_of_the_catalogue():
    found = sampled_softmax(torch.zeros(1), torch.zeros(1, 2), num_items=9)
    assert found.item() == pytest.approx(math.log(1 + 8))


def test_bpr_by_hand():
    found = bpr(torch.tensor([1.0]), torch.tensor([[1.0, 0.0]]), 5)
    assert found.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(-1))) / 2)


def test_bce_by_hand():
    found = bce(torch.tensor([0.0]), torch.tensor([[0.0, 0.0]]), 5)
    assert found.item() == pytest.approx(2 * math.log(2))


def test_gbce_by_hand():
    """k=2 of 8 others: rate 1/4, t=3/4: beta = 1/4 (3/4 (1 - 4) + 4) = 7/16."""
    found = gbce(torch.tensor([0.0]), torch.tensor([[0.0, 0.0]]), 9)
    assert found.item() == pytest.approx((7 / 16 * math.log(2) + 2 * math.log(2)) / 3)


def test_gbce_without_calibration_is_bce_over_all_negatives():
    positive, negative = random(3), random(3, 4, seed=1)
    expected = -(torch.sigmoid(positive).log() + torch.sigmoid(-negative).log().sum(-1)) / 5
    torch.testing.assert_close(gbce(positive, negative, 50, calibration=0.0), expected)


@pytest.mark.parametrize("name", SAMPLED)
def test_a_negative_that_is_the_target_counts_for_nothing(name):
    positive = torch.tensor([0.3], requires_grad=True)
    negative = torch.tensor([[0.1, -torch.inf, 0.7]])
    loss = SAMPLED[name](positive, negative, 10).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(positive.grad).all()


@pytest.mark.parametrize("name", SAMPLED)
def test_a_better_target_costs_less_and_a_better_negative_more(name):
    base = SAMPLED[name](torch.tensor([0.5]), torch.tensor([[0.5, 0.2]]), 10)
    assert SAMPLED[name](torch.tensor([1.5]), torch.tensor([[0.5, 0.2]]), 10) < base
    assert SAMPLED[name](torch.tensor([0.5]), torch.tensor([[1.5, 0.2]]), 10) > base


def test_the_names_are_these():
    assert LOSSES == ("softmax", "sampled_softmax", "bpr", "bce", "gbce")
