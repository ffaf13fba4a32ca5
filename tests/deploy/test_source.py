"""A tenant whose rows come from its own database, by the documented commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from fedrec.deploy.supervisor import _held
from fedrec.deploy.tenant.folder import Tenant
from fedrec.deploy.tenant.source import source_of
from fedrec.errors import ConfigError
from tests.data.test_database import write_sqlite
from tests.deploy.market import fedrec, refused, write_events
from tests.deploy.test_rows import histories
from tests.postgres import PASSWORD, Server, running

ORDERS = "CREATE TABLE orders (customer text, item_id text, timestamp bigint, address text)"
ROWS = "INSERT INTO orders VALUES ('ann', 'a', 1, 'x'), ('ann', 'b', 2, 'x'), ('bob', 'b', 3, 'y')"
MORE = "INSERT INTO orders VALUES ('bob', 'c', 4, 'y'), ('ann', 'c', 5, 'x')"
TABLE = ("--table", "orders", "--column", "user_id=customer")


@pytest.fixture
def address(tmp_path: Path) -> str:
    """Of an SQLite file with two customers, and an item that nobody bought yet, so that it is in the catalogue."""
    return write_sqlite(tmp_path / "shop.db", ORDERS, ROWS, "INSERT INTO orders VALUES ('cat', 'c', 6, 'z')")


@pytest.fixture
def folder(tmp_path: Path, address: str) -> Path:
    fedrec("tenant", "init", tmp_path / "north", "--data", address, *TABLE, "--no-noise")
    return tmp_path / "north"


@pytest.fixture(scope="module")
def started() -> Iterator[Server]:
    with running() as server:
        yield server


def test_a_tenant_takes_what_is_new_from_its_database(folder, address, tmp_path):
    assert histories(Tenant(folder).store) == {"ann": "ab", "bob": "b", "cat": "c"}
    write_sqlite(tmp_path / "shop.db", MORE)
    assert "2 new events" in fedrec("tenant", "ingest", folder)
    assert "0 new events" in fedrec("tenant", "ingest", folder)
    assert histories(Tenant(folder).store) == {"ann": "abc", "bob": "bc", "cat": "c"}


def test_columns_that_the_tenant_does_not_use_are_not_copied(folder):
    content = b"".join(path.read_bytes() for path in folder.rglob("*.parquet"))
    assert b"address" not in content


def test_a_forgotten_user_stays_out_although_the_database_has_the_rows(folder):
    told = fedrec("tenant", "forget", folder, "--user", "ann")
    assert "shop.db, table orders are yours to delete" in told
    told = fedrec("tenant", "ingest", folder)
    assert "0 new events" in told
    assert "2 events of forgotten users were left out" in told
    assert "2 new events" in fedrec("tenant", "ingest", folder, "--readmit", "ann")
    assert histories(Tenant(folder).store) == {"bob": "b", "cat": "c", "ann": "ab"}


def test_a_user_is_deleted_in_the_database_too_if_that_is_asked_for(folder):
    told = fedrec("tenant", "forget", folder, "--user", "ann", "--in-database")
    assert "2 rows are gone from the table" in told
    assert "2 events are gone" in told
    assert "left out" not in fedrec("tenant", "ingest", folder)
    assert "0 rows are gone" in fedrec("tenant", "forget", folder, "--user", "ann", "--in-database")


def test_nothing_is_deleted_in_the_database_for_a_user_whom_the_tenant_does_not_know(folder, tmp_path):
    write_sqlite(tmp_path / "shop.db", "INSERT INTO orders VALUES ('dan', 'c', 9, 'z')")
    assert "no user 'dan'" in refused("tenant", "forget", folder, "--user", "dan", "--in-database")
    assert "1 new events" in fedrec("tenant", "ingest", folder)


def test_rows_and_users_wait_while_the_tenant_is_up_and_the_commands_say_so(folder, tmp_path):
    write_sqlite(tmp_path / "shop.db", MORE)
    with _held(folder):
        assert "2 new events, once the next run begins" in fedrec("tenant", "ingest", folder)
        assert "3 events are gone" in fedrec("tenant", "forget", folder, "--user", "ann")
        assert "wait for the next run" in " ".join(fedrec("tenant", "status", folder).split())
        assert histories(Tenant(folder).store) == {"ann": "ab", "bob": "b", "cat": "c"}
    fedrec("tenant", "open", folder)
    assert histories(Tenant(folder).store) == {"bob": "bc", "cat": "c"}
    assert "wait for the next run" not in fedrec("tenant", "status", folder)


def test_options_of_a_database_need_one(folder, tmp_path):
    events = write_events(tmp_path, {"ann": "ab"}, "events")
    assert "are for a database" in refused("tenant", "ingest", folder, events, "--table", "orders")
    assert "go with DATA" in refused("tenant", "ingest", folder, "--table", "orders")
    fedrec("tenant", "init", tmp_path / "south", "--data", events, "--no-noise")
    assert "came from a file" in refused("tenant", "ingest", tmp_path / "south")
    assert "came from a file" in refused("tenant", "forget", tmp_path / "south", "--user", "ann", "--in-database")
    assert "either a query or a table" in refused(
        "tenant", "init", tmp_path / "west", "--data", f"sqlite://{tmp_path / 'shop.db'}", "--no-noise"
    )
    assert not (tmp_path / "west").exists()


def test_a_source_that_was_spoilt_with_an_editor_is_named(folder):
    path = folder / "source.toml"
    for spoilt in ("", "database = 3", "\0", 'database = "events.csv"\ntable = "orders"', path.read_text() * 2):
        path.write_text(spoilt)
        with pytest.raises(ConfigError, match=r"source\.toml names no database"):
            source_of(folder)


def test_a_user_is_forgotten_although_the_database_is_gone(folder, tmp_path):
    (tmp_path / "shop.db").unlink()
    assert "2 events are gone" in fedrec("tenant", "forget", folder, "--user", "ann")
    assert "There is no file" in refused("tenant", "ingest", folder)
    assert "shop.db, table orders" in fedrec("tenant", "status", folder)


def test_a_database_is_described_as_a_file_is(address):
    told = fedrec("data", "describe", address, *TABLE, "--json")
    assert '"users": 3' in told
    assert '"events": 4' in told


def test_postgresql_is_a_source_whose_password_is_nowhere_in_the_folder(started, tmp_path, monkeypatch):
    """The password comes with the address once, and from PGPASSWORD when it is needed again."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    started.execute(ORDERS, ROWS)
    folder, secret = tmp_path / "north", quote(PASSWORD, safe="")
    query = "SELECT customer AS user_id, item_id, timestamp FROM orders WHERE customer <> 'nobody'"
    told = fedrec("tenant", "init", folder, "--data", started.url(secret), "--query", query, "--no-noise")
    assert "2 users, 3 events" in told
    files = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for form in (PASSWORD.encode(), secret.encode()):
        assert form not in files + told.encode()
    assert f'database = "{started.url()}"' in (folder / "source.toml").read_text()
    assert "no password supplied" in refused("tenant", "ingest", folder)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    started.execute("INSERT INTO orders VALUES ('bob', 'a', 4, 'y')")
    assert "1 new events" in fedrec("tenant", "ingest", folder)
    assert "delete the user there by hand" in refused("tenant", "forget", folder, "--user", "ann", "--in-database")


def test_a_table_of_postgresql_loses_the_user_and_the_tenant_does_at_once(started, tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    started.execute("CREATE TABLE sales (user_id int, item_id int, timestamp int)")
    started.execute("INSERT INTO sales VALUES (7, 1, 1), (7, 2, 2), (8, 2, 3)")
    folder = tmp_path / "north"
    fedrec("tenant", "init", folder, "--data", started.url(), "--table", "sales", "--no-noise")
    told = fedrec("tenant", "forget", folder, "--user", "7", "--in-database")
    assert "2 rows are gone from the table" in told
    assert started.count("sales") == 1
    assert "only user" in refused("tenant", "forget", folder, "--user", "8", "--in-database")
    assert started.count("sales") == 1
