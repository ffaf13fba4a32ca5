"""A whole simulation of a model with private weights: every arm, the report, and recommendations at a tenant."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedrec.cli.recommending import Question, answer
from fedrec.cli.run_folder import RunFolder
from fedrec.client.store import TenantStore
from fedrec.config import parse
from fedrec.models import load
from fedrec.simulations.experiment import Experiment
from fedrec.simulations.report import standing
from fedrec.simulations.report.schema import Report

CONFIG = {
    "name": "personal",
    "data": {"dataset": "synthetic", "synthetic": {"num_tenants": 3, "num_users": 90, "num_items": 40}},
    "tenants": {"split": "by_user_attribute", "attribute": "tenant"},
    "evaluation": {"bootstrap": 0},
    "training": {"rounds": 2, "alone_epochs": 2, "tuning_epochs": 1},
    "models": [{"name": "popularity"}, {"name": "mf", "dim": 8, "residual": "private"}, {"name": "user_knn"}],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("personal") / "run"
    return folder, Experiment(parse(CONFIG), folder).run()


def test_every_arm_has_a_result_with_masks_on(finished):
    _, report = finished
    assert report.arms == ["floor", "local", "federated", "tuned", "fused", "personal", "pooled"]
    entered = {(result.arm, result.model) for result in report.results}
    assert {(arm, "mf") for arm in report.arms[1:]} <= entered
    assert report.privacy.masks_on


def test_all_rows_in_one_place_have_no_private_weights(finished):
    folder, _ = finished
    pooled = load(folder / "pooled" / "models" / "mf")
    assert pooled.algorithm.private == ()
    assert pooled.recommend_to_items([pooled.item_ids[0]], n=3)
    assert not (folder / "pooled" / "everyone" / "private").exists()


def test_the_report_says_what_serves_each_tenant_and_never_less_than_its_arm_did(finished):
    folder, report = finished
    for tenant in report.tenants:
        store = TenantStore(folder / "tenants" / tenant.name)
        assert (tenant.best_personal, tenant.served_by) == store.choice()
        assert standing.personal_score(report, tenant) is not None
        for model, one in store.results()["personal"].items():
            scores = [standing.tenant_score(report, tenant, arm, model) for arm in ("personal", one["arm"])]
            assert scores[0] == scores[1]
        if tenant.served_by == "local":
            assert standing.personal_gain(report, tenant) == 0.0


def test_a_tenants_list_is_made_with_its_own_private_weights(finished):
    folder, _ = finished
    run, scores = RunFolder(folder), {}
    item = load(folder / "server" / "models" / "mf").item_ids[0]
    for tenant in ("tenant-0", "tenant-1", None):
        found = answer(run, Question(None, (item,), tenant, "mf", 5, explain=False))
        scores[tenant] = [(one.item_id, one.score) for one in found.items]
    assert len({tuple(rows) for rows in scores.values()}) == 3
    user = TenantStore(folder / "tenants" / "tenant-0").dataset().interactions.user_ids[0]
    assert len(answer(run, Question(user, None, "tenant-0", "mf", 5, explain=False)).items) == 5
