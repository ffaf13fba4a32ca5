"""Events in a PostgreSQL server that really runs. It is started here, in seconds, and ended here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from fedrec.data import Dataset, postgres
from fedrec.data.address import Address
from fedrec.data.database import Place
from fedrec.errors import DataError
from tests.postgres import PASSWORD, Server, running

ORDERS = "CREATE TABLE orders (user_id text, item_id text, timestamp bigint)"
TYPES = """
CREATE TABLE shop.sales (
    "Customer" numeric(20, 0), article uuid, bought timestamptz, weight numeric, address jsonb, note text
)
"""
ARTICLE = "00000000-0000-4000-8000-000000000007"


@pytest.fixture(scope="module")
def started() -> Iterator[Server]:
    with running() as server:
        server.execute("CREATE SCHEMA shop")
        yield server


@pytest.fixture
def server(started: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server with three orders, and its password where psycopg looks for it."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    started.execute(ORDERS, "INSERT INTO orders VALUES ('ann', 'a', 5), ('ann', 'b', 6), ('bob', 'b', 7)")
    yield started
    started.execute("DROP TABLE orders")


def test_a_table_is_read_by_its_name(server):
    events = Dataset.from_database(server.url(), table="orders", name="shop").interactions
    assert (events.user_ids, events.item_ids) == (("ann", "bob"), ("a", "b"))
    assert [events.users.tolist(), events.items.tolist(), events.times.tolist()] == [[0, 0, 1], [0, 1, 1], [5, 6, 7]]


def test_a_query_is_read_with_columns_by_other_names(server):
    query = "SELECT user_id AS who, item_id, timestamp FROM orders WHERE user_id LIKE 'a%';"
    events = Dataset.from_database(server.url(), query, columns={"user_id": "who"}).interactions
    assert (events.user_ids, events.num_events) == (("ann",), 2)


def test_types_of_the_server_become_ids_times_and_weights(server):
    """An id of 20 digits stays exact; 12:00 at +02:00 is 36,000 s after midnight UTC; jsonb is in nobody's way."""
    row = f"(12345678901234567890, '{ARTICLE}', '1970-01-01 12:00+02', 0.25, '{{\"street\": 1}}', NULL)"
    server.execute(TYPES, f"INSERT INTO shop.sales VALUES {row}")
    columns = {"user_id": "Customer", "item_id": "article", "datetime": "bought"}
    events = Dataset.from_database(server.url(), table="shop.sales", columns=columns).interactions
    assert (events.user_ids, events.item_ids) == (("12345678901234567890",), (ARTICLE,))
    assert (events.times.tolist(), events.weights.tolist()) == ([36_000], [0.25])


def test_a_table_of_several_pieces_is_read_whole(server, monkeypatch):
    monkeypatch.setattr(postgres, "ROWS_AT_ONCE", 100)
    query = "SELECT i % 7 AS user_id, i % 11 AS item_id, i AS timestamp FROM generate_series(1, 1050) AS i"
    events = Dataset.from_database(server.url(), query).interactions
    assert events.times.tolist() == list(range(1, 1051))
    assert [events.user_ids[user] for user in events.users] == [str(i % 7) for i in range(1, 1051)]


def test_columns_that_are_not_asked_for_do_not_leave_the_server(server):
    """A view that fails when its address is read: only a statement that names it would fail."""
    server.execute(
        "CREATE VIEW guarded AS SELECT user_id, item_id, timestamp, (1 / (length(user_id) - 3)) AS x FROM orders"
    )
    assert Dataset.from_database(server.url(), table="guarded").num_events == 3
    with pytest.raises(DataError, match="division by zero"):
        Dataset.from_database(server.url(), "SELECT * FROM guarded")
    server.execute("DROP VIEW guarded")


def test_what_is_read_is_not_changed(server):
    with pytest.raises(DataError, match="the query failed"):
        Dataset.from_database(server.url(), "DELETE FROM orders RETURNING user_id, item_id, timestamp")
    server.execute(
        "CREATE FUNCTION grab() RETURNS text LANGUAGE plpgsql AS 'BEGIN DELETE FROM orders; RETURN 1; END'",
    )
    with pytest.raises(DataError, match="read-only transaction"):
        Dataset.from_database(server.url(), "SELECT grab() AS user_id, 'a' AS item_id, 1 AS timestamp")
    server.execute("DROP FUNCTION grab")
    assert server.count("orders") == 3


def test_a_wrong_query_table_or_column_is_named(server):
    with pytest.raises(DataError, match='relation "nowhere" does not exist'):
        Dataset.from_database(server.url(), table="nowhere")
    with pytest.raises(DataError, match='syntax error at or near "SELEKT"'):
        Dataset.from_database(server.url(), "SELEKT 1")
    with pytest.raises(DataError, match="column 'customer' is missing"):
        Dataset.from_database(server.url(), table="orders", columns={"user_id": "customer"})


def test_a_name_that_holds_sql_is_a_name(server):
    with pytest.raises(DataError, match="does not exist"):
        Dataset.from_database(server.url(), table='orders"; DELETE FROM orders; --')
    assert server.count("orders") == 3


@pytest.mark.parametrize("password", ["wr0ng/p@ss", PASSWORD])
def test_a_password_in_the_address_is_used_and_never_told(server, password, monkeypatch):
    monkeypatch.delenv("PGPASSWORD")
    address = server.url(quote(password, safe=""))
    if password == PASSWORD:
        dataset = Dataset.from_database(address, table="orders")
        assert dataset.num_events == 3
        with pytest.raises(DataError) as failed:
            Dataset.from_database(address, table="nowhere")
    else:
        with pytest.raises(DataError, match="password authentication failed") as failed:
            Dataset.from_database(address, table="orders")
    for form in (password, quote(password, safe="")):
        assert form not in str(failed.value)
    assert f"postgresql://owner@127.0.0.1:{server.port}/postgres" in str(failed.value)


def test_a_password_file_is_asked(server, monkeypatch, tmp_path):
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "pass").write_text(f"127.0.0.1:*:*:owner:{PASSWORD.replace(':', chr(92) + ':')}\n")
    (tmp_path / "pass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pass"))
    assert Dataset.from_database(server.url(), table="orders").num_events == 3


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"postgresql://owner@127\.0\.0\.1:1/postgres: the server cannot be reached"):
        Dataset.from_database("postgresql://owner:hush@127.0.0.1:1/postgres", table="orders")


def test_a_users_rows_are_deleted_and_counted(server):
    place = Place(Address.of(server.url()), table="orders")
    with place.deleting("user_id", "ann") as deleted:
        assert deleted == 2
    assert server.count("orders") == 1


def test_rows_stay_if_what_goes_with_their_deletion_fails(server):
    place = Place(Address.of(server.url()), table="orders")
    with pytest.raises(KeyError), place.deleting("user_id", "ann"):
        raise KeyError
    assert server.count("orders") == 3


def test_without_psycopg_the_extra_is_named(tmp_path: Path):
    """In a process of its own that finds no psycopg."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from fedrec.data import Dataset\n"
        "Dataset.from_database('postgresql://owner@127.0.0.1:1/postgres', table='orders')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert "ConfigError: PostgreSQL needs psycopg; install it with `pip install 'fedrec[postgres]'`." in done.stderr


def test_the_test_server_asks_for_a_password(server, monkeypatch):
    """Otherwise the tests of passwords would see nothing."""
    monkeypatch.setenv("PGPASSWORD", "another")
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(server.url())
