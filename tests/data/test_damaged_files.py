"""Whatever bytes a file has, reading it gives a dataset or a DataError, nothing else."""

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrec.data import Dataset
from fedrec.errors import DataError

ROWS = {
    "user_id": ["u", "v", "u", "w"] * 5,
    "item_id": [f"item {n}" for n in range(20)],
    "timestamp": list(range(20)),
    "weight": [1.5] * 20,
}
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@cache
def csv_bytes() -> bytes:
    rows = zip(*ROWS.values(), strict=True)
    return "\n".join([",".join(ROWS), *(",".join(map(str, row)) for row in rows)]).encode()


@cache
def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(ROWS), sink)
    return sink.getvalue().to_pybytes()


KINDS: dict[str, Callable[[], bytes]] = {
    ".csv": csv_bytes,
    ".csv.gz": lambda: gzip.compress(csv_bytes(), mtime=0),
    ".parquet": parquet_bytes,
}


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A truncation, some flipped bits, some inserted bytes or something else altogether."""
    kind = draw(st.sampled_from(["truncate", "flip", "insert", "replace"]))
    places = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=4))
    junk = draw(
        st.binary(max_size=40) | st.just(b"\0" * 8) | st.sampled_from([b'"', b"\xff\xfe", b"\n\n", b",,,", b"1e999"])
    )
    bit = draw(st.integers(0, 7))

    def apply(content: bytes) -> bytes:
        damaged = bytearray(content)
        for place in places:
            position = int(place * len(damaged))
            if kind == "truncate":
                del damaged[position:]
            elif kind == "flip" and damaged:
                damaged[position] ^= 1 << bit
            elif kind == "insert":
                damaged[position:position] = junk
        return junk if kind == "replace" else bytes(damaged)

    return apply


def read_or_refuse(read: Callable[[], Dataset]) -> None:
    with suppress(DataError):
        dataset = read()
        assert dataset.num_events > 0
        assert dataset.histories().num_events == dataset.num_events


@pytest.mark.parametrize("suffix", KINDS)
def test_undamaged_file_is_read(tmp_path: Path, suffix):
    path = tmp_path / f"events{suffix}"
    path.write_bytes(KINDS[suffix]())
    assert Dataset.from_files(path).num_events == 20


@pytest.mark.parametrize("suffix", KINDS)
@SETTINGS
@given(damage=damage())
def test_damaged_file_raises_nothing_but_data_error(tmp_path: Path, suffix, damage):
    path = tmp_path / f"events{suffix}"
    path.write_bytes(damage(KINDS[suffix]()))
    read_or_refuse(lambda: Dataset.from_files(path))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@SETTINGS
@given(damage=damage())
def test_damaged_catalogue_raises_nothing_but_data_error(tmp_path: Path, suffix, damage):
    items = {
        "item_id": ROWS["item_id"],
        "text": ["word"] * 20,
        "categories": ["a|b"] * 20,
        "price": [1.0] * 20,
    }
    path = tmp_path / f"items{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table(items), path)
    else:
        path.write_text(
            "\n".join([",".join(items), *(",".join(map(str, r)) for r in zip(*items.values(), strict=True))])
        )
    path.write_bytes(damage(path.read_bytes()))
    read_or_refuse(lambda: Dataset.from_files(events_file(tmp_path), path, unknown_items="add"))


def events_file(folder: Path) -> Path:
    path = folder / "events.csv"
    path.write_bytes(csv_bytes())
    return path


@pytest.mark.parametrize("member", ["dataset.json", "interactions.parquet", "items.parquet", "users.parquet"])
@SETTINGS
@given(damage=damage())
def test_damaged_dataset_directory_raises_nothing_but_data_error(tmp_path: Path, member, damage):
    path = tmp_path / "written"
    if not path.exists():
        Dataset.from_frame(ROWS, users={"user_id": ["u"], "age": [3]}, event_attributes=["weight"]).write(path)
    whole = (path / member).read_bytes()
    (path / member).write_bytes(damage(whole))
    read_or_refuse(lambda: Dataset.read(path))
    (path / member).write_bytes(whole)


@SETTINGS
@given(
    description=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["format", "name", "user_attributes", "event_attributes", "age"]), inner)
        ),
        max_leaves=6,
    )
)
def test_foreign_description_raises_nothing_but_data_error(tmp_path: Path, description):
    path = tmp_path / "written"
    if not path.exists():
        Dataset.from_frame(ROWS).write(path)
    merged = {"format": 1, "name": "x", **description} if isinstance(description, dict) else description
    (path / "dataset.json").write_text(json.dumps(merged))
    read_or_refuse(lambda: Dataset.read(path))


TEXTS = st.text(max_size=6) | st.sampled_from(["nan", "inf", "-1", "1e400", "2024-01-01", "1700000000000", "7", "\0"])


@SETTINGS
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), min_size=1, max_size=5),
    time=st.sampled_from(["timestamp", "datetime"]),
)
def test_any_text_in_any_column_raises_nothing_but_data_error(rows, time):
    names = ("user_id", "item_id", time, "weight")
    frame = dict(zip(names, zip(*rows, strict=True), strict=True))
    read_or_refuse(lambda: Dataset.from_frame({name: list(column) for name, column in frame.items()}))


NUMBERS = st.none() | st.floats() | st.integers(-(2**63), 2**63 - 1)


@SETTINGS
@given(rows=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5))
def test_any_number_in_any_column_raises_nothing_but_data_error(rows):
    names = ("user_id", "item_id", "timestamp", "weight")
    columns = zip(names, zip(*rows, strict=True), strict=True)
    read_or_refuse(lambda: Dataset.from_frame({name: list(column) for name, column in columns}))
