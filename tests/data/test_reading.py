import gzip
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedrec.data import Catalogue, Dataset

ROWS = {
    "user_id": ["u", "v", "u"],
    "item_id": [7, 9, 9],
    "timestamp": [30, 20, 10],
    "rating": [4.0, 0.0, 1.5],
    "store": ["north", "south", "north"],
}


def events(dataset: Dataset) -> list[tuple[str, str, int, float]]:
    e = dataset.interactions
    users = [e.user_ids[u] for u in e.users]
    items = [e.item_ids[i] for i in e.items]
    return list(zip(users, items, e.times.tolist(), e.weights.tolist(), strict=True))


EXPECTED = [("u", "7", 30, 4.0), ("v", "9", 20, 0.0), ("u", "9", 10, 1.5)]


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        pa.table,
        dict,
        lambda rows: pd.DataFrame(rows).astype({"user_id": "category", "item_id": "category"}),
        lambda rows: pl.DataFrame(rows, schema_overrides={"user_id": pl.Categorical}),
        lambda rows: pd.DataFrame(rows).astype({"item_id": float}),
        lambda rows: pd.DataFrame(rows).assign(timestamp=pd.to_datetime(rows["timestamp"], unit="s")),
        lambda rows: duckdb.connect().from_arrow(pa.table(rows)),
    ],
    ids=[
        "pandas",
        "polars",
        "arrow",
        "dict",
        "pandas-categories",
        "polars-categories",
        "float-ids",
        "times",
        "duckdb",
    ],
)
def test_every_kind_of_frame_gives_the_same_events(make):
    dataset = Dataset.from_frame(make(ROWS))
    assert events(dataset) == EXPECTED
    assert dataset.interactions.user_ids == ("u", "v")
    assert dataset.catalogue.item_ids == ("7", "9")


def test_weight_is_one_where_there_is_no_column():
    rows = {name: ROWS[name] for name in ("user_id", "item_id", "timestamp")}
    assert Dataset.from_frame(rows).interactions.weights.tolist() == [1, 1, 1]


def test_other_column_names_are_mapped():
    renamed = pd.DataFrame(ROWS).rename(columns={"user_id": "customer", "rating": "stars", "timestamp": "at"})
    columns = {"user_id": "customer", "rating": "stars", "timestamp": "at"}
    assert events(Dataset.from_frame(renamed, columns=columns)) == EXPECTED


def test_a_mapped_column_is_preferred_to_one_with_the_usual_name():
    frame = pd.DataFrame(ROWS).assign(weight=1.0)
    assert events(Dataset.from_frame(frame, columns={"rating": "rating"})) == EXPECTED


def test_histories_are_in_order_of_time_with_ties_in_order_of_the_source():
    frame = {"user_id": [1, 1, 1, 1], "item_id": list("dcba"), "timestamp": [5, 5, 2, 5]}
    dataset = Dataset.from_frame(frame, Catalogue.of_ids("abcd"))
    assert [dataset.catalogue.item_ids[i] for i in dataset.histories().row(0)] == ["b", "d", "c", "a"]


def test_events_keep_extra_columns_when_asked():
    labels = Dataset.from_frame(ROWS, event_attributes=["store"]).event_attributes["store"]
    assert [labels.names[code] for code in labels.codes] == ["north", "south", "north"]


def test_user_attributes_are_aligned_and_empty_where_unknown():
    people = pd.DataFrame({"user_id": ["x", "v"], "age": [30, 41], "city": ["Rome", None]})
    attributes = Dataset.from_frame(ROWS, users=people).user_attributes
    assert dict(attributes) == {"age": ("", "41"), "city": ("", "")}


def test_catalogue_gives_text_categories_and_prices():
    items = {
        "item_id": [9, 8, 7],
        "title": ["Mug", None, "Tent"],
        "categories": ["cup|kitchen|cup", "", "camp"],
        "price": [None, 2.0, 3.5],
        "brand": ["Ada", "Bob", None],
    }
    catalogue = Dataset.from_frame(ROWS, items, text_columns=["brand"]).catalogue
    assert catalogue.item_ids == ("9", "8", "7")
    assert catalogue.text == ("Mug Ada", "Bob", "Tent")
    assert catalogue.categories == (("cup", "kitchen"), (), ("camp",))
    np.testing.assert_equal(catalogue.prices, [np.nan, 2.0, 3.5])


def test_categories_may_be_lists():
    items = pl.DataFrame({"item_id": [7, 9], "categories": [["camp", "new"], None]})
    assert Dataset.from_frame(ROWS, items).catalogue.categories == (("camp", "new"), ())


def test_extra_text_is_left_out_unless_asked_for():
    items = {"item_id": [7, 9], "text": ["Tent", "Mug"], "brand": ["Ada", "Bob"]}
    assert Dataset.from_frame(ROWS, items).catalogue.text == ("Tent", "Mug")


def test_unknown_items_can_be_dropped():
    dataset = Dataset.from_frame(ROWS, Catalogue.of_ids(["7", "8"]), unknown_items="drop")
    assert events(dataset) == [("u", "7", 30, 4.0)]
    assert dataset.interactions.user_ids == ("u",)


