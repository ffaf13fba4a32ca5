"""The local loop: what each setting of the plan does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrec.client.training import LocalRows, Trained, fit, train
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError
from fedrec.models.neural import MF, Network, SASRec
from fedrec.models.neural.plan import LocalTraining, Progress
from tests.federation import LEFT, rows_of
from tests.models.neural.worlds import NUM_ITEMS, circles

MODEL = SASRec(dim=8, blocks=1, max_length=10, dropout=0.0)
ROWS = LocalRows(circles(num_users=20, length=6))
PLAN = LocalTraining(batch_size=5)


def trained(plan: LocalTraining, progress: Progress | None = None, rows: LocalRows = ROWS) -> tuple[Network, Trained]:
    network = MODEL.build(NUM_ITEMS, 0, seed=0)
    return network, train(network, MODEL, rows, plan, progress)


def moved(network: Network) -> float:
    """Distance from where every network here begins."""
    start = dict(MODEL.build(NUM_ITEMS, 0, seed=0).named_parameters())
    squares = [((value - start[name]) ** 2).sum() for name, value in network.named_parameters()]
    return float(torch.stack(squares).sum().sqrt().detach())


def test_epochs_and_steps_are_counted():
    _, by_epochs = trained(replace(PLAN, epochs=3))
    assert (by_epochs.users, by_epochs.steps, len(by_epochs.losses)) == (20, 12, 3)
    _, by_steps = trained(replace(PLAN, steps=6))
    assert (by_steps.steps, len(by_steps.losses)) == (6, 2)
    assert by_steps.losses[0] == by_epochs.losses[0]


def test_one_sgd_step_is_the_learning_rate_times_the_clipped_gradient():
    network, _ = trained(LocalTraining(steps=1, optimizer="sgd", learning_rate=0.5, clip_norm=1e-3))
    assert moved(network) == pytest.approx(0.5e-3, rel=1e-3)


def test_schedules_go_over_all_rounds():
    plan = LocalTraining(steps=1, optimizer="sgd", learning_rate=1.0, clip_norm=1e-3)
    for schedule, round_, share in (
        ("constant", 4, 1.0),
        ("linear", 1, 1.0),
        ("linear", 2, 0.75),
        ("cosine", 3, 0.5),
        ("cosine", 4, (1 - 2**-0.5) / 2),
    ):
        network, _ = trained(replace(plan, schedule=schedule), Progress(0, round_, 4))
        assert moved(network) == pytest.approx(share * 1e-3, rel=1e-3)


def test_a_round_warms_up():
    network, _ = trained(LocalTraining(steps=1, optimizer="sgd", learning_rate=1.0, clip_norm=1e-3, warmup_steps=3))
    assert moved(network) == pytest.approx(0.25e-3, rel=1e-3)


def test_the_proximal_term_keeps_a_client_near_where_it_began():
    plan = LocalTraining(optimizer="sgd", learning_rate=0.05, epochs=10, batch_size=5, clip_norm=None)
    free, near, nearest = (moved(trained(replace(plan, proximal=mu))[0]) for mu in (0.0, 1.0, 10.0))
    assert free > near > nearest > 0


def test_with_kept_moments_two_rounds_are_one_of_twice_the_length():
    """Each epoch is one batch of everyone, so its order plays no part."""
    plan = LocalTraining(batch_size=20, learning_rate=0.01, keep_moments=True)
    whole, _ = trained(replace(plan, epochs=2))
    network, first = trained(plan, Progress(rounds=2))
    half = {name: value.clone() for name, value in network.state_dict().items()}
    train(network, MODEL, ROWS, plan, Progress(round=2, rounds=2), moments=first.moments)
    assert moved(network) == pytest.approx(moved(whole), rel=1e-4)
    network.load_state_dict(half)
    train(network, MODEL, ROWS, plan, Progress(round=2, rounds=2))
    assert moved(network) != pytest.approx(moved(whole), rel=1e-2)


def test_training_stops_early_with_the_best_weights():
    values = iter([0.2, 0.5, 0.4, 0.5, 0.9])
    states = []

    def validate(network: Network) -> float:
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        assert not network.training
        return next(values)

    network = MODEL.build(NUM_ITEMS, 0, seed=0)
    result = train(network, MODEL, ROWS, replace(PLAN, epochs=9, patience=2), validate=validate)
    assert result.validation == (0.2, 0.5, 0.4, 0.5)
    assert all(torch.equal(value, states[1][name]) for name, value in network.state_dict().items())


def test_without_patience_the_last_weights_stay():
    network = MODEL.build(NUM_ITEMS, 0, seed=0)
    values = iter([0.9, 0.1])
    assert train(network, MODEL, ROWS, replace(PLAN, epochs=2), validate=lambda _: next(values)).validation == (
        0.9,
        0.1,
    )
    assert moved(network) == moved(trained(replace(PLAN, epochs=2))[0])


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_a_tenants_items_are_ranked_against_its_own_assortment_only(loss):
    sold = np.zeros(NUM_ITEMS, dtype=np.bool_)
    sold[[2, 5, 7, 8]] = True
    rows = LocalRows(Histories.from_lists([[2, 5, 0, 7], [8, 11, 5, 2]], NUM_ITEMS), assortment=sold)
    network, result = trained(LocalTraining(loss=loss, negatives=3, epochs=3), rows=rows)
    start = MODEL.build(NUM_ITEMS, 0, seed=0).items.residual.weight
    changed = (network.items.residual.weight != start).any(1)
    assert not changed[~torch.from_numpy(sold)].any()
    assert changed[torch.from_numpy(sold)].any()
    assert result.users == 2


def test_a_loss_that_is_no_number_is_an_error():
    with pytest.raises(ModelError, match="lower learning_rate"):
        trained(LocalTraining(optimizer="sgd", learning_rate=1e30, clip_norm=None, epochs=5, batch_size=5))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "hinge"}, "Expected loss='hinge' to be one of softmax, sampled_softmax, bpr, bce, gbce"),
        ({"optimizer": "lion"}, "Expected optimizer='lion' to be one of adamw, sgd"),
        ({"epochs": 0}, "Expected a whole number epochs=0 >= 1"),
        ({"learning_rate": -1.0}, "Expected learning_rate=-1.0 > 0"),
        ({"steps": 3, "patience": 2}, "give either patience or steps"),
    ],
)
def test_wrong_plans_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        LocalTraining(**wrong)


def test_a_round_after_the_last_is_refused():
    with pytest.raises(ConfigError, match="Expected round=3 <= rounds=2"):
        Progress(0, 3, 2)


def test_a_pooled_fit_recommends_by_id():
    recommender = fit(MF(dim=4), rows_of(LEFT), LocalTraining(epochs=2))
    found = recommender.recommend("ann")
    assert {one.item_id for one in found} == {"e", "f"}
    assert recommender.recommend("ann") == fit(MF(dim=4), rows_of(LEFT), LocalTraining(epochs=2)).recommend("ann")
