import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fedrec.cli.run_folder import RunFolder
from fedrec.cli.serving import chosen_by
from fedrec.client.store import TenantStore
from fedrec.models import load


def asked(fedrec, *arguments: object) -> dict:
    result = fedrec("recommend", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_user_gets_what_a_global_model_says_with_the_tenants_own_rows(fedrec, run: Path):
    store = TenantStore(run / "tenants" / "tenant-1")
    user = store.dataset().interactions.user_ids[0]
    chosen = json.loads((run / "server" / "server.json").read_text())["chosen"]
    found = asked(fedrec, "--run", run, "--user", user, "-n", 4, "--model", chosen)
    expected = load(run / "server" / "models" / chosen).attach(store.dataset()).recommend(user, 4)
    assert (found["model"], found["tenant"], found["user"]) == (chosen, "tenant-1", user)
    assert [(one["item_id"], one["score"]) for one in found["recommendations"]] == [tuple(one) for one in expected]
    catalogue = store.dataset().catalogue
    assert [one["text"] for one in found["recommendations"]] == [
        catalogue.text[catalogue.positions([one.item_id])[0]] for one in expected
    ]


@pytest.mark.parametrize("arm", ["federated", "fused", "local"])
def test_a_tenant_is_served_by_its_own_choice(fedrec, run: Path, arm, tmp_path: Path):
    """Whatever it chose, the list is that of the scores by which the arm was measured."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    store = TenantStore(copy / "tenants" / "tenant-1")
    label = next(iter(store.results()[arm]))
    store.keep_choice(label, arm)
    user = store.dataset().interactions.user_ids[0]
    found = asked(fedrec, "--run", copy, "--user", user, "-n", 3)
    assert (found["model"], found["served_by"]) == (label, arm)
    _, _, recommender = chosen_by(RunFolder(copy), store)
    scores = recommender.algorithm.scores(recommender.weights, store.dataset().histories())[0]
    scores[store.dataset().histories().row(0)] = -np.inf
    places = store.dataset().catalogue.positions([one["item_id"] for one in found["recommendations"]])
    assert sorted(scores[places], reverse=True) == sorted(scores, reverse=True)[:3]


def test_of_a_fused_list_the_recommender_that_leads_it_is_explained(fedrec, run: Path, tmp_path: Path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    store = TenantStore(copy / "tenants" / "tenant-1")
    lead = next(iter(store.results()["fused"]))
    store.keep_choice(lead, "fused")
    user = store.dataset().interactions.user_ids[0]
    found = asked(fedrec, "--run", copy, "--user", user, "--explain")
    named = asked(fedrec, "--run", copy, "--user", user, "--explain", "--model", lead)
    assert (found["model"], found["leads"]) == (lead, "fused")
    assert "served_by" not in found
    assert found["recommendations"] == named["recommendations"]
    assert any(one["because"] for one in found["recommendations"])
    assert "which leads its fused" in fedrec("recommend", "--run", copy, "--user", user, "--explain").stdout


def test_seen_items_and_items_that_the_tenant_does_not_sell_are_left_out(fedrec, shops: Path):
    store = TenantStore(next((shops / "tenants").iterdir()))
    dataset = store.dataset()
    user = dataset.interactions.user_ids[0]
    found = asked(fedrec, "--run", shops, "--user", user, "--tenant", store.name, "-n", 60)
    listed = {one["item_id"] for one in found["recommendations"]}
    sold = {dataset.catalogue.item_ids[i] for i in store.assortment().nonzero()[0]}
    seen = {dataset.catalogue.item_ids[i] for i in dataset.histories().row(0)}
    assert seen
    assert listed == sold - seen


def test_a_user_of_several_tenants_is_asked_at_which(fedrec, shops: Path):
    stores = [TenantStore(path) for path in (shops / "tenants").iterdir()]
    users = [set(store.dataset().interactions.user_ids) for store in stores]
    shared = sorted(users[0] & users[1])[0]
    result = fedrec("recommend", "--run", shops, "--user", shared)
    assert result.exit_code == 2
    assert "choose one with --tenant" in result.stderr


def test_a_visitor_needs_no_rows_and_reasons_are_shares_of_the_items_given(fedrec, run: Path):
    items = "item-03,item-10"
    found = asked(fedrec, "--run", run, "--items", items, "--model", "ease", "-n", 3, "--explain")
    assert found["items"] == ["item-03", "item-10"]
    assert found["tenant"] is None
    for one in found["recommendations"]:
        assert one["item_id"] not in items
        exact = load(run / "server" / "models" / "ease").explain(["item-03", "item-10"], one["item_id"])
        assert one["base"] == exact.base
        shares = [(share.item_id, share.share) for share in exact.shares if share.share > 0]
        assert [(share["item_id"], share["share"]) for share in one["because"]] == shares


def test_the_table_fits_80_columns_and_shows_the_reasons(fedrec, run: Path):
    result = fedrec("recommend", "--run", run, "--items", "item-03", "--model", "ease", "--explain", "-n", 2)
    assert "For a visitor, by ease of all tenants" in result.stdout
    assert "100 %" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_newest_run_is_asked_unless_one_is_named(fedrec, run: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = fedrec("recommend", "--items", "item-03")
    assert missing.exit_code == 2
    assert "There is no run in runs/ yet" in missing.stderr
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(run)
    assert asked(fedrec, "--items", "item-03")["run"] == "runs/mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give either --user ID, or for a visitor --items a,b,c or --interest WORDS."),
        (
            ["--user", "user-1", "--items", "item-03"],
            "Give either --user ID, or for a visitor --items a,b,c or --interest WORDS.",
        ),
        (["--user", "user-999"], "Nearest: "),
        (["--user", "nobody at all"], "Ids look like 'user-"),
        (["--user", "user-00", "--tenant", "tenant-7"], "did you mean 'tenant-"),
        (["--items", "item-xx"], "There is no item 'item-xx'"),
        (["--items", "item-03", "--model", "eas"], "did you mean 'ease'?"),
        (["--items", "item-03", "--model", "user_knn"], "no global model 'user_knn'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(fedrec, run: Path, arguments, message):
    result = fedrec("recommend", "--run", run, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_user_of_another_tenant_is_found_there(fedrec, run: Path):
    user = TenantStore(run / "tenants" / "tenant-0").dataset().interactions.user_ids[0]
    result = fedrec("recommend", "--run", run, "--user", user, "--tenant", "tenant-1")
    assert result.exit_code == 2
    assert f"tenant-1 has no user '{user}'. It is a user of tenant-0." in result.stderr