def test_unknown_items_can_be_added():
    dataset = Dataset.from_frame(ROWS, Catalogue.of_ids(["8", "7"]), unknown_items="add")
    assert dataset.catalogue.item_ids == ("8", "7", "9")
    assert events(dataset) == EXPECTED


REPEATED = {
    "user_id": [1, 2, 1, 1],
    "item_id": [5, 5, 5, 5],
    "timestamp": [3, 3, 3, 4],
    "weight": [1, 2, 4, 8],
}


def test_duplicates_can_be_summed_into_the_first():
    assert events(Dataset.from_frame(REPEATED, duplicates="sum")) == [
        ("1", "5", 3, 5),
        ("2", "5", 3, 2),
        ("1", "5", 4, 8),
    ]


def test_duplicates_can_be_dropped():
    assert events(Dataset.from_frame(REPEATED, duplicates="drop"))[0] == ("1", "5", 3, 1)


def test_different_unknown_items_at_one_time_are_no_duplicates():
    frame = {"user_id": [1, 1, 1], "item_id": ["a", "y", "z"], "timestamp": [5, 5, 5]}
    assert Dataset.from_frame(frame, Catalogue.of_ids("a"), unknown_items="drop").num_events == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("1970-01-01T00:00:10", 10),
        ("1970-01-01 00:00:10.9", 10),
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T23:59:59.5", -1),
    ],
)
def test_iso_text_is_read_as_utc(text, seconds):
    frame = {"user_id": [1, 1], "item_id": [1, 2], "datetime": [text, "1970-01-01T00:00:07"]}
    assert Dataset.from_frame(frame).interactions.times.tolist() == [seconds, 7]


def test_zoned_instants_are_converted():
    at = pd.to_datetime(["1970-01-01T02:00:05"]).tz_localize("Europe/Athens")
    frame = pd.DataFrame({"user_id": [1], "item_id": [1], "datetime": at})
    assert Dataset.from_frame(frame).interactions.times.tolist() == [5]


def csv_text(separator: str) -> str:
    lines = [",".join(ROWS), *(",".join(map(str, row)) for row in zip(*ROWS.values(), strict=True))]
    return "\n".join(lines).replace(",", separator) + "\n"


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_csv_delimiter_is_found(tmp_path: Path, separator):
    path = tmp_path / "events.csv"
    path.write_text(csv_text(separator))
    assert events(Dataset.from_files(path)) == EXPECTED


def test_csv_delimiter_can_be_given(tmp_path: Path):
    path = tmp_path / "events.csv"
    path.write_text(csv_text(":"))
    assert events(Dataset.from_files(path, delimiter=":")) == EXPECTED


def test_csv_may_have_a_byte_order_mark_and_be_gzipped(tmp_path: Path):
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + csv_text(",").replace("\n", "\r\n").encode()))
    assert events(Dataset.from_files(path)) == EXPECTED


def test_csv_ids_keep_their_leading_zeros_and_words_like_na(tmp_path: Path):
    path = tmp_path / "events.csv"
    path.write_text('user_id,item_id,timestamp\n007,"a,b",1\nNA,null,2\n')
    dataset = Dataset.from_files(path)
    assert dataset.interactions.user_ids == ("007", "NA")
    assert dataset.catalogue.item_ids == ("a,b", "null")


def test_parquet_files_with_catalogue_and_users(tmp_path: Path):
    pq.write_table(pa.table(ROWS), tmp_path / "events.parquet")
    pq.write_table(pa.table({"item_id": [9, 7], "text": ["Mug", "Tent"]}), tmp_path / "items.parquet")
    pq.write_table(pa.table({"user_id": ["u", "v"], "age": [1, 2]}), tmp_path / "users.parquet")
    dataset = Dataset.from_files(tmp_path / "events.parquet", tmp_path / "items.parquet", tmp_path / "users.parquet")
    assert events(dataset) == EXPECTED
    assert dataset.catalogue.text == ("Mug", "Tent")
    assert dataset.user_attributes["age"] == ("1", "2")


def test_sql_query_of_a_database_file(tmp_path: Path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table sales as select * from (values (1, 'a', 5), (1, 'b', 6)) t(who, what, secs)")
        connection.execute("create table goods as select * from (values ('b', 'Mug'), ('a', 'Tent')) t(item_id, text)")
    dataset = Dataset.from_sql(
        "select who user_id, what item_id, sum(secs) as timestamp from sales group by all order by 3",
        database=path,
        catalogue="select * from goods",
    )
    assert events(dataset) == [("1", "a", 5, 1), ("1", "b", 6, 1)]
    assert dataset.catalogue.text == ("Mug", "Tent")


def test_sql_query_of_an_open_connection_leaves_it_open():
    with duckdb.connect() as connection:
        Dataset.from_sql("select 1 user_id, 2 item_id, 3 as timestamp", connection)
        assert connection.execute("select 1").fetchall() == [(1,)]
