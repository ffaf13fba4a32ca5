"""The private gradient of every recommender against a slow twin, and what one user can do to another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrec.models.neural import CNN, Autoencoder, GRU4Rec, NeuralModel
from fedrec.models.neural.by_user import UserBatch
from tests.models.neural.worlds import MODELS, label
from tests.privacy.gradients.worlds import World, twin

PLAIN = [replace(model, dropout=0.0) if hasattr(model, "dropout") else model for model in MODELS]
SEVERAL: list[NeuralModel] = [*PLAIN, GRU4Rec(dim=8, hidden=6, layers=2, max_length=10, dropout=0.0)]
every_model = pytest.mark.parametrize("model", SEVERAL, ids=label)


@every_model
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("content", [False, True], ids=["ids", "content and item dropout"])
def test_a_step_is_the_sum_of_each_users_bounded_gradient(
    model: NeuralModel, dtype: torch.dtype, tolerance: float, content: bool
) -> None:
    world = World(model, dtype, content)
    (whole,) = world.parts()
    middle = float(twin(world.network, whole, world.terms)[1].median())
    world = World(model, dtype, content, clip_norm=middle)
    expected, norms = twin(world.network, whole, world.terms)
    found = world.gradient([whole])
    assert 0 < int((norms > middle).sum()) < len(norms)  # some are scaled, others are not
    torch.testing.assert_close(world.steps.norms, norms, rtol=tolerance * 10, atol=tolerance)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=tolerance * middle, msg=name)


@every_model
def test_a_batch_in_parts_is_the_same_step(model: NeuralModel) -> None:
    whole = World(model, multiplier=1.0)
    parts = World(model, multiplier=1.0)
    first, second = whole.gradient(whole.parts()), parts.gradient(parts.parts(most=2))
    assert len(parts.parts(most=2)) > 3
    for name, value in first.items():  # the noise is drawn once, so it is the same, too
        torch.testing.assert_close(second[name], value, rtol=0, atol=1e-12, msg=name)


@every_model
def test_another_user_changes_nobody_elses_part(model: NeuralModel) -> None:
    """Of two steps that differ in one user, the difference is that user's alone, and no longer than the bound."""
    world, other = World(model, clip_norm=0.01), World(model, clip_norm=0.01)
    (whole,) = world.parts()
    inputs, targets = whole.batch.inputs.clone(), whole.batch.targets.clone()
    inputs[3], targets[3] = 5, 7
    changed = replace(whole, batch=replace(whole.batch, inputs=inputs, targets=targets))
    difference = minus(world.gradient([whole]), other.gradient([changed]))
    alone = minus(
        World(model, clip_norm=0.01).gradient([user(whole, 3)]),
        World(model, clip_norm=0.01).gradient([user(changed, 3)]),
    )
    for name, value in difference.items():
        torch.testing.assert_close(value, alone[name], rtol=0, atol=1e-12, msg=name)


@every_model
def test_no_user_adds_more_than_the_bound(model: NeuralModel) -> None:
    bound, world = 0.003, World(model)
    for index in range(3):
        alone = World(model, clip_norm=bound).gradient([user(world.parts()[0], index)])
        norm = float(torch.cat([value.reshape(-1) for value in alone.values()]).norm()) * world.terms.divisor
        assert norm == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize(
    "model", [Autoencoder(dim=8, hidden=8, max_length=10), CNN(dim=8, blocks=1, max_length=10)], ids=label
)
def test_dropout_is_drawn_for_each_user_and_the_checks_do_not_disturb_it(model: NeuralModel) -> None:
    first, again = World(model), World(model)
    with first.steps, again.steps:
        first.steps.gradient()
        again.steps.gradient()
    for one, other in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
        assert one.grad.abs().sum() > 0


def user(part: UserBatch, index: int) -> UserBatch:
    return part.some(slice(index, index + 1))


def minus(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value - right[name] for name, value in left.items()}


def test_the_network_is_an_ordinary_one_afterwards() -> None:
    world = World(SEVERAL[-1])
    kinds = [type(module) for module in world.network.modules()]
    before = {name: value.clone() for name, value in world.network.state_dict().items()}
    world.gradient(world.parts())
    assert [type(module) for module in world.network.modules()] == kinds
    assert all(torch.equal(value, before[name]) for name, value in world.network.state_dict().items())
    (whole,) = world.parts()
    world.network.zero_grad()
    whole.losses(world.network.train()).sum().backward()
    assert not hasattr(next(world.network.parameters()), "grad_sample")
    assert np.isfinite(float(world.network.items.residual.weight.grad.sum()))
