"""What every neural recommender promises. A new one joins by one line in `MODELS`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedrec.client.training import LocalRows, train
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError
from fedrec.models import Recommender
from fedrec.models.losses import LOSSES, SAMPLED
from fedrec.models.neural import NEURAL, Network, NeuralModel, create_neural
from fedrec.models.neural.batches import Batch, Batches
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.objectives import Catalogue, batch_loss, user_losses
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import POPULARITY, RUN, network_scores, public_weights
from fedrec.models.neural.randomness import seed_dropout, stream
from fedrec.models.protocols import ENCODER, ItemFeatures
from fedrec.rng import derive
from fedrec.server.training import FederatedTraining, train_federated
from tests.models.neural.worlds import MODELS, NUM_ITEMS, circles, label, tastes
from tests.server.training_federation import exchange_of, grid_of, stores_in

every_model = pytest.mark.parametrize("model", MODELS, ids=label)
every_loss = pytest.mark.parametrize("loss", LOSSES)
CONTENT = derive(0, "content").standard_normal((NUM_ITEMS, 5)).astype(np.float32)
WORLD = circles(num_users=20, length=6)
EVERYTHING = Catalogue(torch.arange(NUM_ITEMS), None)
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("sasrec", {"dim": 0}, r"Expected a whole number dim=0 >= 1\."),
    ("sasrec", {"heads": 3}, r"Expected dim=64 to be a multiple of heads=3\."),
    ("sasrec", {"dropout": 1.0}, r"Expected dropout=1\.0 < 1\."),
    ("sasrec", {"residual": "mine"}, r"Expected residual='mine' to be one of shared, private, none\."),
    ("gru", {"layers": 0}, r"Expected a whole number layers=0 >= 1\."),
    ("cnn", {"kernel": 1.5}, r"Expected a whole number kernel=1\.5 >= 1\."),
    ("mf", {"l2": 0}, r"Expected l2=0 > 0\."),
    ("mf", {"half_life": -1.0}, r"Expected half_life=-1\.0 > 0\."),
    ("neumf", {"half_life": 0.0}, r"Expected half_life=0\.0 > 0\."),
    ("neumf", {"hidden": 6, "layers": 3}, r"Expected hidden=6 to be a multiple of 4"),
    ("mf", {"users": 3}, r"mf has no hyper-parameter 'users'"),
    ("nmf", {}, r"There is no neural recommender 'nmf'"),
]


def built(model: NeuralModel, content_dim: int = 0, seed: int = 0) -> Network:
    return model.build(NUM_ITEMS, content_dim, seed).eval()


def some_batch(model: NeuralModel) -> Batch:
    (batch,) = Batches(WORLD, model.objective, model.max_length, 50).epoch(torch.Generator().manual_seed(0))
    return batch


def weights_of(model: NeuralModel, network: Network, content: np.ndarray | None = None) -> dict[str, Any]:
    counts = np.bincount(WORLD.items, minlength=NUM_ITEMS)
    return arrays_of(network, tuple(network.state_dict())) | public_weights(ItemFeatures(NUM_ITEMS, content), counts)


def test_every_registered_recommender_is_a_case() -> None:
    assert {model.name for model in MODELS} == set(NEURAL)


@every_model
def test_parameters_follow_from_the_seed_and_from_nothing_else(model: NeuralModel) -> None:
    before = torch.get_rng_state()
    first, again, other = (built(model, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["items.residual.weight"], other["items.residual.weight"])
    assert all(torch.isfinite(value).all() for value in first.values())


@every_model
def test_no_state_sees_a_later_event(model: NeuralModel) -> None:
    network, vectors = built(model), torch.randn(2, 6, model.dim, generator=stream(0, "vectors"))
    changed = vectors.clone()
    changed[:, 4:] += 1.0
    lengths = torch.tensor([4, 4])
    states, others = network.states(vectors, lengths), network.states(changed, lengths)
    seen = slice(0, 4) if model.objective == "next" else slice(0, 1)
    torch.testing.assert_close(states[:, seen], others[:, seen])


@every_model
def test_padding_changes_nothing(model: NeuralModel) -> None:
    network, vectors = built(model), torch.randn(1, 8, model.dim, generator=stream(0, "vectors"))
    short = network.encode(vectors[:, :3], torch.tensor([3]))
    torch.testing.assert_close(network.encode(vectors, torch.tensor([3])), short)


@every_model
@every_loss
def test_one_step_looks_ids_up_once_and_uses_the_table_for_nothing_else(model: NeuralModel, loss: str) -> None:
    network, batch = built(model).train(), some_batch(model)
    seed_dropout(network, stream(0, "dropout"))
    table, calls = network.items.residual, []
    assert table is not None
    hook = table.register_forward_hook(lambda module, given, rows: calls.append(1) or rows.detach())
    value = batch_loss(network, EVERYTHING, batch, LocalTraining(loss=loss, negatives=4), stream(0, "negatives"))
    if value.requires_grad:
        value.backward()
    hook.remove()
    assert len(calls) == 1
    assert table.weight.grad is None
    batch_loss(network, EVERYTHING, batch, LocalTraining(loss=loss, negatives=4), stream(0, "negatives")).backward()
    assert table.weight.grad is not None
    assert table.weight.grad.abs().sum() > 0


@every_model
@pytest.mark.parametrize("loss", SAMPLED)
def test_a_users_loss_depends_on_that_user_alone(model: NeuralModel, loss: str) -> None:
    network, batch = built(model), some_batch(model)
    negatives = torch.randint(NUM_ITEMS, (len(batch.inputs), 4), generator=stream(0, "negatives"))
    losses = user_losses(network, EVERYTHING, batch, negatives, loss)
    inputs, targets = batch.inputs.clone(), batch.targets.clone()
    inputs[1:], targets[1:] = 3, 7
    others = user_losses(network, EVERYTHING, replace(batch, inputs=inputs, targets=targets), negatives, loss)
    torch.testing.assert_close(losses[0], others[0])
    assert not torch.allclose(losses[1:], others[1:])


@every_model
def test_gradients_of_users_add_up_to_that_of_their_batch(model: NeuralModel) -> None:
    network, batch = built(model).double(), some_batch(model)
    negatives = torch.randint(NUM_ITEMS, (len(batch.inputs), 4), generator=stream(0, "negatives"))
    losses = user_losses(network, EVERYTHING, batch, negatives, "sampled_softmax")
    together = torch.autograd.grad(losses.sum(), tuple(network.parameters()))
    sums = [torch.zeros_like(gradient) for gradient in together]
    for user in range(len(batch.inputs)):
        row = slice(user, user + 1)
        alone = Batch(batch.inputs[row], batch.lengths[row], batch.targets[row], batch.mask[row])
        loss = user_losses(network, EVERYTHING, alone, negatives[row], "sampled_softmax").sum()
        for total, gradient in zip(sums, torch.autograd.grad(loss, tuple(network.parameters())), strict=True):
            total += gradient
    for total, gradient in zip(sums, together, strict=True):
        torch.testing.assert_close(total, gradient, rtol=1e-9, atol=1e-11)


@every_model
def test_no_layer_mixes_users(model: NeuralModel) -> None:
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
    assert not [module for module in built(model).modules() if isinstance(module, norms)]


@pytest.mark.parametrize("model", [model for model in MODELS if model.objective == "next"], ids=label)
@every_loss
def test_a_certain_order_is_learnt(model: NeuralModel, loss: str) -> None:
    plain = replace(model, dropout=0.0)
    network = built(plain)
    plan = LocalTraining(loss=loss, negatives=8, epochs=40, batch_size=5, learning_rate=0.03)
    trained = train(network, plain, LocalRows(WORLD), plan)
    assert trained.losses[-1] < 0.5 * trained.losses[0]
    asked = Histories.from_lists([[0, 1, 2, 3], [9, 10, 11]], NUM_ITEMS)
    assert best_unseen(network, asked) == [4, 0]


@pytest.mark.parametrize("model", [model for model in MODELS if model.objective == "rest"], ids=label)
@every_loss
def test_tastes_are_learnt(model: NeuralModel, loss: str) -> None:
    network = built(model)
    plan = LocalTraining(loss=loss, negatives=8, epochs=40, batch_size=5, learning_rate=0.03)
    trained = train(network, model, LocalRows(tastes(num_users=20, length=5)), plan)
    assert trained.losses[-1] < trained.losses[0]
    first, second = best_unseen(network, Histories.from_lists([[0, 1, 2], [9, 8, 6]], NUM_ITEMS))
    assert first in (3, 4, 5)
    assert second in (7, 10, 11)


def best_unseen(network: Network, asked: Histories) -> list[int]:
    scores = network_scores(network, None, asked, 10, np.zeros(NUM_ITEMS))
    scores[asked.rows, asked.items] = -np.inf
    return scores.argmax(1).tolist()


@every_model
def test_training_follows_from_seed_round_and_client(model: NeuralModel) -> None:
    def after(seed: int, round_: int, client: str) -> Tensor:
        network = built(model)
        train(network, model, LocalRows(WORLD), LocalTraining(batch_size=4), Progress(seed, round_, 9, client))
        return torch.cat([parameter.detach().view(-1) for parameter in network.parameters()])

    before = torch.get_rng_state()
    first = after(0, 1, "a")
    assert torch.equal(first, after(0, 1, "a"))
    for other in ((1, 1, "a"), (0, 2, "a"), (0, 1, "b")):
        assert not torch.equal(first, after(*other))
    assert torch.equal(before, torch.get_rng_state())


@every_model
def test_an_item_is_its_content_and_what_its_id_adds(model: NeuralModel) -> None:
    network, content = built(model, content_dim=5), torch.from_numpy(CONTENT)
    ids = torch.arange(NUM_ITEMS)
    whole, cold = network.item_vectors(content, ids), network.item_vectors(content, None)
    torch.testing.assert_close(whole - cold, network.items.residual.weight)
    torch.testing.assert_close(cold, content @ network.items.tower.weight.T)


@every_model
def test_items_may_be_described_by_content_alone(model: NeuralModel) -> None:
    bare = replace(model, residual="none")
    network = built(bare, content_dim=5)
    assert "items.residual.weight" not in network.state_dict()
    train(network, bare, LocalRows(WORLD, CONTENT), LocalTraining())
    with pytest.raises(ModelError, match="need a residual"):
        built(bare)


@every_model
@pytest.mark.parametrize("residual", ["shared", "private"])
def test_every_parameter_is_shared_or_private(model: NeuralModel, residual: str) -> None:
    model = replace(model, residual=residual)
    names = set(built(model, content_dim=5).state_dict())
    assert not set(model.shared) & set(model.private)
    public = {"content", POPULARITY, ENCODER} | ({RUN} if residual == "private" else set())
    assert names | public == {*model.shared, *model.private}
    assert ("items.residual.weight" in model.private) == (residual == "private")


@every_model
def test_scores_of_a_user_do_not_depend_on_the_others_asked_for(model: NeuralModel) -> None:
    weights = weights_of(model, built(model))
    asked = Histories.from_lists([[3, 4, 5], [], [7], [1, 2, 3, 4, 5, 6]], NUM_ITEMS)
    scores = model.scores(weights, asked)
    assert scores.shape == (4, NUM_ITEMS)
    np.testing.assert_allclose(scores[1], weights["popularity"])
    for user in (0, 2, 3):
        alone = model.scores(weights, asked.select(np.array([user])))
        np.testing.assert_allclose(alone[0], scores[user], rtol=1e-4, atol=1e-5)


@every_model
def test_the_notebook_surface_takes_its_weights(model: NeuralModel) -> None:
    network = built(model, content_dim=5)
    ids = tuple(f"item-{i}" for i in range(NUM_ITEMS))
    recommender = Recommender(model, weights_of(model, network, CONTENT), ids)
    found = recommender.recommend_to_items(["item-0", "item-1"], n=3)
    assert len(found) == 3
    assert not {one.item_id for one in found} & {"item-0", "item-1"}
    with pytest.raises(ModelError, match="cannot split a score"):
        recommender.explain(["item-0"], "item-5")


@every_model
def test_rounds_train_it_over_tenants_and_leave_its_private_parameters_there(
    model: NeuralModel, tmp_path: Path
) -> None:
    model = replace(model, residual="private")
    exchange = exchange_of(grid_of(stores_in(tmp_path / "tenants")), tmp_path)
    training = FederatedTraining(rounds=2, local=LocalTraining(batch_size=2, learning_rate=0.05))
    found = train_federated(exchange, model, ItemFeatures(6), training, "final", tmp_path / "server")
    start = model.build(6, 0, 0).state_dict()
    assert set(found) == set(start) - {"items.residual.weight"}
    assert all(np.isfinite(value).all() for value in found.values())
    moved = sum(float(np.abs(value - start[name].numpy()).max()) > 1e-4 for name, value in found.items())
    assert moved >= len(found) - 1  # softmax does not see a constant that is added to all scores


@every_model
def test_parameters_make_an_equal_recommender(model: NeuralModel) -> None:
    assert create_neural(model.name, asdict(model)) == model


@pytest.mark.parametrize(("name", "parameters", "message"), WRONG)
def test_wrong_hyper_parameters_are_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_neural(name, parameters)
