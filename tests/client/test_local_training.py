"""What a tenant answers to an instruction to train, and what it refuses."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from fedrec.client.content import features_of
from fedrec.client.local_training import (
    PRIVATE,
    SEEN,
    private_arrays,
    train_reply,
    weights_alone,
    weights_tuned,
    with_private,
)
from fedrec.client.store import TenantStore, create_store
from fedrec.content import HashedEncoder
from fedrec.errors import ModelError, NotFitted, ProtocolError, Refusal
from fedrec.messages import EXPECT, WORDS, Capacity, EncoderSpec, ModelSpec, ScoreBody
from fedrec.models.neural import NeuralModel, SASRec
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.protocol import CONTENT, POPULARITY, RESIDUAL, run_weight
from fedrec.models.protocols import EncoderId
from fedrec.strategies.local_updates import TrainBody, plan_params
from tests.client.asking import train_body
from tests.client.asking import train_message as asked
from tests.federation import LEFT, grid_of, rows_of

MODEL = SASRec(dim=4, blocks=1, max_length=8)
RUN = "0" * 16
HASHED = EncoderSpec.of(HashedEncoder().identity)


@pytest.fixture
def store(tmp_path) -> TenantStore:
    store = create_store(tmp_path / "left", rows_of(LEFT, "left"))
    grid_of([store])  # tells Flower who sends
    return store


def body_of(recommender: NeuralModel = MODEL, **changes: Any) -> TrainBody:
    given = {"capacity": Capacity(max_clients=4, max_users=100), "plan": plan_params(LocalTraining(batch_size=2))}
    return train_body(recommender, **(given | changes))


def arrays_for(model: NeuralModel = MODEL, content_dim: int = 0) -> dict[str, np.ndarray]:
    network = model.build(6, content_dim, 0)
    return arrays_of(network, tuple(sorted(set(network.state_dict()) - set(model.private))))


def test_an_answer_is_words_and_the_same_for_the_same_question(store):
    first, again = (train_reply(asked(body_of(), arrays_for()), store) for _ in range(2))
    assert set(first) == {WORDS, EXPECT}
    np.testing.assert_array_equal(first[WORDS]["u32"].numpy(), again[WORDS]["u32"].numpy())


def test_items_are_described_by_the_tenants_own_catalogue(store):
    with_content = body_of(content=True, encoder=HASHED)
    with pytest.raises(ProtocolError, match="weights are not those of the model"):
        train_reply(asked(with_content, arrays_for(content_dim=3)), store)
    width = features_of(store, HASHED).content.shape[1]
    assert set(train_reply(asked(with_content, arrays_for(content_dim=width)), store)) == {WORDS, EXPECT}


def test_content_of_an_encoder_that_is_not_named_is_refused(store):
    with pytest.raises(ProtocolError, match="names no encoder"):
        train_reply(asked(body_of(content=True), arrays_for(content_dim=3)), store)


def test_another_encoder_is_refused_and_both_are_named(store):
    newer = EncoderSpec(name="hashed", digest="of another version")
    with pytest.raises(Refusal, match=f"hashed of another version, here it is {HashedEncoder().identity}"):
        train_reply(asked(body_of(content=True, encoder=newer), arrays_for(content_dim=3)), store)


def test_without_an_encoder_a_tenant_that_is_alone_knows_items_by_their_ids(store):
    rows = store.dataset().histories()
    assert CONTENT not in weights_alone(MODEL, rows, store, asked_to_score("local", epochs=1))
    described = asked_to_score("local", epochs=1).model_copy(update={"encoder": HASHED})
    alone = weights_alone(MODEL, rows, store, described)
    np.testing.assert_array_equal(alone[CONTENT], features_of(store, HASHED).content)
    assert EncoderId.of(alone) == HashedEncoder().identity


def test_validation_stops_a_round_early_while_choosing_only(store):
    plan = plan_params(LocalTraining(epochs=50, patience=1, batch_size=2))
    assert set(train_reply(asked(body_of(phase="choose", plan=plan), arrays_for()), store)) == {WORDS, EXPECT}
    store.read_test()
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


def released(model: NeuralModel, content: bool = True) -> dict[str, np.ndarray]:
    """What a server sends of a model of run 0...0, with item contents that tell the six items apart."""
    vectors = {CONTENT: np.eye(6, dtype=np.float32)} if content else {}
    run = run_weight(RUN) if model.private else {}
    return arrays_for(model, 6 if content else 0) | vectors | run | {POPULARITY: np.arange(1.0, 7.0)}


def asked_to_score(arm: str = "tuned", **plan: Any) -> ScoreBody:
    body = body_of().model_dump(include={"round", "phase", "capacity", "holdout"})
    spec = ModelSpec(label=MODEL.name, name=MODEL.name, candidates=(asdict(MODEL),))
    return ScoreBody(**body, arm=arm, training={"batch_size": 2} | plan, models=(spec,))


def test_a_tenant_adds_what_it_kept_of_that_very_run(store):
    model = replace(MODEL, residual="private")
    train_reply(asked(body_of(model), arrays_for(model)), store)
    train_reply(asked(body_of(model, run="1" * 16), arrays_for(model)), store)
    for run in (RUN, "1" * 16):
        mine, kept = with_private(model, released(model) | run_weight(run), store), private_arrays(store, run)
        seen = kept[SEEN]
        assert seen.tolist() == [True, True, True, True, False, False]  # e is only ever the last of LEFT
        np.testing.assert_array_equal(mine[RESIDUAL][seen], kept[RESIDUAL][seen])
        assert not mine[RESIDUAL][~seen].any()
        assert kept[RESIDUAL][~seen].any()


def test_without_content_private_weights_are_all_that_is_known_of_an_item(store):
    model = replace(MODEL, residual="private")
    train_reply(asked(body_of(model), arrays_for(model)), store)
    mine = with_private(model, released(model, content=False), store)
    np.testing.assert_array_equal(mine[RESIDUAL], private_arrays(store, RUN)[RESIDUAL])


def test_a_tenant_that_never_trained_knows_items_by_their_content_alone(store):
    model = replace(MODEL, residual="private")
    mine = with_private(model, released(model), store)
    assert RESIDUAL not in mine
    zero = dict(mine) | {RESIDUAL: np.zeros((6, 4), np.float32)}
    histories = store.dataset().histories()
    np.testing.assert_array_equal(model.scores(mine, histories), model.scores(zero, histories))
    with pytest.raises(Refusal, match="never-trained"):
        with_private(model, released(model, content=False), store)
    with pytest.raises(NotFitted, match="residual='shared'"):
        model.scores(released(model, content=False), histories)


@pytest.mark.parametrize("name", [np.zeros(7, np.uint8), np.zeros(8, np.int64), np.zeros((8, 1), np.uint8)])
def test_what_names_no_run_is_refused(store, name):
    model = replace(MODEL, residual="private")
    with pytest.raises(ModelError, match="8 bytes"):
        with_private(model, released(model) | {"run": name}, store)


def test_tuning_begins_at_the_weights_that_came(store):
    model = replace(MODEL, residual="private")
    train_reply(asked(body_of(model), arrays_for(model)), store)
    federated = with_private(model, released(model), store)
    rows = store.dataset().histories()
    tuned = weights_tuned(model, federated, rows, store, asked_to_score(steps=1, learning_rate=1e-4))
    moved = {name: float(np.abs(tuned[name] - federated[name]).max()) for name in federated}
    public = {CONTENT, POPULARITY, "run"}
    assert {name for name, by in moved.items() if by == 0} == public
    assert max(moved.values()) < 1e-3


def test_tuning_repeats_itself(store):
    rows = store.dataset().histories()
    first, again = (weights_tuned(MODEL, released(MODEL), rows, store, asked_to_score(epochs=2)) for _ in range(2))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])


@pytest.mark.parametrize("plan", [{"epochs": 0}, {"hours": 3}])
def test_a_plan_to_tune_or_train_alone_that_is_none_is_refused(store, plan):
    rows = store.dataset().histories()
    with pytest.raises(ProtocolError, match="holds no plan of this fedrec"):
        weights_tuned(MODEL, released(MODEL), rows, store, asked_to_score(**plan))
    with pytest.raises(ProtocolError, match="holds no plan of this fedrec"):
        weights_alone(MODEL, rows, store, asked_to_score("local", **plan))
