"""Rows come and users go: with everything that was computed from them, and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedrec.client.store import TenantStore, create_store
from fedrec.data import Catalogue
from fedrec.deploy.supervisor import _held
from fedrec.deploy.tenant.folder import Tenant
from fedrec.deploy.tenant.rows import Change, forget, ingest, open_again, over_catalogue
from fedrec.errors import ConfigError, DataError, UnknownUser
from fedrec.models import Popularity, fit, pooled_sum
from fedrec.models.protocols import ItemFeatures
from tests.deploy.market import fedrec, new_tenant, refused, write_events
from tests.federation import rows_of


@pytest.fixture
def store(tmp_path: Path) -> TenantStore:
    """Two users, and something computed from them in every place."""
    store = create_store(tmp_path / "north", rows_of({"ann": "abcd", "bob": "bcde"}, "north"))
    (store.folder / "secagg").mkdir()
    (store.folder / "secagg" / "run-00.state").write_text("in flight")
    for name in ("answers", "kept", "private", "moments", "of-a-later-version"):
        (store.folder / name).mkdir()
        (store.folder / name / "file").write_text("of ann")
    store.add_results("federated", {"popularity": {}})
    store.keep_choice("popularity", "federated")
    store.read_test()
    return store


def histories(store: TenantStore) -> dict[str, str]:
    """What each user has, oldest first."""
    data = store.dataset()
    rows, items = data.histories(), data.catalogue.item_ids
    return {
        user: "".join(items[i] for i in rows.items[rows.indptr[n] : rows.indptr[n + 1]])
        for n, user in enumerate(data.interactions.user_ids)
    }


def test_a_forgotten_user_is_nowhere_in_the_tenants_folder(store):
    assert forget(store, "ann") == Change(4)
    assert histories(store) == {"bob": "bcde"}
    assert sorted(path.name for path in store.folder.iterdir()) == ["forgotten", "incoming", "rows", "secagg"]
    content = b"".join(path.read_bytes() for path in store.folder.rglob("*") if path.is_file())
    assert b"ann" not in content
    assert not list((store.folder / "secagg").iterdir())


def test_the_next_sum_is_as_if_the_user_had_never_been_there(store):
    """Counts of the users who are left, computed by hand: bob has b, c, d and e once each."""
    forget(store, "ann")
    weights = fit(Popularity(), ItemFeatures(6), pooled_sum([store.dataset().histories()]))
    assert weights["popularity"].tolist() == [0, 1, 1, 1, 1, 0]


def test_keys_policies_and_the_ledger_outlive_a_user(tmp_path):
    folder = new_tenant(tmp_path, 0, "--epsilon", "8")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "rows" not in path.parts}
    forget(Tenant(folder).store, "ann@example")
    assert {path: path.read_bytes() for path in before} == before
    assert {path.parent.name for path in before} == {folder.name, "secagg", "privacy", "node"}


def test_an_unknown_user_is_told_apart(store):
    with pytest.raises(UnknownUser, match="letter by letter"):
        forget(store, "Ann")
    assert histories(store) == {"ann": "abcd", "bob": "bcde"}
    assert (store.folder / "results.json").exists()


def test_the_only_user_is_not_removed(tmp_path):
    store = create_store(tmp_path / "one", rows_of({"ann": "abc"}))
    with pytest.raises(ConfigError, match="only user"):
        forget(store, "ann")


def test_new_rows_come_behind_the_old_ones_and_repeats_are_passed_over(store):
    """ann's four rows are there already; her fifth and cat's three are new."""
    assert ingest(store, rows_of({"ann": "abcdf", "cat": "fed"})) == Change(4)
    assert histories(store) == {"ann": "abcdf", "bob": "bcde", "cat": "fed"}
    assert not (store.folder / "test-read").exists()


def test_rows_that_are_all_there_change_nothing(store):
    assert ingest(store, rows_of({"ann": "abcd"})) == Change(0)
    assert (store.folder / "results.json").exists()


def test_rows_on_unknown_items_are_refused_or_left_out(store):
    small = Catalogue.of_ids(("d", "c", "b", "a"))
    with pytest.raises(DataError, match="1 items"):
        over_catalogue(store.dataset(), small)
    moved = over_catalogue(store.dataset(), small, drop_unknown=True)
    assert moved.catalogue is small
    names = [small.item_ids[i] for i in moved.interactions.items]
    assert names == list("abcdbcd")
    assert np.array_equal(moved.interactions.times[:4], 86_400 * np.arange(4))


def test_nothing_changes_while_the_tenant_is_up(store):
    """See test_incoming.py for what becomes of the changes that wait."""
    with _held(store.folder):
        assert forget(store, "ann") == Change(4, waits=True)
        assert ingest(store, rows_of({"cat": "a"})) == Change(1, waits=True)
        assert open_again(store) == Change(0, waits=True)
        assert histories(store) == {"ann": "abcd", "bob": "bcde"}
        assert (store.folder / "results.json").exists()
    open_again(store)
    assert histories(store) == {"bob": "bcde", "cat": "a"}


def test_a_new_run_may_choose_again(store):
    open_again(store)
    store.check_choosing_allowed()
    assert histories(store) == {"ann": "abcd", "bob": "bcde"}


def test_the_commands_do_the_same(tmp_path):
    folder = new_tenant(tmp_path, 0)
    more = write_events(tmp_path, {"cat@example": "ab"}, "more")
    assert "2 new events" in fedrec("tenant", "ingest", folder, more)
    assert "4 events are gone" in fedrec("tenant", "forget", folder, "--user", "ann@example")
    assert "no user 'ann@example'" in refused("tenant", "forget", folder, "--user", "ann@example")
    assert Tenant(folder).store.dataset().interactions.user_ids == ("bob@example", "cat@example")


def test_an_export_is_readable_without_fedrec_and_holds_no_key(tmp_path):
    import pyarrow.parquet as pq

    folder = new_tenant(tmp_path, 0, "--epsilon", "8")
    Tenant(folder).store.add_results("federated", {"popularity": {"NDCG@2": 0.5}})
    fedrec("tenant", "export", folder, tmp_path / "out")
    out = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {"events.parquet", "results.json", "secagg-policy.toml", "privacy-policy.toml"}
    assert out == expected | {"ledger.jsonl", "ledger.head", "ledger.csv"}
    table = pq.read_table(tmp_path / "out" / "events.parquet").to_pylist()
    assert table[0] == {"user_id": "ann@example", "item_id": "a", "timestamp": 0, "weight": 1.0}
    assert len(table) == 8
    assert json.loads((tmp_path / "out" / "results.json").read_text())["federated"]["popularity"] == {"NDCG@2": 0.5}
    key = (folder / "secagg/identity.key").read_bytes().strip()
    assert not [path for path in (tmp_path / "out").iterdir() if key in path.read_bytes()]
    assert "exists" in refused("tenant", "export", folder, tmp_path / "out")
