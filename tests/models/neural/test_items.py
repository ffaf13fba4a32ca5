"""Item vectors of items that some, or nobody, has had: item dropout, the gate between sources, rows that say nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedrec.client.training import LocalRows, train
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError, NotFitted
from fedrec.models.neural import MF, Network, NeuralModel, SASRec
from fedrec.models.neural.batches import Batch, Batches
from fedrec.models.neural.fusion import Gate
from fedrec.models.neural.items import seen_only
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.objectives import Catalogue, batch_loss
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import RESIDUAL, WIDTHS, public_weights
from fedrec.models.neural.randomness import stream
from fedrec.models.protocols import AnyArray, Field, ItemFeatures
from fedrec.rng import derive
from tests.models.neural.worlds import NUM_ITEMS, circles

CONTENT = torch.from_numpy(derive(0, "content").standard_normal((NUM_ITEMS, 5)).astype(np.float32))
EVERYTHING = Catalogue(torch.arange(NUM_ITEMS), CONTENT)
MODELS: list[NeuralModel] = [SASRec(dim=8, blocks=1, max_length=10, dropout=0.0), MF(dim=8, max_length=10)]
WORLD = circles(num_users=20, length=6)
ITEMS = ItemFeatures(NUM_ITEMS, CONTENT.numpy(), (Field("text", 3), Field("price", 2)))
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def batch_of(model: NeuralModel) -> Batch:
    (batch,) = Batches(WORLD, model.objective, model.max_length, 50).epoch(stream(0, "order"))
    return batch


def loss_of(network: Network, catalogue: Catalogue, model: NeuralModel, loss: str) -> Tensor:
    plan = LocalTraining(loss=loss, negatives=4)
    return batch_loss(network, catalogue, batch_of(model), plan, stream(0, "negatives"))


@every_model
@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax"])
def test_an_item_that_is_dropped_is_its_tower_wherever_the_step_meets_it(model: NeuralModel, loss: str) -> None:
    """The twin has no residual for these items at all."""
    kept = torch.arange(NUM_ITEMS, dtype=torch.float32) % 3
    kept[kept > 1] = 1
    found, twin = (model.build(NUM_ITEMS, 5, 0) for _ in range(2))
    with torch.no_grad():
        twin.items.residual.weight *= kept[:, None]
    value = loss_of(found, replace(EVERYTHING, kept=kept), model, loss)
    torch.testing.assert_close(value, loss_of(twin, EVERYTHING, model, loss))
    assert not torch.allclose(value, loss_of(found, EVERYTHING, model, loss))
    value.backward()
    moved = found.items.residual.weight.grad.abs().sum(1) > 0
    assert not moved[kept == 0].any()
    assert moved[kept == 1].all()


def test_a_share_of_the_items_is_dropped_anew_in_each_step() -> None:
    """Of 10,000 items half of them up to 250: five standard deviations, one false alarm in 1.7 million."""
    many, generator = Catalogue(torch.arange(10_000), torch.zeros(10_000, 1)), stream(0, "steps")
    first, second = (many.dropping(0.5, generator).kept for _ in range(2))
    for kept in (first, second):
        assert set(kept.tolist()) == {0.0, 1.0}
        assert abs(int(kept.sum()) - 5000) < 250
    assert not torch.equal(first, second)
    assert not many.dropping(1.0, generator).kept.any()


def test_without_item_dropout_nothing_is_drawn() -> None:
    generator = stream(0, "steps")
    before = generator.get_state()
    assert EVERYTHING.dropping(0.0, generator) is EVERYTHING
    assert torch.equal(before, generator.get_state())


def test_item_dropout_follows_from_seed_round_and_client() -> None:
    def after(share: float, *where: int | str) -> Tensor:
        network = MODELS[0].build(NUM_ITEMS, 5, 0)
        once = {"batch_size": 40, "optimizer": "sgd", "learning_rate": 1.0}  # one step of all users, in any order
        plan = LocalTraining(item_dropout=share, **once)
        train(network, MODELS[0], LocalRows(WORLD, CONTENT.numpy()), plan, Progress(0, int(where[0]), 9, str(where[1])))
        return network.items.tower.weight.detach()

    first = after(0.5, 1, "a")
    assert torch.equal(first, after(0.5, 1, "a"))
    for other in ((0.5, 2, "a"), (0.5, 1, "b"), (0.0, 1, "a")):
        assert not torch.allclose(first, after(*other), atol=1e-7)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_what_is_no_share_of_the_items_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="item_dropout"):
        LocalTraining(item_dropout=share)


def test_items_without_content_cannot_be_dropped() -> None:
    network = MODELS[0].build(NUM_ITEMS, 0, 0)
    with pytest.raises(ModelError, match="leaves items to their content, and they have none"):
        train(network, MODELS[0], LocalRows(WORLD), LocalTraining(item_dropout=0.5))


def test_rows_of_items_that_nobody_had_are_zero() -> None:
    found = seen_only(np.ones((3, 2), np.float32), np.array([1.0, 0.0, -0.5]))
    np.testing.assert_array_equal(found, [[1, 1], [0, 0], [0, 0]])
    assert found.dtype == np.float32


def weights_of(model: NeuralModel, items: ItemFeatures, counts: AnyArray) -> dict[str, AnyArray]:
    network = model.build(NUM_ITEMS, items.widths.tolist(), 0)
    return arrays_of(network, tuple(network.state_dict())) | public_weights(items, counts)


@every_model
def test_an_item_that_nobody_had_is_scored_by_its_content_alone(model: NeuralModel) -> None:
    """Items 5 and 9 have rows that were drawn at random; another row there changes nothing, elsewhere it does."""
    counts = np.ones(NUM_ITEMS)
    counts[[5, 9]] = 0.0
    asked = Histories.from_lists([[0, 1], [5, 2]], NUM_ITEMS)
    weights = weights_of(model, ITEMS, counts)
    scores = model.scores(weights, asked)
    unseen, seen = (weights[RESIDUAL].copy() for _ in range(2))
    unseen[[5, 9]], seen[2] = 7.0, 7.0
    np.testing.assert_array_equal(model.scores(weights | {RESIDUAL: unseen}, asked), scores)
    assert not np.allclose(model.scores(weights | {RESIDUAL: seen}, asked), scores)


@every_model
def test_without_content_an_item_that_nobody_had_keeps_its_row(model: NeuralModel) -> None:
    weights = weights_of(model, ItemFeatures(NUM_ITEMS), np.zeros(NUM_ITEMS))
    asked = Histories.from_lists([[0, 1]], NUM_ITEMS)
    scores = model.scores(weights, asked)
    assert not np.allclose(model.scores(weights | {RESIDUAL: 2 * weights[RESIDUAL]}, asked), scores)


def test_a_gate_shares_out_what_is_known() -> None:
    """Asked for 0 and log 3, fields count 1/4 and 3/4; alone a field counts 1, however loud the encoder made it."""
    gate = Gate([2, 1])
    with torch.no_grad():
        gate.ask.weight.zero_()
        gate.ask.bias.copy_(torch.tensor([0.0, math.log(3)]))
    content = torch.tensor([[0.6, 0.8, -0.5], [3.0, 4.0, 0.0], [0.0, 0.0, 0.1], [0.0, 0.0, 0.0]])
    found = gate(content)
    torch.testing.assert_close(found, torch.tensor([[0.15, 0.2, -0.75], [0.6, 0.8, 0], [0, 0, 1.0], [0, 0, 0]]))
    found.sum().backward()
    assert torch.isfinite(gate.ask.bias.grad).all()


def test_a_field_that_is_not_known_moves_nothing_whatever_the_gate_asks_of_it() -> None:
    gate = Gate([2, 1])
    with torch.no_grad():
        gate.ask.weight.copy_(torch.randn(2, 3, generator=stream(0, "gate")))
        gate.ask.bias.copy_(torch.tensor([0.0, 1e9]))
    torch.testing.assert_close(gate(torch.tensor([[3.0, 4.0, 0.0]])), torch.tensor([[0.6, 0.8, 0.0]]))


@every_model
def test_a_gated_model_trains_and_scores_with_the_fields_of_its_content(model: NeuralModel) -> None:
    gated = replace(model, fusion="gate")
    network = gated.build(NUM_ITEMS, [3, 2], 0)
    before = network.items.gate.ask.weight.detach().clone()
    train(network, gated, LocalRows(WORLD, CONTENT.numpy()), LocalTraining(batch_size=5))
    assert not torch.equal(before, network.items.gate.ask.weight)
    weights = arrays_of(network, tuple(network.state_dict())) | public_weights(ITEMS, np.ones(NUM_ITEMS))
    assert set(weights) <= set(gated.shared)
    asked = Histories.from_lists([[0, 1]], NUM_ITEMS)
    doubled = weights | {"content": weights["content"] * np.array([1, 1, 1, 2, 2], np.float32)}
    with torch.no_grad():
        network.items.gate.ask.weight.zero_()
    flat = arrays_of(network, tuple(network.state_dict()))
    np.testing.assert_allclose(gated.scores(doubled | flat, asked), gated.scores(weights | flat, asked), rtol=1e-4)
    with pytest.raises(NotFitted, match="widths"):
        gated.scores({name: value for name, value in weights.items() if name != WIDTHS}, asked)


@every_model
def test_a_model_whose_fields_are_summed_is_what_it_was(model: NeuralModel) -> None:
    whole, parts = model.build(NUM_ITEMS, 5, 0).state_dict(), model.build(NUM_ITEMS, [3, 2], 0).state_dict()
    assert [name for name in whole if "gate" in name] == []
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_an_unknown_fusion_is_refused() -> None:
    with pytest.raises(ConfigError, match="Expected fusion='attention' to be one of sum, gate"):
        SASRec(fusion="attention")


KINDS, OF_A_KIND, NEW = 8, 12, 3


def planted() -> tuple[Histories, AnyArray, AnyArray]:
    """Each user has items of one kind; content tells the kind, and much else. Of each kind nobody has the last three.

    Histories, content and the kinds of the items.
    """
    rng, num_items = derive(1, "planted"), KINDS * OF_A_KIND
    kinds = np.arange(num_items) % KINDS
    told = np.eye(KINDS)[kinds] + 0.2 * rng.standard_normal((num_items, KINDS))
    content = np.hstack([told, 0.7 * rng.standard_normal((num_items, 48))])
    old = np.arange(num_items - KINDS * NEW)
    rows = [rng.choice(old[kinds[old] == user % KINDS], 8, replace=False).tolist() for user in range(120)]
    unit = content / np.linalg.norm(content, axis=1, keepdims=True)
    return Histories.from_lists(rows, num_items), unit.astype(np.float32), kinds


def share_of_pairs_in_order(item_dropout: float) -> float:
    """How often a new item of the user's kind is before a new item of another kind; 1/2 is chance."""
    rows, content, kinds = planted()
    model = MF(dim=16, max_length=10)
    network = model.build(rows.num_items, content.shape[1], 0)
    plan = LocalTraining(epochs=30, batch_size=24, learning_rate=0.03, item_dropout=item_dropout)
    train(network, model, LocalRows(rows, content), plan)
    items, counts = ItemFeatures(rows.num_items, content), np.bincount(rows.items, minlength=rows.num_items)
    weights = arrays_of(network, tuple(network.state_dict())) | public_weights(items, counts)
    scores, new = model.scores(weights, rows)[:, -KINDS * NEW :], kinds[-KINDS * NEW :]
    own = new == np.arange(rows.num_users)[:, None] % KINDS
    wins = (scores[:, :, None] > scores[:, None, :]) & own[:, :, None] & ~own[:, None, :]
    return float(wins.sum() / (own.sum(1) * (~own).sum(1)).sum())


def test_new_items_are_ranked_far_above_chance_and_better_with_item_dropout() -> None:
    """Everything follows from seeds, and nothing is left to chance. On three seeds the gain was 0.06 to 0.08."""
    without, with_dropout = share_of_pairs_in_order(0.0), share_of_pairs_in_order(0.8)
    assert without > 0.8
    assert with_dropout > without + 0.03
