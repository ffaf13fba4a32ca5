"""What a tenant answers when it is asked how models do on its new events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from fedrec.client.fresh import score_fresh
from fedrec.client.guard import PrivacyPolicy, create_guard
from fedrec.client.store import TEST_READ, TenantStore
from fedrec.errors import ProtocolError
from fedrec.messages import REFUSAL, WORDS, AnyArray, Capacity, ModelSpec, instruction, ranking_protocol
from fedrec.server.exchange import holdout_of
from fedrec.strategies.fresh import FRESH, FreshBody
from tests.federation import config_of, grid_of, two_tenants

DAY_S = 86_400
COUNTS = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
ARRAYS: dict[str, AnyArray] = {
    "counts": COUNTS,
    "popularity/popularity": COUNTS,
    "popularity/num_items": np.array(6),
}


def question(since: int = 2 * DAY_S, until: int = 9 * DAY_S, **changes: Any) -> FreshBody:
    """Popularity on what is newer than `since`. Each user of `two_tenants` has one event a day, from day 0 on."""
    holdout = holdout_of(config_of(evaluation={"ks": [2], "headline": "NDCG@2", "bootstrap": 0}))
    told = {"rule": "time", "starts": (since + 1, until + 1)} | changes.pop("holdout", {})
    models = (ModelSpec(label="popularity", name="popularity", candidates=({},)),)
    body: dict[str, Any] = {"round": 1, "phase": "choose", "arm": "federated", "models": models}
    capacity = Capacity(max_clients=4, max_users=100)
    return FreshBody(capacity=capacity, holdout=holdout.model_copy(update=told), **body | changes)


def measured(store: TenantStore, body: FreshBody) -> Mapping[str, AnyArray]:
    return score_fresh(body, ARRAYS, store).values


@pytest.fixture
def left(tmp_path: Path) -> TenantStore:
    """ann: a b c d, bob: b c d e, cat: a b c e; the last of each is newer than day 2."""
    return two_tenants(tmp_path)[0]


def test_only_what_is_newer_is_ranked_behind_what_was_had(left):
    """By popularity ann is shown d and e, bob a and e, cat d and e: ann took the first, the others the second."""
    values, body = measured(left, question()), question()
    column = ranking_protocol(body.holdout).metric_names.index("NDCG@2")
    assert values["popularity/users"][0] == 3
    assert values["popularity/exposure"].tolist() == [1, 0, 0, 2, 3, 3]  # lists are of all three that a user had not
    assert values["popularity/metrics"][0, column] == pytest.approx(1 + 2 / np.log2(3))


def test_what_is_newer_than_the_window_is_not_ranked(left):
    assert measured(left, question(DAY_S, 2 * DAY_S))["popularity/users"][0] == 3
    assert measured(left, question(4 * DAY_S, 9 * DAY_S))["popularity/users"][0] == 0


def test_whoever_measured_it_has_read_its_test(left):
    measured(left, question())
    assert (left.folder / TEST_READ).exists()


def test_a_question_that_is_refused_uses_nothing_up(left):
    with pytest.raises(ProtocolError):
        measured(left, question(phase="final"))
    assert not (left.folder / TEST_READ).exists()


def test_one_question_is_answered_about_the_same_rows(tmp_path):
    """Windows that differ by a second would tell what was done in it; the same question gets the same words."""
    grid = grid_of(two_tenants(tmp_path)[:1])

    def asked(number: int, body: FreshBody) -> Message:
        content = instruction(body, ARRAYS)
        (reply,) = grid.send_and_receive([Message(content, dst_node_id=100, message_type=FRESH, group_id=str(number))])
        return reply

    first, again = asked(1, question()), asked(2, question(round=2))
    other = asked(3, question(since=2 * DAY_S + 1, round=3))
    assert WORDS in first.content
    assert first.content[WORDS] == again.content[WORDS]
    assert dict(other.content[REFUSAL])["reason"] == "arm-already-scored"


@pytest.mark.parametrize(
    "changes", [{"arm": "local"}, {"phase": "final"}, {"holdout": {"rule": "leave-last-out", "starts": None}}]
)
def test_another_question_is_refused(left, changes):
    with pytest.raises(ProtocolError, match="split by time"):
        measured(left, question(**changes))


def test_counts_of_another_catalogue_are_refused(left):
    with pytest.raises(ProtocolError, match="one for each item"):
        score_fresh(question(), ARRAYS | {"counts": COUNTS[:5]}, left)


def test_a_tenant_that_releases_noised_sums_only_declines(tmp_path):
    stores = two_tenants(tmp_path)
    create_guard(stores[0].folder, PrivacyPolicy(epsilon=8.0, delta=1e-6, placement="local", evaluation="simulation"))
    grid = grid_of(stores)
    message = Message(instruction(question(), ARRAYS), dst_node_id=100, message_type=FRESH, group_id="1")
    (reply,) = grid.send_and_receive([message])
    assert dict(reply.content[REFUSAL])["reason"] == "metrics-not-private"
    assert not (stores[0].folder / TEST_READ).exists()
