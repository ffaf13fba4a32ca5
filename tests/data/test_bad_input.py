"""One clear sentence for each kind of wrong input: where, what and the cure."""

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedrec.data import Catalogue, Dataset
from fedrec.errors import ConfigError, DataError


def frame(**changes: object) -> dict[str, object]:
    rows: dict[str, object] = {"user_id": ["u", "v", "w"], "item_id": ["a", "b", "a"], "timestamp": [1, 2, 3]}
    return {name: column for name, column in {**rows, **changes}.items() if column is not None}


def mixed() -> pd.DataFrame:
    return pd.DataFrame({"user_id": pd.Series([1, "x"], dtype=object), "item_id": [1, 2], "timestamp": [1, 2]})


CASES = {
    "missing column": (frame(user_id=None, usr_id=[1, 2, 3]), "'user_id' is missing, the nearest is 'usr_id'; rename it or pass columns={\"user_id\": \"usr_id\"}"),
    "missing time": (frame(timestamp=None), "column 'timestamp' or 'datetime' is missing"),
    "no rows": (frame(user_id=[], item_id=[], timestamp=[]), "there is no row; give at least one interaction"),
    "null user": (frame(user_id=["u", None, "w"]), "row 2, column 'user_id': the id is missing; fill it in or drop the row"),
    "empty item": (frame(item_id=["a", "b", ""]), "row 3, column 'item_id': the id is missing"),
    "fraction as id": (frame(user_id=[1.0, 2.5, 3.0]), "row 2, column 'user_id': the id 2.5 is not a whole number; give ids as text"),
    "NaN as id": (frame(user_id=[1.0, np.nan, 3.0]), "row 2, column 'user_id'"),
    "truth values as ids": (frame(item_id=[True, False, True]), "column 'item_id': bool values are not ids"),
    "NUL in an id": (frame(item_id=["a", "b\0", "c"]), "row 2, column 'item_id'"),
    "mixed kinds": (mixed(), "give each column values of one kind"),
    "NaN weight": (frame(weight=[1, np.nan, 1]), "row 2, column 'weight': the weight is missing or NaN"),
    "infinite weight": (frame(weight=[1, 1, np.inf]), "row 3, column 'weight': weight inf is infinite"),
    "negative weight": (frame(rating=[1, -0.5, 1]), "row 2, column 'rating': the weight -0.5 is negative"),
    "text weight": (frame(weight=["1", "2", "many"]), "row 3, column 'weight': weight 'many' is not a number"),
    "milliseconds": (frame(timestamp=[1, 1_700_000_000_000, 3]), "row 2, column 'timestamp': the time 1700000000000 looks like milliseconds; divide it by 1000"),
    "nanoseconds": (frame(timestamp=[1, 1_700_000_000_123_456_789, 3]), "row 2, column 'timestamp': the time 1700000000123456789 looks like milliseconds"),
    "text time": (frame(timestamp=["1", "2", "noon"]), "row 3, column 'timestamp': time 'noon' is not a number; give unix seconds, or pass ISO dates as columns={\"datetime\""),
    "missing text time": (frame(timestamp=["1", "", "3"]), "row 2, column 'timestamp': the time is missing"),
    "wrong date": (frame(timestamp=None, datetime=["2024-01-31", "2024-01-31T12:00Z", "2024-02-31"]), "row 3, column 'datetime': '2024-02-31' is not an ISO date"),
    "null time": (frame(timestamp=[1, None, 3]), "row 2, column 'timestamp': the time is missing"),
    "number as date": (frame(timestamp=None, datetime=[1, 2, 3]), "column 'datetime': int64 values are not dates"),
    "duplicate row": (frame(user_id=["u", "v", "u"], timestamp=[1, 1, 1]), "row 3: the row repeats the user, item and time of an earlier one, as 1 rows do; remove them, or pass duplicates='drop' or 'sum'"),
    "not a frame": (42, "a int is not a frame"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_wrong_frame_is_explained(case):
    wrong, message = CASES[case]
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        Dataset.from_frame(wrong)
    assert str(caught.value).startswith("interactions")
    assert "\n" not in str(caught.value)


ITEMS = {
    "unknown item": ({"item_id": ["a"]}, "row 2, column 'item_id': item 'b' is not in the catalogue"),
    "duplicate item": ({"item_id": ["a", "b", "a"]}, "catalogue, row 3, column 'item_id': item 'a' is there twice; keep one row per item"),
    "negative price": ({"item_id": ["a", "b"], "price": [1, -1]}, "catalogue, row 2, column 'price': price -1 is negative"),
    "no item id": ({"itemid": ["a", "b"]}, "catalogue: column 'item_id' is missing, the nearest is 'itemid'"),
    "text as price": ({"item_id": ["a", "b"], "price": ["1", "cheap"]}, "catalogue, row 2, column 'price': price 'cheap' is not a number"),
    "nested categories": ({"item_id": ["a", "b"], "categories": [[{"x": 1}], []]}, "catalogue, row 1, column 'categories'"),
}  # fmt: skip


@pytest.mark.parametrize("case", ITEMS)
def test_wrong_catalogue_is_explained(case):
    items, message = ITEMS[case]
    with pytest.raises(DataError, match=re.escape(message)):
        Dataset.from_frame(frame(), items)


def test_catalogue_of_other_ids_is_explained():
    with pytest.raises(DataError, match="no row is on an item of the catalogue"):
        Dataset.from_frame(frame(), Catalogue.of_ids(["x"]), unknown_items="drop")


def test_user_with_two_rows_is_refused():
    with pytest.raises(DataError, match="users, column 'user_id': a user has several rows"):
        Dataset.from_frame(frame(), users={"user_id": ["u", "u"], "age": [1, 2]})


def test_mapped_column_that_is_not_there():
    with pytest.raises(DataError, match="column 'buyer' is missing"):
        Dataset.from_frame(frame(), columns={"user_id": "buyer"})


def test_column_that_is_there_twice():
    table = pa.table([["u"], ["v"], ["a"], [1]], names=["user_id", "user_id", "item_id", "timestamp"])
    with pytest.raises(DataError, match="the column occurs 2 times"):
        Dataset.from_frame(table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duplicates": "keep"}, "Expected duplicates to be one of"),
        ({"unknown_items": "keep"}, "Expected unknown_items to be one of"),
        ({"columns": {"user": "u"}}, "Expected the keys of columns to be among"),
        ({"event_attributes": "store"}, "Expected event_attributes to be a list"),
        ({"delimiter": "::"}, "Expected delimiter to be one ASCII character"),
    ],
)
def test_wrong_option_is_explained(options, message):
    with pytest.raises(ConfigError, match=message):
        Dataset.from_frame(frame(), **options)


HEADER = b"user_id,item_id,timestamp\n"
FILES = {
    "no file": (None, "there is no such file"),
    "empty": (b"", "the file has no header"),
    "only a header": (HEADER, "there is no row"),
    "short row": (HEADER + b"u,a,1\nv,b\n", "row 2: the row has 2 fields, the header 3"),
    "long row": (HEADER + b"u,a,1,9\n", "row 1: the row has 4 fields, the header 3"),
    "latin-1": (HEADER + b"u,a,1\nv,caf\xe9,2\n", "row 2: the text is not UTF-8; save the file as UTF-8"),
    "latin-1 header": (b"user_id,item_id,timestamp,caf\xe9\n", "the text is not UTF-8"),
    "utf-16": ("user_id,item_id,timestamp\nu,a,1\n".encode("utf-16"), "the text is not UTF-8"),
}


@pytest.mark.parametrize("case", FILES)
def test_wrong_csv_is_explained(tmp_path: Path, case):
    content, message = FILES[case]
    path = tmp_path / "events.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        Dataset.from_files(path)
    assert str(caught.value).startswith(str(path))


def many_rows() -> bytes:
    rng = np.random.default_rng(0)
    return HEADER + b"".join(b"%d,%d,%d\n" % tuple(row) for row in rng.integers(0, 1 << 30, (5000, 3)))


def test_truncated_gzip_is_explained(tmp_path: Path):
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(many_rows())[:-500])
    with pytest.raises(DataError, match=r"cannot be read as CSV .*; it may be truncated"):
        Dataset.from_files(path)


def test_text_that_is_not_gzip_is_explained(tmp_path: Path):
    path = tmp_path / "events.csv.gz"
    path.write_bytes(many_rows())
    with pytest.raises(DataError, match="cannot be read as CSV"):
        Dataset.from_files(path)


def test_truncated_parquet_is_explained(tmp_path: Path):
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table(frame()), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        Dataset.from_files(path)


@pytest.mark.parametrize(
    ("query", "database", "message"),
    [
        ("select * from nowhere", ":memory:", "query: the query failed"),
        ("create table t(x int)", ":memory:", "query"),
        ("select 1", "/nowhere/shop.duckdb", "the database cannot be opened"),
        ("select 1 user_id", ":memory:", "column 'item_id' is missing"),
    ],
)
def test_wrong_query_is_explained(query, database, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_sql(query, database)
