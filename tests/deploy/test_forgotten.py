"""A user who was forgotten does not come back with the next rows, unless somebody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedrec.client.store import TenantStore, create_store
from fedrec.deploy.tenant.forgotten import Forgotten
from fedrec.deploy.tenant.rows import Change, forget, ingest
from fedrec.errors import ConfigError, UnknownUser
from tests.deploy.test_rows import histories
from tests.federation import rows_of

ALL = {"ann": "abcd", "bob": "bcde"}


@pytest.fixture
def store(tmp_path: Path) -> TenantStore:
    """A tenant that has forgotten ann."""
    store = create_store(tmp_path / "north", rows_of(ALL))
    forget(store, "ann")
    return store


def test_rows_of_a_forgotten_user_are_left_out_and_counted(store):
    assert ingest(store, rows_of({**ALL, "cat": "ab"})) == Change(2, left_out=4)
    assert histories(store) == {"bob": "bcde", "cat": "ab"}


def test_rows_of_nobody_else_change_nothing(store):
    assert ingest(store, rows_of({"ann": "abcdef"})) == Change(0, left_out=6)
    assert histories(store) == {"bob": "bcde"}


def test_a_user_who_is_readmitted_comes_back_for_good(store):
    assert ingest(store, rows_of(ALL), readmit=["ann"]) == Change(4)
    assert histories(store) == {"bob": "bcde", "ann": "abcd"}
    assert ingest(store, rows_of({"ann": "abcdf"})) == Change(1)


def test_readmitting_somebody_who_was_not_forgotten_changes_nothing(store):
    with pytest.raises(UnknownUser, match="'bob' was not forgotten"):
        ingest(store, rows_of({"cat": "ab"}), readmit=["bob"])
    assert histories(store) == {"bob": "bcde"}


def test_a_user_stays_forgotten_if_the_rows_are_refused(store):
    with pytest.raises(ConfigError, match="only user"):
        forget(store, "bob")
    assert "bob" not in Forgotten(store.folder)
    assert "ann" in Forgotten(store.folder)


def test_ids_are_kept_as_keyed_hashes_that_only_the_owner_reads(store):
    folder = store.folder / "forgotten"
    assert [oct(path.stat().st_mode & 0o777) for path in sorted(folder.iterdir())] == ["0o600"] * 2
    assert [len(line) for line in (folder / "ids").read_text().splitlines()] == [64]
    other = create_store(store.folder.parent / "south", rows_of(ALL))
    forget(other, "ann")
    assert (other.folder / "forgotten" / "ids").read_text() != (folder / "ids").read_text()


@pytest.mark.parametrize("key", [None, "", "ab", "z" * 64])
def test_nobody_is_let_in_while_the_key_is_missing_or_damaged(store, key):
    path = store.folder / "forgotten" / "key"
    path.unlink()
    if key is not None:
        path.write_text(key)
    with pytest.raises(ConfigError, match="restore it"):
        ingest(store, rows_of({"cat": "ab"}))
    assert histories(store) == {"bob": "bcde"}


def test_forgetting_again_is_told_apart_from_an_unknown_user(store):
    assert forget(store, "ann", again=True) == Change(0)
    with pytest.raises(UnknownUser):
        forget(store, "ann")
    with pytest.raises(UnknownUser):
        forget(store, "Ann", again=True)
