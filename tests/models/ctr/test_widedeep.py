"""The network against a slow twin, and what training may rely on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedrec.client.training import learn
from fedrec.errors import ConfigError, ModelError
from fedrec.models.ctr import ClickBatch, ClickProtocol, ClickRows, Clicks, WideDeep, WideDeepNetwork, measured
from fedrec.models.ctr import widedeep as module
from fedrec.models.ctr.features import contexts, field_widths
from fedrec.models.ctr.learning import user_losses
from fedrec.models.ctr.widedeep import probabilities
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.randomness import seed_dropout, stream
from tests.models.ctr.worlds import TINY, fans, shop

WORLD = ClickRows.of(fans(num_users=30), TINY)
SHOP = shop({"ann": [("a", 0, 5.0), ("b", 9, 1.0), ("d", 30, 4.0), ("f", 40, 1.0)], "bob": [("c", 5, 5.0)]})
PLAN = LocalTraining(epochs=30, batch_size=10, learning_rate=0.02)


def built(model: WideDeep = TINY, seed: int = 0) -> WideDeepNetwork:
    return model.build(1, 0, seed).eval()


def everyone(rows: ClickRows, chosen=None) -> ClickBatch:
    mask = np.ones(len(rows.events.clicked), np.bool_) if chosen is None else chosen
    (batch,) = Clicks(rows, mask, 1000).epoch(torch.Generator().manual_seed(0))
    return batch


def slow_log_odds(network: WideDeepNetwork, wide: list[int], deep: list[int]) -> Tensor:
    """One context, one feature after the other."""
    total = sum((network.wide.weight[row, 0] for row in wide if row), torch.zeros(()))
    fields, start = [], 0
    for width in field_widths(TINY.recent):
        rows = [2.0 * network.deep.weight[row] for row in deep[start : start + width] if row]
        fields.append(torch.stack(rows).mean(0) if rows else torch.zeros(TINY.dim))
        start += width
    hidden = torch.cat(fields)
    for layer in network.layers:
        hidden = torch.relu(layer(hidden))
    return total + network.out(hidden)[0]


def test_log_odds_are_those_of_a_slow_twin():
    network, rows = built(), ClickRows.of(SHOP, TINY)
    found = rows.hashed(np.arange(5))
    twin = [
        slow_log_odds(network, wide.tolist(), deep.tolist()) for wide, deep in zip(found.wide, found.deep, strict=True)
    ]
    log_odds = network(torch.from_numpy(found.wide), torch.from_numpy(found.deep))
    torch.testing.assert_close(log_odds, torch.stack(twin))
    assert log_odds.std() > 1e-3


def test_probabilities_do_not_depend_on_how_many_are_asked_for_at_once(monkeypatch):
    network, shown = built(), contexts(WORLD.events, np.arange(50), TINY.recent)
    whole = probabilities(network, WORLD.hashing, shown)
    monkeypatch.setattr(module, "CONTEXTS_AT_A_TIME", 7)
    np.testing.assert_allclose(probabilities(network, WORLD.hashing, shown), whole, rtol=1e-6)
    assert ((whole > 0) & (whole < 1)).all()
    assert probabilities(network, WORLD.hashing, shown.part(slice(0, 0))).shape == (0,)


def test_parameters_follow_from_the_seed_and_from_nothing_else():
    before = torch.get_rng_state()
    first, again, other = (built(seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["deep.weight"], other["deep.weight"])
    assert {name: value.shape for name, value in TINY.build(99, 7, 1).state_dict().items()} == {
        name: value.shape for name, value in first.items()
    }


def test_one_step_looks_each_table_up_once_and_uses_it_for_nothing_else():
    network, batch = built(), everyone(WORLD)
    for table in (network.wide, network.deep):
        calls: list[int] = []
        hook = table.register_forward_hook(lambda module, given, rows, calls=calls: calls.append(1) or rows.detach())
        user_losses(network, batch).sum().backward()
        hook.remove()
        assert len(calls) == 1
        assert table.weight.grad is None or not table.weight.grad.any()
        network.zero_grad(set_to_none=True)
    assert not [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d)]


def test_a_users_loss_depends_on_that_user_alone():
    network, batch = built(), everyone(WORLD)
    wide, deep, clicked = batch.wide.clone(), batch.deep.clone(), batch.clicked.clone()
    wide[1:], deep[1:], clicked[1:] = 3, 7, 1 - clicked[1:]
    others = user_losses(network, replace(batch, wide=wide, deep=deep, clicked=clicked))
    losses = user_losses(network, batch)
    torch.testing.assert_close(losses[0], others[0])
    assert not torch.allclose(losses[1:], others[1:])


def test_gradients_of_users_add_up_to_that_of_their_batch():
    network, batch = built().double(), everyone(ClickRows.of(SHOP, TINY))
    parameters = tuple(network.parameters())
    together = torch.autograd.grad(user_losses(network, batch).sum(), parameters)
    sums = [torch.zeros_like(gradient) for gradient in together]
    for user in range(len(batch.wide)):
        alone = ClickBatch(*(getattr(batch, name)[user : user + 1] for name in ("wide", "deep", "clicked", "mask")))
        for total, gradient in zip(
            sums, torch.autograd.grad(user_losses(network, alone).sum(), parameters), strict=True
        ):
            total += gradient
    for total, gradient in zip(sums, together, strict=True):
        torch.testing.assert_close(total, gradient, rtol=1e-9, atol=1e-12)


def test_a_batch_holds_the_newest_labels_of_each_user_and_padding_is_masked():
    rows = ClickRows.of(SHOP, replace(TINY, max_events=3))
    batch = everyone(rows)
    ann, bob = sorted(range(2), key=lambda row: -int(batch.mask[row].sum()))
    assert batch.clicked[ann].tolist() == [0.0, 1.0, 0.0]
    assert batch.mask[bob].tolist() == [True, False, False]
    assert batch.num_targets == 4
    np.testing.assert_array_equal(batch.wide[ann].numpy(), rows.hashed(np.array([1, 2, 3])).wide)


def test_held_out_labels_are_in_no_batch():
    rows = ClickRows.of(SHOP, TINY)
    batch = everyone(rows, rows.split.fit)
    assert batch.num_targets == 4  # three of ann's four, and bob's only one
    assert sorted(batch.mask.sum(1).tolist()) == [1, 3]
    task = Clicks(rows, rows.split.fit, batch_size=1)
    assert (task.num_users, len(task), len(list(task.epoch(stream(0, "order"))))) == (2, 2, 2)


def test_nothing_to_learn_from_is_an_error():
    rows = ClickRows.of(SHOP, TINY)
    with pytest.raises(ModelError, match="Nobody has an event to learn from"):
        Clicks(rows, np.zeros(5, np.bool_), 10)


def test_what_users_like_is_learnt_and_nothing_constant_would_do():
    network = built()
    trained = learn(network, Clicks(WORLD, WORLD.split.fit, 10), PLAN)
    assert trained.losses[-1] < 0.5 * trained.losses[0]
    found = measured(network, WORLD, WORLD.split.test, ClickProtocol()).figures()
    assert found.users == 30
    assert found.auc > 0.9
    assert found.log_loss < 0.6 * found.base_log_loss


def test_training_follows_from_seed_round_and_client():
    model = replace(TINY, dropout=0.5)

    def after(seed: int, round_: int, client: str) -> Tensor:
        network = model.build(1, 0, 0)
        learn(network, Clicks(WORLD, WORLD.split.fit, 10), LocalTraining(), Progress(seed, round_, 9, client))
        return torch.cat([parameter.detach().view(-1) for parameter in network.parameters()])

    before = torch.get_rng_state()
    first = after(0, 1, "a")
    assert torch.equal(first, after(0, 1, "a"))
    for other in ((1, 1, "a"), (0, 2, "a"), (0, 1, "b")):
        assert not torch.equal(first, after(*other))
    assert torch.equal(before, torch.get_rng_state())


def test_dropout_is_of_training_only():
    network = replace(TINY, dropout=0.5).build(1, 0, 0)
    seed_dropout(network, stream(0, "dropout"))
    batch = everyone(WORLD)
    assert not torch.equal(network(batch.wide, batch.deep), network(batch.wide, batch.deep))
    network.eval()
    assert torch.equal(network(batch.wide, batch.deep), network(batch.wide, batch.deep))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"click_at": -1.0}, r"Expected click_at=-1\.0 >= 0"),
        ({"recent": 0}, "Expected a whole number recent=0 >= 1"),
        ({"buckets": 1}, "Expected a whole number buckets=1 >= 2"),
        ({"hidden": 6, "layers": 3}, "Expected hidden=6 to be a multiple of 4"),
        ({"dropout": 1.0}, r"Expected dropout=1\.0 < 1"),
        ({"held_out": 0}, "Expected a whole number held_out=0 >= 1"),
    ],
)
def test_wrong_hyper_parameters_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        WideDeep(**({"click_at": 4.0} | wrong))
