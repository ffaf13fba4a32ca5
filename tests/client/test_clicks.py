"""What a tenant answers about clicks, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from fedrec.client.app import app
from fedrec.client.clicks import fit_clicks, measure_clicks
from fedrec.client.guard import PrivacyPolicy, create_guard
from fedrec.client.local_training import train_reply
from fedrec.client.store import TenantStore, create_store
from fedrec.errors import ModelError, ProtocolError, Refusal, UnknownItem, UnknownUser
from fedrec.messages import EXPECT, REFUSAL, WORDS, Capacity, instruction
from fedrec.models.ctr import ClickProtocol, ClickRows, measured
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.plan import LocalTraining
from fedrec.server.exchange import holdout_of
from fedrec.strategies.clicks import CLICKS, ClickBody, click_params
from fedrec.strategies.local_updates import TRAIN, TrainBody, plan_params
from tests.federation import config_of, grid_of
from tests.models.ctr.worlds import HOUR, TINY, fans

PLAN = LocalTraining(epochs=30, batch_size=10, learning_rate=0.02)
COMMON = {"round": 1, "capacity": Capacity(max_clients=4, max_users=100), "holdout": holdout_of(config_of())}


@pytest.fixture
def store(tmp_path) -> TenantStore:
    store = create_store(tmp_path / "fans", fans(num_users=20))
    grid_of([store])  # tells Flower who sends
    return store


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    network = TINY.build(1, 0, seed)
    return arrays_of(network, tuple(sorted(network.state_dict())))


def train_message(arrays: dict[str, np.ndarray], **changes: Any) -> Message:
    told = {"rounds": 5, "phase": "final", "run": "0" * 16, "model": "widedeep", "params": click_params(TINY)}
    body = TrainBody(
        **COMMON, **(told | {"content": False, "plan": plan_params(LocalTraining(batch_size=5))} | changes)
    )
    return Message(instruction(body, arrays), dst_node_id=1, message_type=TRAIN)


def click_body(**changes: Any) -> ClickBody:
    told = {"phase": "final", "params": click_params(TINY), "measures": click_params(ClickProtocol())}
    return ClickBody(**COMMON, **(told | changes))


def asked(store: TenantStore, body: ClickBody, arrays: dict[str, np.ndarray]) -> RecordDict:
    context = Context(1, 100, {"store": str(store.folder)}, RecordDict(), {})
    return app(Message(instruction(body, arrays), dst_node_id=1, message_type=CLICKS), context).content


def reason(content: RecordDict) -> str:
    return str(content[REFUSAL]["reason"])


def test_a_fitted_model_ranks_by_the_probability_of_a_click():
    """User 0 clicks on even items."""
    predictor = fit_clicks(TINY, fans(num_users=30), PLAN)
    found = predictor.rank("fans-0", at=100 * HOUR, item_ids=["item-1", "item-4", "item-7", "item-8"])
    assert {one.item_id for one in found[:2]} == {"item-4", "item-8"}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(0 < one.score < 1 for one in found)
    assert len(predictor.rank("fans-1", at=0)) == 12


def test_a_rank_does_not_look_at_what_the_user_did_later():
    rows = fans(num_users=10)
    predictor = fit_clicks(TINY, rows, PLAN)
    mine = np.flatnonzero(rows.interactions.users == 0)
    early = rows.select_events(np.setdiff1d(np.arange(rows.num_events), mine[5:]))
    shown = {one.item_id: one.score for one in predictor.rank("fans-0", at=5 * HOUR)}
    assert shown == {one.item_id: one.score for one in replace(predictor, dataset=early).rank("fans-0", at=5 * HOUR)}


def test_unknown_users_and_items_are_errors():
    predictor = fit_clicks(TINY, fans(num_users=4), replace(PLAN, epochs=1))
    with pytest.raises(UnknownUser, match="no user 'fans-9'"):
        predictor.rank("fans-9", at=0)
    with pytest.raises(UnknownItem):
        predictor.rank("fans-1", at=0, item_ids=["item-99"])


def test_labels_that_are_all_the_same_are_an_error():
    with pytest.raises(ModelError, match=r"same label under click_at=6"):
        fit_clicks(replace(TINY, click_at=6.0), fans(num_users=4), PLAN)


def test_an_answer_is_words_and_the_same_for_the_same_question(store):
    first, again = (train_reply(train_message(weights()), store) for _ in range(2))
    assert set(first) == {WORDS, EXPECT}
    np.testing.assert_array_equal(first[WORDS]["u32"].numpy(), again[WORDS]["u32"].numpy())


def test_validation_stops_a_round_early_while_choosing_only(store):
    plan = plan_params(LocalTraining(epochs=50, patience=1, batch_size=5))
    assert set(train_reply(train_message(weights(), phase="choose", plan=plan), store)) == {WORDS, EXPECT}
    store.read_test()
    with pytest.raises(Refusal, match="test-already-read"):
        train_reply(train_message(weights(), phase="choose", plan=plan), store)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"click_at": 4.0, "depth": 3}, "names no model of clicks"),
        ({"dim": 3}, "names no model of clicks"),
        ({"click_at": 4.0, "dim": 0}, "names no model of clicks"),
    ],
)
def test_an_instruction_of_another_kind_is_refused(store, params, message):
    with pytest.raises(ProtocolError, match=message):
        train_reply(train_message(weights(), params=params), store)
    with pytest.raises(ProtocolError, match="holds no measures"):
        measure_clicks(click_body(measures={"bins": 0}), weights(), store)


def test_weights_of_another_model_are_refused(store):
    whole = weights()
    with pytest.raises(ProtocolError, match="and no others"):
        train_reply(train_message({name: value for name, value in whole.items() if name != "out.bias"}), store)
    with pytest.raises(ProtocolError, match="not those of the model"):
        train_reply(train_message(whole | {"out.bias": np.zeros(2, np.float32)}), store)


def test_the_sums_are_those_of_the_tenants_own_test(store):
    rows = ClickRows.of(fans(num_users=20), TINY)
    expected = measured(TINY.build(1, 0, 0), rows, rows.split.test, ClickProtocol())
    found = measure_clicks(click_body(), weights(), store)
    for name, value in expected.values.items():
        np.testing.assert_array_equal(found.values[name], value)
    assert store.results()["clicks"]["widedeep"]["auc"] == expected.figures().auc


def test_validation_may_be_measured_again_and_the_test_is_read_once(store):
    choosing = click_body(phase="choose")
    assert set(asked(store, choosing, weights(1))) == set(asked(store, choosing, weights(2))) == {WORDS}
    first, again = (asked(store, click_body(), weights()) for _ in range(2))
    np.testing.assert_array_equal(first[WORDS]["u64"].numpy(), again[WORDS]["u64"].numpy())
    assert reason(asked(store, click_body(), weights(1))) == "arm-already-scored"
    assert reason(asked(store, choosing, weights())) == "test-already-read"


def test_a_tenant_with_a_privacy_policy_releases_no_figures_without_noise(store):
    create_guard(store.folder, PrivacyPolicy(epsilon=1.0, delta=1e-6))
    assert reason(asked(store, click_body(), weights())) == "metrics-not-private"
    assert not store.results()


def test_a_tenant_whose_users_have_too_few_events_adds_nothing(store):
    none = measure_clicks(click_body(params=click_params(replace(TINY, held_out=9))), weights(), store)
    assert none.num_users == 0
    assert store.results() == {"clicks": {"widedeep": {}}}
