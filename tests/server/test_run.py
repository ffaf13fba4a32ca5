"""A whole run over two small tenants: what is written, what is refused, what is reproduced."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from fedrec.errors import ConfigError, RoundFailed
from fedrec.messages import ContributeBody, ModelSpec, ScoreBody
from fedrec.server.run import run
from fedrec.server.scoring import score_arm
from tests.federation import config_of, exchange_of, grid_of, two_tenants


def run_in(folder: Path, **changes: object) -> dict[str, object]:
    stores = two_tenants(folder / "tenants")
    run(
        exchange_of(grid_of(stores), config_of(**changes), folder / "server"),
        stores[0].dataset().catalogue,
        folder / "server",
    )
    return dict(json.loads((folder / "server" / "server.json").read_text()))


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "events.jsonl"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_two_runs_with_one_seed_are_equal_to_the_bit(tmp_path):
    run_in(tmp_path / "one")
    run_in(tmp_path / "two")
    first, second = digests(tmp_path / "one" / "server"), digests(tmp_path / "two" / "server")
    assert len(first) > 4
    assert first == second


def test_the_sum_of_the_tenants_results_is_the_servers_result(tmp_path):
    results = run_in(tmp_path)["results"]
    for arm in ("local", "federated"):
        tenants = [
            json.loads((tmp_path / "tenants" / name / "results.json").read_text())[arm] for name in ("left", "right")
        ]
        for label, summary in results[arm].items():
            figures = [tenant[label]["slices"]["all"]["NDCG@2"] for tenant in tenants]
            users = sum(figure["users"] for figure in figures)
            mean = sum(figure["mean"] * figure["users"] for figure in figures) / users
            assert summary["all"]["NDCG@2"]["users"] == users == 7
            np.testing.assert_allclose(summary["all"]["NDCG@2"]["mean"], mean, atol=1e-5)


def test_every_candidate_is_scored_on_validation_and_the_best_is_kept(tmp_path):
    server = run_in(tmp_path)
    (ease,) = [card for card in server["models"] if card["name"] == "ease"]
    scores = {candidate["parameters"]["l2"]: candidate["validation"] for candidate in ease["candidates"]}
    assert set(scores) == {1.0, 10.0}
    assert scores[ease["parameters"]["l2"]] == max(scores.values())


def test_once_the_test_was_read_nothing_can_be_chosen(tmp_path):
    stores = two_tenants(tmp_path / "tenants")
    catalogue = stores[0].dataset().catalogue
    run(exchange_of(grid_of(stores), config_of(), tmp_path), catalogue, tmp_path / "server")
    with pytest.raises(Exception, match="test-already-read"):
        run(exchange_of(grid_of(stores), config_of(), tmp_path), catalogue, tmp_path / "again")


def test_an_arm_is_scored_on_test_once(tmp_path):
    stores = two_tenants(tmp_path / "tenants")
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    spec = ModelSpec(label="popularity", name="popularity", candidates=({},))
    first = score_arm(exchange, "local", [spec], {}, np.ones(6), "final")
    assert score_arm(exchange, "local", [spec], {}, np.ones(6), "final") == first  # a server that lost it may ask again
    with pytest.raises(RoundFailed, match="arm-already-scored"):
        score_arm(exchange, "local", [spec], {}, np.full(6, 2.0), "final")


def test_a_finished_run_is_not_run_again_in_its_folder(tmp_path):
    run_in(tmp_path)
    stores = two_tenants(tmp_path / "others")
    with pytest.raises(ConfigError, match="holds a finished run"):
        run(exchange_of(grid_of(stores), config_of(), tmp_path), stores[0].dataset().catalogue, tmp_path / "server")


def test_popularity_is_always_there_as_the_floor(tmp_path):
    server = run_in(tmp_path, models=[{"name": "ease"}])
    assert set(server["results"]["floor"]) == {"popularity"}


def test_a_tenant_local_recommender_is_scored_only_at_its_tenant(tmp_path):
    server = run_in(tmp_path, models=[{"name": "user_knn"}])
    assert set(server["results"]["local"]) == {"popularity", "user_knn"}
    assert set(server["results"]["federated"]) == {"popularity"}
    assert not (tmp_path / "server" / "models" / "user_knn").exists()


def test_no_event_names_a_user_or_an_item(tmp_path):
    run_in(tmp_path)
    text = (tmp_path / "server" / "events.jsonl").read_text()
    for name in ("ann", "bob", "cat", "dan", "eve", "fay", "gus"):
        assert f'"{name}"' not in text
    assert "round-end" in text


def test_bodies_refuse_unknown_fields_and_another_protocol():
    for body in (ContributeBody, ScoreBody):
        assert body.model_config["extra"] == "forbid"
        assert body.model_fields["protocol"].default == 1
