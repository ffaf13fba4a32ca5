"""Which of its networks a tenant uses."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.client.local_training_arms import ALONE, ARMS, FEDERATED, TUNED, Tenant, choose
from fedrec.client.training import LocalRows, train
from fedrec.data.histories import Histories
from fedrec.errors import ModelError
from fedrec.models.neural import SASRec
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.neural.protocol import network_scores
from tests.models.neural.worlds import NUM_ITEMS, circles

MODEL = SASRec(dim=8, blocks=1, max_length=10, dropout=0.0)
PLAN = LocalTraining(epochs=40, batch_size=5, learning_rate=0.03)
FORWARD = LocalRows(circles(num_users=20, length=6))
BACKWARD = LocalRows(
    Histories.from_lists([FORWARD.histories.row(user)[::-1].tolist() for user in range(20)], NUM_ITEMS)
)


def trained_on(rows: LocalRows) -> dict[str, np.ndarray]:
    network = MODEL.build(NUM_ITEMS, 0, seed=5)
    train(network, MODEL, rows, PLAN)
    return arrays_of(network, tuple(network.state_dict()))


def tenant_of(rows: LocalRows, alone: LocalTraining = PLAN) -> Tenant:
    tuning = LocalTraining(steps=1, learning_rate=1e-4)
    return Tenant(MODEL, trained_on(rows), tuning, alone, Progress(client="shop"))


def forward(network) -> float:
    """Share of the items after which the network recommends the next one of the circle."""
    rows = Histories.from_lists([[item, (item + 1) % NUM_ITEMS] for item in range(NUM_ITEMS)], NUM_ITEMS)
    scores = network_scores(network, None, rows, 10, np.zeros(NUM_ITEMS))
    scores[rows.rows, rows.items] = -np.inf
    return float((scores.argmax(1) == (np.arange(NUM_ITEMS) + 2) % NUM_ITEMS).mean())


def test_a_tenant_whom_the_federation_does_not_fit_falls_back_to_its_own():
    chosen = choose(tenant_of(BACKWARD), FORWARD, forward)
    assert chosen.arm == ALONE
    assert chosen.values[ALONE] > 0.9 > 0.3 > chosen.values[FEDERATED]


def test_a_tenant_who_could_not_learn_it_alone_takes_the_federated_one():
    chosen = choose(tenant_of(FORWARD, LocalTraining(steps=1)), FORWARD, forward)
    assert chosen.values[FEDERATED] > 0.9
    assert chosen.values[ALONE] < 0.5
    assert chosen.arm != ALONE


def test_of_equals_the_federated_one_is_preferred():
    chosen = choose(tenant_of(FORWARD, LocalTraining(steps=1)), FORWARD, lambda network: 0.5)
    assert (chosen.arm, set(chosen.values)) == (FEDERATED, set(ARMS))


def test_tuning_begins_at_the_federated_weights():
    tenant = tenant_of(FORWARD)
    federated, tuned = (tenant.network(arm, FORWARD).state_dict() for arm in (FEDERATED, TUNED))
    moved = max(float((tuned[name] - value).abs().max()) for name, value in federated.items())
    assert 0 < moved < 1e-3
    with pytest.raises(ModelError, match="no arm 'best'"):
        tenant.network("best", FORWARD)
