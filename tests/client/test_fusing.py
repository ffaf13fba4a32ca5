"""Arm `fused` at a tenant: it measures the public mixes, takes one, and tells sums only."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.client.fusing import AGREED_USERS, mix_of
from fedrec.client.kept import keep_mixes, kept_mixes, kept_test, kept_validation, recommender_of
from fedrec.client.scoring import score
from fedrec.client.store import TenantStore, create_store
from fedrec.errors import ProtocolError, Refusal
from fedrec.messages import Capacity, ModelSpec, ScoreBody
from fedrec.models.blending import GRID, PARTS
from fedrec.server.exchange import holdout_of
from fedrec.strategies.fused import roles_of
from tests.federation import LEFT, config_of, rows_of

POPULARITY = ModelSpec(label="popularity", name="popularity", candidates=({},))
OWN = ModelSpec(label="markov", name="markov", candidates=({"shrinkage": 1.0}, {"shrinkage": 50.0}))


@pytest.fixture
def store(tmp_path) -> TenantStore:
    return create_store(tmp_path / "left", rows_of(LEFT, "left"))


def asked(phase: str, agreed: tuple[float, ...] = (), models: tuple[ModelSpec, ...] = (POPULARITY,)) -> ScoreBody:
    holdout, capacity = holdout_of(config_of()), Capacity(max_clients=4, max_users=100)
    told = {"models": models, "own": (OWN,), "agreed": agreed}
    return ScoreBody(round=1, phase=phase, capacity=capacity, holdout=holdout, arm="fused", **told)


def sent() -> dict[str, np.ndarray]:
    counts = np.array([3.0, 4.0, 5.0, 2.0, 1.0, 1.0])
    return {"counts": counts, "popularity/popularity": counts, "popularity/num_items": np.array(6)}


def agreed(at: int) -> tuple[float, ...]:
    """What all tenants agree on: one mix."""
    return tuple(float(index == at) for index in range(len(GRID)))


def test_on_validation_it_sends_a_sum_for_each_mix_and_keeps_what_it_is_made_of(store):
    contribution = score(asked("choose"), sent(), store)
    reached = kept_mixes(store)
    assert reached is not None
    assert reached.shape == (len(GRID), 3)
    assert contribution.values["fused/users"].tolist() == [3.0]
    assert contribution.values["fused/mixes"].tolist() == reached.sum(axis=1).tolist()


def test_on_test_it_sends_metric_sums_and_how_many_users_each_part_leads_for(store):
    score(asked("choose"), sent(), store)
    keep_mixes(store, np.zeros((len(GRID), 3)))
    own = GRID.index((0.0, 0.0, 1.0, 0.0, 0.0))
    contribution = score(asked("final", agreed(own)), sent(), store)
    assert contribution.values["fused/served"].tolist() == [0, 0, 2, 0, 1]  # nobody went on from what bob had last
    assert contribution.values["popularity/users"][0] == 3
    kept = store.results()["fused"]["popularity"]
    assert kept["mix"] == dict(zip(PARTS, GRID[own], strict=True))
    assert kept["slices"]["served"]["own"] == {"mean": 2 / 3, "users": 3}
    assert kept_test(store, "fused")["popularity/users"][0] == 3
    assert kept_validation(store, "fused")[recommender_of(POPULARITY, "fused")].tolist() == [0, 0, 0]


def test_a_tenant_takes_what_was_agreed_on_unless_its_own_users_say_more(store):
    """With as many users as the agreement counts for, a lead of .2 there weighs as much as one of .2 here."""
    for users, lead, expected in ((3, 0.9, 1), (AGREED_USERS, 0.19, 1), (AGREED_USERS, 0.21, 2)):
        reached = np.zeros((len(GRID), users))
        reached[2] = lead
        keep_mixes(store, reached)
        assert mix_of(asked("final", tuple(0.2 * one for one in agreed(1))), store) == expected


def test_a_tenant_that_measured_nothing_takes_what_was_agreed_on(store):
    assert mix_of(asked("final", agreed(7)), store) == 7
    keep_mixes(store, np.zeros((len(GRID), 0)))
    assert mix_of(asked("final", agreed(7)), store) == 7
    assert mix_of(asked("final", agreed(-1)), store) == 0


def test_what_was_agreed_must_be_about_these_mixes(store):
    with pytest.raises(ProtocolError, match="agreed"):
        score(asked("final", (0.5,)), sent(), store)


def test_a_fusion_without_popularity_is_refused(store):
    other = ModelSpec(label="popularity", name="markov", candidates=({},))
    arrays = sent() | {"popularity/transitions": np.zeros((6, 6), np.float32)}
    with pytest.raises(ProtocolError, match="ends with popularity"):
        score(asked("choose", models=(other,)), arrays, store)


def test_no_mix_is_measured_once_the_test_was_read(store):
    store.read_test()
    with pytest.raises(Refusal, match="test-already-read"):
        score(asked("choose"), sent(), store)


def test_the_best_two_by_ids_the_best_by_content_and_popularity_are_the_parts():
    ranked = ["content_map", "markov", "popularity", "content_knn", "ease", "pca"]
    assert roles_of(ranked) == {"collaborative": 1, "second": 4, "content": 0, "popularity": 2}
    assert roles_of(["popularity"]) == {"popularity": 0}
