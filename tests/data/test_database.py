"""Addresses of databases, whose passwords nobody sees, and events in DuckDB and SQLite files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from fedrec.data import Dataset, sqlite
from fedrec.data.address import Address, is_address
from fedrec.data.database import Place
from fedrec.errors import ConfigError, DataError

ORDERS = "CREATE TABLE orders (user_id integer, item_id text, timestamp bigint, note text)"
ROWS = "INSERT INTO orders VALUES (7, 'a', 5, 'x'), (7, 'b', 6, NULL), (8, 'b', 7, 'y')"


def write_sqlite(path: Path, *statements: str) -> str:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return f"sqlite://{path}"


def write_duckdb(path: Path, *statements: str) -> str:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return f"duckdb://{path}"


@pytest.fixture(params=[write_sqlite, write_duckdb])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    write: Callable[..., str] = request.param
    return write(tmp_path / "shop.db", ORDERS, ROWS)


def test_a_table_and_a_query_give_the_same_events(address):
    for where in ({"table": "orders"}, {"query": "SELECT * FROM orders ORDER BY timestamp"}):
        events = Dataset.from_database(address, **where).interactions
        assert (events.user_ids, events.item_ids) == (("7", "8"), ("a", "b"))
        assert [events.users.tolist(), events.items.tolist(), events.times.tolist()] == [
            [0, 0, 1],
            [0, 1, 1],
            [5, 6, 7],
        ]


def test_a_users_rows_are_deleted_unless_something_else_fails(address):
    place = Place(Address.of(address), table="orders")
    with pytest.raises(KeyError), place.deleting("user_id", "7"):
        raise KeyError
    assert Dataset.from_database(address, table="orders").num_events == 3
    with place.deleting("user_id", "7") as deleted:
        assert deleted == 2
    assert Dataset.from_database(address, table="orders").interactions.user_ids == ("8",)


def test_what_is_wrong_is_named_with_the_address(address):
    for where, told in (
        ({"table": "nowhere"}, "the query failed"),
        ({"query": "SELEKT 1"}, "the query failed"),
        ({"query": "SELECT 1 AS item_id"}, "column 'user_id' is missing"),
        ({"query": "SELECT * FROM orders WHERE user_id = 9"}, "there is no row"),
    ):
        with pytest.raises(DataError, match=told) as failed:
            Dataset.from_database(address, **where)
        assert address in str(failed.value)


def test_a_file_is_opened_read_only(address):
    with pytest.raises(DataError):
        Dataset.from_database(address, "DELETE FROM orders RETURNING user_id, item_id, timestamp")
    assert Dataset.from_database(address, table="orders").num_events == 3


def test_an_sqlite_table_of_several_pieces_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "ROWS_AT_ONCE", 2)
    address = write_sqlite(tmp_path / "shop.db", ORDERS, ROWS)
    assert Dataset.from_database(address, table="orders").interactions.times.tolist() == [5, 6, 7]


def test_an_sqlite_column_that_mixes_kinds_is_refused(tmp_path):
    address = write_sqlite(tmp_path / "shop.db", "CREATE TABLE orders (user_id, item_id, timestamp)", ROWS_OF_TWO_KINDS)
    with pytest.raises(DataError, match="the query failed"):
        Dataset.from_database(address, table="orders")


ROWS_OF_TWO_KINDS = "INSERT INTO orders VALUES (7, 'a', 5), ('seven', 'b', 6)"


def test_exactly_one_of_query_and_table_is_given(address):
    for where in ({}, {"query": "SELECT 1", "table": "orders"}):
        with pytest.raises(ConfigError, match="either a query or a table"):
            Dataset.from_database(address, **where)


def test_rows_of_a_query_are_not_deleted(address):
    with pytest.raises(ConfigError, match="by hand"):
        Place(Address.of(address), query="SELECT * FROM orders").deleting("user_id", "7")


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    for kind in ("sqlite", "duckdb"):
        with pytest.raises(ConfigError, match="There is no file"):
            Dataset.from_database(f"{kind}://{tmp_path / 'shop.db'}", table="orders")
    assert not (tmp_path / "shop.db").exists()


def test_a_path_from_here_on_has_no_slashes_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sqlite(tmp_path / "shop.db", ORDERS)
    assert Address.of("sqlite:shop.db").shown == f"sqlite://{tmp_path / 'shop.db'}"


def test_files_and_names_are_no_addresses():
    assert not [text for text in ("events.csv", "ml-100k", "C:\\events.csv", "./sqlite", "") if is_address(text)]
    assert is_address("postgres://host/shop")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://ann@host/shop", "postgresql://ann@host/shop"),
        ("postgresql://ann:hush@host:5433/shop", "postgresql://ann@host:5433/shop"),
        ("postgres://:hush@host/shop", "postgresql://@host/shop"),
        ("postgresql:///shop?host=/run/postgresql", "postgresql:///shop?host=/run/postgresql"),
        ("postgresql://a,b:1/shop?password=hush&sslmode=require", "postgresql://a,b:1/shop?sslmode=require"),
        ("postgresql://host/shop?pass%77ord=hush", "postgresql://host/shop"),
        ("postgresql://host/shop?passwd=hush&sslpassword=hush", "postgresql://host/shop"),
        ("postgresql://[::1]:5432/shop", "postgresql://[::1]:5432/shop"),
        ("POSTGRESQL://ann:hush@host/shop", "postgresql://ann@host/shop"),
    ],
)
def test_an_address_is_shown_without_its_password(given, shown):
    address = Address.of(given)
    assert address.shown == shown
    assert address.url == given.replace("postgres:", "postgresql:").replace("POSTGRESQL:", "postgresql:")
    assert "hush" not in repr(address)
    assert "hush" not in address.without_secrets("a library said: hush") or "hush" not in given


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://ann:hu/sh@host/shop",
        "postgresql://ann:hu?sh@host/shop",
        "postgresql://ann:hu#sh@host/shop",
        "postgresql://ann:hu@sh@host/shop",
        "postgresql://ann:hush@host:port/shop",
        "postgresql://host/shop?hush",
        "postgresql:ann:hush@host",
        "mysql://ann:hush@host/shop",
    ],
)
def test_an_address_that_cannot_be_taken_apart_is_not_repeated(given):
    with pytest.raises(ConfigError) as failed:
        Address.of(given)
    assert not [part for part in ("hu", "sh@", "ann") if part in str(failed.value)]
