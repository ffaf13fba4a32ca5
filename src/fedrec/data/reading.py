"""From tables to the parts of a dataset: what is accepted, what is refused, how leftovers are settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import pyarrow as pa

from fedrec.data.arrays import BoolArray, FloatArray, IntArray
from fedrec.data.catalogue import Catalogue
from fedrec.data.columns import Sheet, encoded
from fedrec.data.database import Place
from fedrec.data.files import read_table
from fedrec.data.frames import to_table
from fedrec.data.interactions import Interactions
from fedrec.data.items import read_catalogue
from fedrec.data.parts import Labels, Parts
from fedrec.data.times import unix_seconds
from fedrec.errors import ConfigError, DataError

Duplicates = Literal["error", "drop", "sum"]
UnknownItems = Literal["error", "drop", "add"]
ROLES = (
    "user_id",
    "item_id",
    "weight",
    "rating",
    "timestamp",
    "datetime",
    "text",
    "title",
    "categories",
    "price",
)


class ReadOptions(TypedDict, total=False):
    """How `Dataset.from_frame`, `from_files`, `from_sql` and `from_database` read.

    name: of the dataset. columns: role -> column name, where they differ, as in {"user_id": "customer"}.
    duplicates: what to do with rows of the same user, item and time: "error", "drop" all but the first, or "sum"
    their weights into the first. unknown_items: what to do with events on items outside a given catalogue:
    "error", "drop" the events, or "add" the items to the catalogue.
    event_attributes: columns to keep for each event. text_columns: columns joined behind the text of an item.
    delimiter: of CSV files; found from the header if not given.
    """

    name: str
    columns: Mapping[str, str]
    duplicates: Duplicates
    unknown_items: UnknownItems
    event_attributes: Sequence[str]
    text_columns: Sequence[str]
    delimiter: str | None


@dataclass(frozen=True)
class Rules:
    """The fields of `ReadOptions` with their defaults, checked.

    Raises:
        ConfigError: a field has a value that is not allowed.
    """

    name: str = "dataset"
    columns: Mapping[str, str] = field(default_factory=dict)
    duplicates: Duplicates = "error"
    unknown_items: UnknownItems = "error"
    event_attributes: Sequence[str] = ()
    text_columns: Sequence[str] = ()
    delimiter: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in (
            ("duplicates", get_args(Duplicates)),
            ("unknown_items", get_args(UnknownItems)),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"Expected {name} to be one of {list(allowed)}, got {getattr(self, name)!r}.")
        for role in self.columns:
            if role not in ROLES:
                raise ConfigError(f"Expected the keys of columns to be among {list(ROLES)}, got {role!r}.")
        for name in ("event_attributes", "text_columns"):
            if isinstance(getattr(self, name), str):
                raise ConfigError(f"Expected {name} to be a list of column names, got a single text.")
        if self.delimiter is not None and len(self.delimiter.encode()) != 1:
            raise ConfigError(f"Expected delimiter to be one ASCII character, got {self.delimiter!r}.")


def from_frames(frame: Any, catalogue: Any, users: Any, rules: Rules) -> Parts:
    """The parts of a dataset from frames; see `Dataset.from_frame`."""
    items = catalogue
    if not (catalogue is None or isinstance(catalogue, Catalogue)):
        items = _sheet(to_table(catalogue, "catalogue"), "catalogue", rules)
    people = None if users is None else _sheet(to_table(users, "users"), "users", rules)
    return _assemble(Sheet(to_table(frame, "interactions"), "interactions", rules.columns), items, people, rules)


def from_files(path: Path, catalogue: Any, users: str | Path | None, rules: Rules) -> Parts:
    """The parts of a dataset from files; see `Dataset.from_files`."""

    def load(file: str | Path) -> Sheet:
        return _sheet(read_table(Path(file), rules.delimiter), str(file), rules)

    items = load(catalogue) if isinstance(catalogue, (str, Path)) else catalogue
    events = Sheet(read_table(path, rules.delimiter), str(path), rules.columns)
    return _assemble(events, items, None if users is None else load(users), rules)


def from_sql(query: str, database: Any, catalogue: Any, users: str | None, rules: Rules) -> Parts:
    """The parts of a dataset from queries; see `Dataset.from_sql`."""
    from fedrec.data.sql import connected, query_table  # only who queries pays for loading DuckDB

    with connected(database) as connection:
        events = Sheet(query_table(connection, query, "query"), "query", rules.columns)
        items, people = catalogue, None
        if isinstance(catalogue, str):
            items = _sheet(query_table(connection, catalogue, "catalogue query"), "catalogue query", rules)
        if users is not None:
            people = _sheet(query_table(connection, users, "users query"), "users query", rules)
    return _assemble(events, items, people, rules)


def from_database(place: Place, rules: Rules) -> Parts:
    """The parts of a dataset from a database; see `Dataset.from_database`."""
    wanted = {rules.columns.get(role, role) for role in ROLES} | set(rules.event_attributes)
    return _assemble(place.sheet(rules.columns, frozenset(wanted)), None, None, rules)


def _sheet(table: pa.Table, source: str, rules: Rules) -> Sheet:
    """A second table: a column name applies where it is there, otherwise the column is called by its role."""
    here = {role: name for role, name in rules.columns.items() if name in table.column_names}
    return Sheet(table, source, here)


def _assemble(events: Sheet, items: Sheet | Catalogue | None, people: Sheet | None, rules: Rules) -> Parts:
    if not events.table.num_rows:
        raise DataError("there is no row", cure="give at least one interaction", source=events.source)
    catalogue = read_catalogue(items, rules.text_columns) if isinstance(items, Sheet) else items
    users, user_ids = events.need("user_id").codes()
    codes, item_ids = events.need("item_id").codes()
    times, weights = unix_seconds(events), _weights(events)
    weights, kept = _settle_duplicates(events, users, codes, times, weights, rules)
    catalogue, codes = _positioned(events, catalogue, codes, item_ids, rules)
    labels = {name: Labels(*_labels(events, name)) for name in rules.event_attributes}
    kept &= codes >= 0
    rows = np.flatnonzero(kept)
    if not len(rows):
        cure = "check that both use the same ids, or pass unknown_items='add'"
        raise DataError("no row is on an item of the catalogue", cure=cure, source=events.source)
    users, user_ids = _recoded(users[rows], user_ids)
    interactions = Interactions(user_ids, catalogue.item_ids, users, codes[rows], times[rows], weights[rows])
    attributes = {} if people is None else _user_attributes(people, user_ids)
    taken = {name: label.take(rows) for name, label in labels.items()}
    return Parts(rules.name, interactions, catalogue, attributes, taken)


def _weights(sheet: Sheet) -> FloatArray:
    column = sheet.find("weight", "rating")
    if column is None:
        return np.ones(sheet.table.num_rows)
    values = column.numbers("weight")
    column.refuse_where(pa.array(np.isnan(values)), "the weight is missing or NaN", "fill it in or drop the row")
    column.refuse_where(pa.array(values < 0), "the weight {} is negative", "drop the row or make it positive")
    return values


def _positioned(
    sheet: Sheet, catalogue: Catalogue | None, codes: IntArray, item_ids: tuple[str, ...], rules: Rules
) -> tuple[Catalogue, IntArray]:
    """The catalogue, and `codes` as positions in it, -1 for rows to be dropped."""
    if catalogue is None:
        return Catalogue.of_ids(item_ids), codes
    unknown = [item for item in item_ids if item not in catalogue]
    if unknown and rules.unknown_items == "error":
        row = int(np.flatnonzero(codes == item_ids.index(unknown[0]))[0])
        sheet.need("item_id").refuse(
            f"item {unknown[0]!r} is not in the catalogue, nor are {len(unknown) - 1} others",
            "add them to the catalogue, or pass unknown_items='drop' or 'add'",
            row,
        )
    if unknown and rules.unknown_items == "add":
        catalogue, unknown = catalogue.extended(unknown), []
    gone = set(unknown)
    position = np.array([-1 if item in gone else catalogue.positions([item])[0] for item in item_ids], dtype=np.int64)
    return catalogue, position[codes]


def _settle_duplicates(
    sheet: Sheet, users: IntArray, items: IntArray, times: IntArray, weights: FloatArray, rules: Rules
) -> tuple[FloatArray, BoolArray]:
    """Weights, and which rows stay, after rows of equal user, item and time are settled."""
    order = np.lexsort((times, items, users))
    keys = np.stack([users, items, times])[:, order]
    new = np.concatenate([[True], (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
    kept = np.ones(len(users), dtype=np.bool_)
    if new.all():
        return weights, kept
    first = order[new]  # the sort is stable: the first row of each group in the order of the source
    kept[order[~new]] = False
    if rules.duplicates == "error":
        row = int(order[~new].min())
        raise DataError(
            f"the row repeats the user, item and time of an earlier one, as {int((~new).sum())} rows do",
            cure="remove them, or pass duplicates='drop' or 'sum'",
            source=sheet.source,
            row=row + 1,
        )
    if rules.duplicates == "sum":
        weights = weights.copy()
        weights[first] = np.add.reduceat(weights[order], np.flatnonzero(new))
    return weights, kept


def _labels(sheet: Sheet, name: str) -> tuple[tuple[str, ...], IntArray]:
    column = sheet.need(name)
    codes, names = encoded(pa.array([text or "" for text in column.texts()], pa.large_string()))
    return names, codes


def _recoded(users: IntArray, user_ids: tuple[str, ...]) -> tuple[IntArray, tuple[str, ...]]:
    """Codes and ids of only the users that occur, in their old order."""
    present = np.unique(users)
    if len(present) == len(user_ids):
        return users, user_ids
    return np.searchsorted(present, users), tuple(user_ids[u] for u in present)


def _user_attributes(sheet: Sheet, user_ids: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    key = sheet.need("user_id")
    rows = {user: row for row, user in enumerate(key.strings().to_pylist())}
    if len(rows) != sheet.table.num_rows:
        key.refuse("a user has several rows", "give one row per user")
    found = [rows.get(user) for user in user_ids]
    attributes = {}
    for name in sheet.table.column_names:
        if name != key.name:
            texts = sheet.need(name).texts()
            attributes[name] = tuple("" if row is None else texts[row] or "" for row in found)
    return attributes
