"""What a tenant answers to an instruction to train, and what it refuses."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from fedrec.client.local_training import PRIVATE, features_of, private_arrays, train_reply
from fedrec.client.store import TenantStore, create_store
from fedrec.errors import ModelError, ProtocolError, Refusal
from fedrec.messages import EXPECT, WORDS, Capacity, instruction
from fedrec.models.neural import NeuralModel, SASRec
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.plan import LocalTraining
from fedrec.server.exchange import holdout_of
from fedrec.strategies.local_updates import TRAIN, TrainBody, plan_params
from tests.federation import LEFT, config_of, grid_of, rows_of

MODEL = SASRec(dim=4, blocks=1, max_length=8)
RUN = "0" * 16


@pytest.fixture
def store(tmp_path) -> TenantStore:
    store = create_store(tmp_path / "left", rows_of(LEFT, "left"))
    grid_of([store])  # tells Flower who sends
    return store


def body_of(recommender: NeuralModel = MODEL, **changes: Any) -> TrainBody:
    return TrainBody(
        **{
            "round": 1,
            "rounds": 5,
            "phase": "final",
            "capacity": Capacity(max_clients=4, max_users=100),
            "holdout": holdout_of(config_of()),
            "run": RUN,
            "model": recommender.name,
            "params": asdict(recommender),
            "content": False,
            "plan": plan_params(LocalTraining(batch_size=2)),
        }
        | changes
    )


def arrays_for(model: NeuralModel = MODEL, content_dim: int = 0) -> dict[str, np.ndarray]:
    network = model.build(6, content_dim, 0)
    return arrays_of(network, tuple(sorted(set(network.state_dict()) - set(model.private))))


def asked(body: TrainBody, arrays: dict[str, np.ndarray]) -> Message:
    return Message(instruction(body, arrays), dst_node_id=1, message_type=TRAIN)


def test_an_answer_is_words_and_the_same_for_the_same_question(store):
    first, again = (train_reply(asked(body_of(), arrays_for()), store) for _ in range(2))
    assert set(first) == {WORDS, EXPECT}
    np.testing.assert_array_equal(first[WORDS]["u32"].numpy(), again[WORDS]["u32"].numpy())


def test_items_are_described_by_the_tenants_own_catalogue(store):
    with pytest.raises(ProtocolError, match="weights are not those of the model"):
        train_reply(asked(body_of(content=True), arrays_for(content_dim=3)), store)
    width = features_of(store).content.shape[1]
    assert set(train_reply(asked(body_of(content=True), arrays_for(content_dim=width)), store)) == {WORDS, EXPECT}


def test_validation_stops_a_round_early_while_choosing_only(store):
    plan = plan_params(LocalTraining(epochs=50, patience=1, batch_size=2))
    assert set(train_reply(asked(body_of(phase="choose", plan=plan), arrays_for()), store)) == {WORDS, EXPECT}
    store.read_test("federated")
    with pytest.raises(Refusal, match="test-already-read"):
        train_reply(asked(body_of(phase="choose", plan=plan), arrays_for()), store)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "deeper"}, "names no model of this fedrec"),
        ({"params": {"dim": -1}}, "names no model of this fedrec"),
        ({"params": {"users": 3}}, "names no model of this fedrec"),
        ({"plan": {"epochs": 0}}, "holds no plan of this fedrec"),
        ({"plan": {"hours": 3}}, "holds no plan of this fedrec"),
    ],
)
def test_an_instruction_of_another_kind_is_refused(store, changes, message):
    with pytest.raises(ProtocolError, match=message):
        train_reply(asked(body_of(**changes), arrays_for()), store)


def test_weights_that_are_missing_private_or_of_another_shape_are_refused(store):
    whole = arrays_for()
    missing = {name: value for name, value in whole.items() if name != "items.residual.weight"}
    with pytest.raises(ProtocolError, match="1 are missing"):
        train_reply(asked(body_of(), missing), store)
    private = replace(MODEL, residual="private")
    with pytest.raises(ProtocolError, match="and no others"):
        train_reply(asked(body_of(private), whole), store)
    wider = whole | {"items.residual.weight": np.zeros((7, 4), np.float32)}
    with pytest.raises(ProtocolError, match="not those of the model"):
        train_reply(asked(body_of(), wider), store)


def test_private_weights_are_those_after_the_round_before(store):
    model = replace(MODEL, residual="private")
    kept = {}
    for round_ in (1, 2, 3):
        train_reply(asked(body_of(model, round=round_), arrays_for(model)), store)
        kept[round_] = private_arrays(store, RUN, round_ + 1)["items.residual.weight"]
    assert not np.array_equal(kept[2], kept[3])
    train_reply(asked(body_of(model, round=3), arrays_for(model)), store)
    np.testing.assert_array_equal(private_arrays(store, RUN, 4)["items.residual.weight"], kept[3])
    assert private_arrays(store, RUN, 1) == private_arrays(store, "1" * 16, 9) == {}
    assert {path.stat().st_mode & 0o777 for path in (store.folder / PRIVATE).iterdir()} == {0o600}


def test_damaged_private_weights_are_an_error(store):
    model = replace(MODEL, residual="private")
    train_reply(asked(body_of(model), arrays_for(model)), store)
    (path,) = (store.folder / PRIVATE).iterdir()
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ModelError, match="damaged"):
        train_reply(asked(body_of(model, round=2), arrays_for(model)), store)
