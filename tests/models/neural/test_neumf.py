"""NeuMF against the formulas of its paper, and scores that are no inner products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fedrec.models.neural import Network, NeuMF, neumf
from fedrec.models.neural.batches import Batch, Batches
from fedrec.models.neural.network import construct
from fedrec.models.neural.objectives import Catalogue, batch_loss
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.protocol import network_scores
from fedrec.models.neural.randomness import stream
from tests.models.neural.worlds import MODELS, NUM_ITEMS, circles, label

MODEL = NeuMF(dim=4, hidden=8, layers=3, max_length=10, dropout=0.0)
WORLD = circles(num_users=7, length=6)
EVERYTHING = Catalogue(torch.arange(NUM_ITEMS), None)


def built(model: NeuMF = MODEL) -> Network:
    """In float64, with larger item vectors than at the beginning of training, so that differences show."""
    network = construct(lambda: model.build(NUM_ITEMS, 0, 0), stream(1, "test")).double().eval()
    with torch.no_grad():
        network.items.residual.weight *= 20
    return network


def of_the_paper(network: Network, history: list[int], item: int) -> Tensor:
    """One pair: user and item vector side by side into the perceptron, and their weighted product beside it."""
    table, encoder, meeting = network.items.residual.weight, network.encoder, network.meeting
    recency = torch.tensor([0.5 ** (age / 3.0) for age in range(len(history))][::-1], dtype=torch.float64)
    user = encoder.norm(2.0 * (table[history] * recency[:, None]).sum(0) / recency.sum())
    product = (encoder.product(user) * table[item]).sum()
    first = torch.cat([encoder.perceptron.weight, meeting.item.weight], 1)
    hidden = torch.relu(first @ torch.cat([user, 2.0 * table[item]]) + encoder.perceptron.bias)
    for layer in meeting.deeper:
        hidden = torch.relu(layer(hidden))
    return product + meeting.out(hidden)[0]


@pytest.mark.parametrize("cells", [1, 200, 1 << 21])
def test_scores_are_those_of_the_paper(monkeypatch, cells):
    monkeypatch.setattr(neumf, "CELLS_AT_A_TIME", cells)
    network = built()
    found = network_scores(network, None, WORLD, 10, np.zeros(NUM_ITEMS))
    twin = [[of_the_paper(network, WORLD.row(u).tolist(), i).item() for i in range(NUM_ITEMS)] for u in range(7)]
    np.testing.assert_allclose(found, twin, rtol=1e-5, atol=1e-6)
    assert found.std(axis=0).min() > 1e-3


def test_a_pair_has_the_score_that_it_has_in_the_catalogue():
    network = built()
    states = torch.randn(3, 1, 4 + 8, generator=stream(0, "states"), dtype=torch.float64)
    vectors = torch.randn(5, 4, generator=stream(0, "vectors"), dtype=torch.float64)
    everyone = network.score(states, vectors)
    assert everyone.shape == (3, 1, 5)
    torch.testing.assert_close(network.score_pairs(states, vectors.expand(3, 5, 4)), everyone[:, 0])
    torch.testing.assert_close(network.score(states, vectors.expand(3, 5, 4)), everyone)


@pytest.mark.parametrize("cells", [1, 200, 1 << 21])
def test_full_softmax_and_its_gradients_are_those_of_all_pairs(monkeypatch, cells):
    monkeypatch.setattr(neumf, "CELLS_AT_A_TIME", cells)
    batch, losses = rest_batch(), []
    found, twin = built(), built()
    batch_loss(found, EVERYTHING, batch, LocalTraining(), stream(0, "negatives")).backward()
    for row, length, targets, mask in zip(batch.inputs, batch.lengths, batch.targets, batch.mask, strict=True):
        scores = torch.stack([of_the_paper(twin, row[:length].tolist(), item) for item in range(NUM_ITEMS)])
        losses += [cross_entropy(scores, target) for target in targets[mask]]
    torch.stack(losses).mean().backward()
    for (name, one), other in zip(found.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-10, msg=name)


def rest_batch() -> Batch:
    (batch,) = Batches(WORLD, "rest", 10, 20).epoch(torch.Generator().manual_seed(0))
    return batch


@pytest.mark.parametrize("model", [model for model in MODELS if not isinstance(model, NeuMF)], ids=label)
def test_full_softmax_is_the_same_with_and_without_a_meeting(model):
    """The fused way of inner products against the plain way of all other scores."""
    plain, other = (model.build(NUM_ITEMS, 0, 0).double().eval() for _ in range(2))
    other.meeting = InnerProduct()
    (batch,) = Batches(WORLD, model.objective, 10, 20).epoch(torch.Generator().manual_seed(0))
    for loss in ("softmax", "sampled_softmax"):
        values = [
            batch_loss(network, EVERYTHING, batch, LocalTraining(loss=loss, negatives=4), stream(0, "negatives"))
            for network in (plain, other)
        ]
        torch.testing.assert_close(*values, rtol=1e-10, atol=1e-12)


class InnerProduct(torch.nn.Module):
    def forward(self, states: Tensor, vectors: Tensor) -> Tensor:
        return states @ vectors.transpose(-1, -2)


@pytest.mark.parametrize("grad", [True, False])
def test_hidden_layers_of_a_whole_catalogue_are_never_there_at_once(monkeypatch, grad):
    monkeypatch.setattr(neumf, "CELLS_AT_A_TIME", 2 * NUM_ITEMS * 8)
    network, seen = built(), []
    network.meeting.deeper[0].register_forward_hook(lambda module, given, made: seen.append(given[0].numel()))
    states = torch.randn(7, 1, 12, generator=stream(0, "states"), dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        scores = network.score(states, network.item_vectors(None, torch.arange(NUM_ITEMS)))
    assert seen == [2 * NUM_ITEMS * 8] * 3 + [NUM_ITEMS * 8]
    if grad:
        scores.sum().backward()
        assert len(seen) == 8  # made once more for the gradient


def test_without_half_life_all_events_weigh_alike():
    rows = torch.randn(1, 3, 4, generator=stream(0, "vectors"), dtype=torch.float64)
    lengths = torch.tensor([3])
    flat, recent = (replace(MODEL, half_life=half_life).build(5, 0, 0).double().eval() for half_life in (None, 3.0))
    turned = rows.flip(1)
    torch.testing.assert_close(flat.encode(rows, lengths), flat.encode(turned, lengths))
    assert not torch.allclose(recent.encode(rows, lengths), recent.encode(turned, lengths))
