"""Which recommenders enter an arm, in which order arms are scored, and what clients are asked before they choose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedrec.client.kept import kept_validation, read_arrays
from fedrec.client.local_training import PRIVATE, SEEN
from fedrec.client.store import TenantStore
from fedrec.errors import RoundFailed
from fedrec.messages import ModelSpec, ranking_protocol
from fedrec.metrics import evaluate
from fedrec.models import load
from fedrec.models.neural.items import seen_only
from fedrec.models.neural.protocol import RESIDUAL
from fedrec.server.arms import Entrants, in_order
from fedrec.server.choosing import Candidate, Chosen
from fedrec.server.exchange import holdout_of
from fedrec.server.run import run
from fedrec.server.scoring import score_arm
from tests.federation import config_of, exchange_of, grid_of, two_tenants

MF = {"name": "mf", "dim": 4, "max_length": 8, "residual": "private"}
TRAINING = {"rounds": 2, "alone_epochs": 1, "tuning_epochs": 2, "local": {"batch_size": 2}}


def run_in(folder: Path, **changes: object) -> list[TenantStore]:
    stores = two_tenants(folder / "tenants")
    config = config_of(**{"models": [{"name": "popularity"}, MF, {"name": "user_knn"}], "training": TRAINING} | changes)
    run(exchange_of(grid_of(stores), config, folder / "server"), stores[0].dataset().catalogue, folder / "server")
    return stores


def actions(folder: Path) -> list[tuple[str, str]]:
    lines = (folder / "server" / "events.jsonl").read_text().splitlines()
    return [
        (e["phase"], e["action"]) for e in map(json.loads, lines) if e["event"] == "round-end" and "sco" in e["action"]
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[TenantStore]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, run_in(folder)


def test_arms_are_scored_in_the_order_in_which_they_rest_on_each_other():
    assert in_order(("pooled", "personal", "fused", "local")) == ["local", "fused", "personal", "pooled"]


def test_tuning_is_measured_on_validation_before_any_test_is_read(finished):
    folder, _ = finished
    choose = [("choose", f"score {arm}") for arm in ("federated", "tuned", "fused")]
    final = [("final", f"score {arm}") for arm in ("floor", "local", "federated", "tuned", "fused", "personal")]
    assert actions(folder) == choose + final


def test_a_run_of_closed_forms_has_nothing_to_tune(tmp_path):
    run_in(tmp_path, models=[{"name": "popularity"}, {"name": "ease"}])
    assert [action for _, action in actions(tmp_path) if action == "score tuned"] == []
    assert ("final", "score personal") in actions(tmp_path)


def test_tuning_is_not_measured_where_nobody_chooses_by_it(tmp_path):
    run_in(tmp_path, federation={"arms": ["federated", "tuned"]})
    assert ("choose", "score tuned") not in actions(tmp_path)


def test_each_arm_is_entered_by_those_who_have_something_to_show(finished):
    folder, _ = finished
    results = json.loads((folder / "server" / "server.json").read_text())["results"]
    entered = {arm: set(labels) for arm, labels in results.items()}
    everyone = {"popularity", "mf", "user_knn"}
    assert entered == {
        "floor": {"popularity"},
        "local": everyone,
        "federated": {"popularity", "mf"},
        "tuned": {"mf"},
        "fused": {"mf"},
        "personal": everyone,
    }


def test_a_model_with_private_weights_is_federated_and_released_without_them(finished):
    folder, _ = finished
    cards = json.loads((folder / "server" / "server.json").read_text())["models"]
    assert {card["name"]: card["scope"] for card in cards} == {
        "popularity": "federated",
        "mf": "federated",
        "user_knn": "tenant",
    }
    assert RESIDUAL not in load(folder / "server" / "models" / "mf").weights


def test_a_tenant_is_scored_with_its_private_weights_after_the_last_round(finished):
    """A slow twin: the released model, what the tenant kept last of its run, and the tenant's test users."""
    folder, stores = finished
    model, holdout = load(folder / "server" / "models" / "mf"), holdout_of(config_of())
    for store in stores:
        last = store.folder / PRIVATE / f"{bytes(model.weights['run']).hex()}-000002.safetensors"
        fold = store.test_fold(holdout)
        own = read_arrays(last)
        own[RESIDUAL] = seen_only(own[RESIDUAL], own[SEEN])  # what the tenant never had is its content alone
        scores = model.algorithm.scores({**model.weights, **own}, fold.history)
        assert not np.array_equal(scores, model.algorithm.scores(model.weights, fold.history))
        metrics = evaluate(
            lambda start, stop, scores=scores: scores[start:stop],
            fold.history,
            fold.targets,
            item_counts=model.weights["popularity"],
            protocol=ranking_protocol(holdout),
        )
        results = store.results()["federated"]["mf"]["slices"]["all"]
        for name in ("NDCG@2", "AUC"):
            assert results[name]["mean"] == pytest.approx(float(metrics.of(name).mean()), abs=1e-9)


def test_each_phase_keeps_private_weights_of_its_own(finished):
    """Those of phase `final` have seen the validation items, so they must not be used to choose."""
    _, stores = finished
    for store in stores:
        runs = {path.stem.split("-")[0] for path in (store.folder / PRIVATE).iterdir()}
        assert len(runs) == 2


def test_what_is_kept_to_choose_by_are_values_of_the_same_users(finished):
    _, stores = finished
    for store in stores:
        shapes = {v.shape for arm in ("local", "federated", "tuned") for v in kept_validation(store, arm).values()}
        assert shapes == {(len(store.split(holdout_of(config_of())).validation.users),)}


def test_a_tenant_never_trained_declines_where_items_have_no_content(finished, tmp_path):
    folder, _ = finished
    model = load(folder / "server" / "models" / "mf")
    stores = two_tenants(tmp_path / "new")
    weights = {name: value for name, value in model.weights.items() if name != "content"}
    candidate = Candidate("mf", "mf", {key: MF[key] for key in ("dim", "max_length", "residual")})
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    spec = ModelSpec(label="mf", name="mf", candidates=(candidate.params,))
    with pytest.raises(RoundFailed, match="never-trained"):
        score_arm(exchange, "federated", [spec], {"mf": (candidate, weights)}, np.ones(6), "final")


def test_the_recommender_that_did_best_leads_those_between_which_tenants_choose():
    candidates = [Candidate(name, name, {}) for name in ("popularity", "ease", "pca")]
    scores = {"popularity": 0.1, "ease": 0.3, "pca": 0.2}
    chosen = [Chosen(c, ((c.params, scores[c.label]),)) for c in candidates]
    assert [spec.label for spec in Entrants(chosen, {}, {}).specs("personal")] == ["ease", "popularity", "pca"]
    unmeasured = [Chosen(c, ()) for c in candidates]
    assert Entrants(unmeasured, {}, {}).specs("personal") == []
