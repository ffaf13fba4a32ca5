"""Networks and losses of which one user's part cannot be bounded are refused, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedrec.errors import ConfigError, ModelError
from fedrec.models.neural import MF, GRU4Rec, Network, SASRec
from fedrec.models.neural.by_user import UserBatch, UserRanking
from fedrec.privacy.gradients.steps import PrivateSteps
from tests.privacy.gradients.worlds import World, secrets, terms

MODEL = SASRec(dim=8, blocks=1, heads=2, max_length=10, dropout=0.0)


@dataclass(frozen=True, eq=False)
class Twisted:
    """A part of a step whose losses are not what they should be."""

    part: UserBatch
    twist: Callable[[UserBatch, Network], Tensor]

    def __len__(self) -> int:
        return len(self.part)

    def some(self, rows: slice) -> Twisted:
        return replace(self, part=self.part.some(rows))

    def losses(self, network: Any) -> Tensor:
        return self.twist(self.part, network)


def weight_decay(part: UserBatch, network: Network) -> Tensor:
    """Reads the table without its lookup."""
    return part.losses(network) + network.items.residual.weight[part.batch.targets[:, 0]].square().sum(-1)


def read_twice(part: UserBatch, network: Network) -> Tensor:
    return part.losses(network) + network.item_vectors(None, part.batch.targets[:, :1]).square().sum((-1, -2))


def of_one_another(part: UserBatch, network: Network) -> Tensor:
    """Negatives of the batch: each user's are the others' items."""
    return replace(part, negatives=part.batch.targets[:, :1].T.expand(len(part), -1)).losses(network)


def less_the_mean(part: UserBatch, network: Network) -> Tensor:
    losses = part.losses(network)
    return losses - losses.mean()


def past_the_hook(part: UserBatch, network: Network) -> Tensor:
    """Uses a linear layer's weight once by the layer and once by hand."""
    layer = network.encoder.blocks[0].join
    return part.losses(network) + nn.functional.linear(torch.ones(len(part), 8).double(), layer.weight).sum(-1)


@pytest.mark.parametrize(
    ("twist", "reason"),
    [
        (weight_decay, "used other than by its one lookup"),
        (read_twice, "read twice in a step"),
        (of_one_another, "depends on the other users"),
        (less_the_mean, "depends on the other users"),
        (past_the_hook, r"do not add up to that of 'encoder\.blocks\.0\.join\.weight'"),
    ],
)
def test_a_loss_that_breaks_the_rules_is_refused(twist: Callable[..., Tensor], reason: str) -> None:
    world = World(MODEL)
    with pytest.raises(ModelError, match=reason), world.steps:
        world.steps.gradient_of([Twisted(world.parts()[0], twist)])


def test_a_table_that_is_used_by_hand_in_a_later_step_is_refused_there() -> None:
    world = World(MODEL)
    with world.steps:
        world.steps.gradient_of(list(world.parts()))
        with pytest.raises(ModelError, match="other than by its one lookup"):
            world.steps.gradient_of([Twisted(world.parts()[0], weight_decay)])


class _Mixing(nn.Module):
    def __init__(self, inner: nn.Module, extra: nn.Module) -> None:
        super().__init__()
        self.inner, self.extra = inner, extra

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        states: Tensor = self.inner(vectors, lengths)
        return states


class _Remembering(nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 2)
        self.register_buffer("mean", torch.zeros(2))


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (nn.BatchNorm1d(8), "normalises over users"),
        (_Remembering(), "a buffer"),
        (nn.Embedding(3, 2), "is a Embedding"),
        (nn.LSTM(2, 2), "is a LSTM"),
        (nn.Linear(2, 2), "has no gradient per user"),
    ],
)
def test_a_network_that_breaks_the_rules_is_refused(extra: nn.Module, reason: str) -> None:
    world = World(MODEL)
    world.network.encoder = _Mixing(world.network.encoder, extra.double())
    with pytest.raises(ModelError, match=reason):
        steps_of(world)


def test_a_table_in_two_places_is_refused() -> None:
    world = World(MODEL)
    world.network.encoder.positions = world.network.items.residual
    with pytest.raises(ModelError, match="share a parameter|one layer once"):
        steps_of(world)


def test_a_recurrent_unit_of_another_kind_is_refused() -> None:
    world = World(GRU4Rec(dim=8, hidden=8, max_length=10))
    world.network.encoder.recurrence = nn.GRU(8, 8, batch_first=True, bidirectional=True).double()
    with pytest.raises(ModelError, match="Expected a GRU in one direction"):
        steps_of(world)


def test_a_loss_over_the_whole_catalogue_is_refused() -> None:
    ranking = World(MODEL).task.ranking
    with pytest.raises(ModelError, match="gradient for the whole catalogue"):
        UserRanking(replace(ranking, plan=replace(ranking.plan, loss="softmax")))


def test_a_user_whose_gradient_is_no_number_counts_nothing() -> None:
    world, without = World(MF(dim=8, max_length=10)), World(MF(dim=8, max_length=10))
    (whole,) = world.parts()
    nobody = [whole.some(slice(0, 2)), whole.some(slice(3, 9))]
    spoilt = Twisted(whole, lambda part, network: part.losses(network) * broken(part, whole))
    found, expected = {}, without.gradient(nobody)
    with world.steps:
        world.steps.gradient_of([whole])  # the checks see sound users
        world.steps.gradient_of([spoilt])
        found = {name: parameter.grad.clone() for name, parameter in world.network.named_parameters()}
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)


def broken(part: UserBatch, whole: UserBatch) -> Tensor:
    """Infinite for the third user."""
    return torch.where(torch.arange(len(part)) == 2, torch.inf, 1.0).double()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0.0}, "rate=0"),
        ({"rate": 1.1}, "rate=1.1 <= 1"),
        ({"clip_norm": float("inf")}, "clip_norm=inf to be a finite number"),
        ({"multiplier": -1.0}, "multiplier=-1"),
        ({"divisor": 0}, "divisor=0"),
        ({"steps": 2.5}, "steps=2.5"),
    ],
)
def test_wrong_terms_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        terms(**change)


def test_steps_that_were_not_accounted_for_are_noticed() -> None:
    world = World(MODEL, steps=2)
    with world.steps:
        world.steps.gradient()
        with pytest.raises(ModelError, match="not those that were accounted for"):
            world.steps.check_spent()
        world.steps.gradient()
        world.steps.check_spent()


def steps_of(world: World) -> None:
    with PrivateSteps(world.network, world.task, world.optimizer, terms(), secrets()) as steps:
        steps.gradient_of(list(world.parts()))
