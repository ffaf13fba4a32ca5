"""Interactions, catalogue and attributes of one data owner, or of a whole benchmark before it is split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from fedrec.data import reading, storage
from fedrec.data.address import Address
from fedrec.data.arrays import IntArray
from fedrec.data.catalogue import Catalogue
from fedrec.data.database import Place
from fedrec.data.histories import Histories
from fedrec.data.interactions import Interactions
from fedrec.data.parts import Labels, Parts
from fedrec.data.reading import ReadOptions, Rules
from fedrec.errors import DataError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Everything one owner knows.

    `interactions.item_ids` equals `catalogue.item_ids`, so `interactions.items` are catalogue positions.
    user_attributes: attribute -> one text per user of `interactions.user_ids`, "" where unknown.
    event_attributes: attribute -> one label per event.

    Raises:
        DataError: there is no event, or an attribute does not have one value per user or event.
    """

    name: str
    interactions: Interactions
    catalogue: Catalogue
    user_attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    event_attributes: Mapping[str, Labels] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("user_attributes", "event_attributes"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if not self.num_events:
            raise DataError("there is no event", cure="give at least one interaction", source=self.name)
        if self.interactions.item_ids != self.catalogue.item_ids:
            raise DataError(
                "the items of the interactions are not those of the catalogue",
                cure="use Dataset.from_frame, or make interactions.item_ids equal to catalogue.item_ids",
                source=self.name,
            )
        lengths = {name: len(values) for name, values in self.user_attributes.items()}
        self._check_lengths(lengths, self.num_users, "user")
        lengths = {name: len(labels.codes) for name, labels in self.event_attributes.items()}
        self._check_lengths(lengths, self.num_events, "event")

    def _check_lengths(self, lengths: Mapping[str, int], expected: int, per: str) -> None:
        for name, length in lengths.items():
            if length != expected:
                raise DataError(
                    f"there are {length} values for {expected} {per}s",
                    cure=f"give one value per {per}",
                    source=self.name,
                    column=name,
                )

    @staticmethod
    def from_frame(frame: Any, catalogue: Any = None, users: Any = None, **options: Unpack[ReadOptions]) -> Dataset:
        """A dataset from a pandas, polars or Arrow frame, or anything else that speaks `__arrow_c_stream__`.

        frame: columns `user_id`, `item_id`, `timestamp` (unix seconds) or `datetime`, and optionally `weight` or
        `rating`. catalogue: a Catalogue, or a frame with `item_id` and any of `text` or `title`, `categories` and
        `price`; without one, the items are those of the events. users: a frame with `user_id` and attributes;
        users without events are left out. The options are described at `ReadOptions`.

        Raises:
            DataError: one sentence with the row, the column and the cure.
        """
        return Dataset(*reading.from_frames(frame, catalogue, users, Rules(**options)))

    @staticmethod
    def from_files(
        path: str | Path,
        catalogue: Any = None,
        users: str | Path | None = None,
        **options: Unpack[ReadOptions],
    ) -> Dataset:
        """As `from_frame`, from CSV (plain or .gz) or Parquet files. Text in CSV files is UTF-8."""
        return Dataset(*reading.from_files(Path(path), catalogue, users, Rules(**options)))

    @staticmethod
    def from_sql(
        query: str,
        database: Any = ":memory:",
        catalogue: Any = None,
        users: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Dataset:
        """As `from_frame`, from the rows of a DuckDB query; `catalogue` and `users` may be queries, too.

        database: the path of a DuckDB file, which is opened read-only, or an open connection.
        """
        return Dataset(*reading.from_sql(query, database, catalogue, users, Rules(**options)))

    @staticmethod
    def from_database(
        address: str, query: str | None = None, table: str | None = None, **options: Unpack[ReadOptions]
    ) -> Dataset:
        """As `from_frame`, from a query or a table of a database; without a catalogue: the items are those of the
        events.

        address: `postgresql://user@host/database`, for which the extra `fedrec[postgres]` is needed, or
        `duckdb:///path`, or `sqlite:///path`. A password is better in PGPASSWORD or ~/.pgpass than in the address.
        """
        return Dataset(*reading.from_database(Place(Address.of(address), query, table), Rules(**options)))

    @staticmethod
    def read(directory: str | Path) -> Dataset:
        """The dataset that `write` left in `directory`.

        Raises:
            DataError: the directory does not hold a dataset, or a file of it is damaged.
        """
        return Dataset(*storage.read(Path(directory)))

    def write(self, directory: str | Path, overwrite: bool = False) -> Path:
        """Write Parquet files to `directory`, which appears whole or not at all, readable by its owner only.

        Raises:
            DataError: `directory` exists and is not a dataset that may be overwritten.
        """
        parts = Parts(self.name, self.interactions, self.catalogue, self.user_attributes, self.event_attributes)
        return storage.write(parts, Path(directory), overwrite)

    @property
    def num_users(self) -> int:
        """Number of users."""
        return self.interactions.num_users

    @property
    def num_items(self) -> int:
        """Number of items of the catalogue, with events or without."""
        return self.catalogue.num_items

    @property
    def num_events(self) -> int:
        """Number of events."""
        return self.interactions.num_events

    def histories(self) -> Histories:
        """Each user's items as catalogue positions, oldest first, ties in the order of the source."""
        counts = np.bincount(self.interactions.users, minlength=self.num_users)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        order = self.interactions.chronological()
        return Histories(indptr, self.interactions.items[order], self.num_items, self.interactions.times[order])

    def select_users(self, which: ArrayLike) -> Dataset:
        """Only these users: a mask (num_users,), or positions, which then give the new order of the users."""
        users = _positions(which, self.num_users)
        chosen = np.zeros(self.num_users, dtype=np.bool_)
        chosen[users] = True
        return self._restricted(np.flatnonzero(chosen[self.interactions.users]), users)

    def select_items(self, which: ArrayLike) -> Dataset:
        """Only the events on these items, a mask (num_items,) or positions.

        The catalogue and its positions stay; users without such an event are left out.
        """
        chosen = np.zeros(self.num_items, dtype=np.bool_)
        chosen[_positions(which, self.num_items)] = True
        return self.select_events(np.flatnonzero(chosen[self.interactions.items]))

    def select_events(self, which: ArrayLike, name: str | None = None) -> Dataset:
        """Only these events, a mask (num_events,) or positions; users without any are left out."""
        events = _positions(which, self.num_events)
        return self._restricted(events, np.unique(self.interactions.users[events]), name)

    def without_unused_items(self) -> Dataset:
        """The same events over a catalogue of only the items that have events; positions change."""
        used = np.unique(self.interactions.items)
        catalogue = self.catalogue.subset(used)
        old = self.interactions
        items = np.searchsorted(used, old.items)
        events = Interactions(old.user_ids, catalogue.item_ids, old.users, items, old.times, old.weights)
        return Dataset(self.name, events, catalogue, self.user_attributes, self.event_attributes)

    def named(self, name: str) -> Dataset:
        """The same dataset under another name."""
        return Dataset(name, self.interactions, self.catalogue, self.user_attributes, self.event_attributes)

    def _restricted(self, events: IntArray, users: IntArray, name: str | None = None) -> Dataset:
        new_code = np.full(self.num_users, -1, dtype=np.int64)
        new_code[users] = np.arange(len(users))
        old = self.interactions
        kept = Interactions(
            tuple(old.user_ids[u] for u in users),
            old.item_ids,
            new_code[old.users[events]],
            old.items[events],
            old.times[events],
            old.weights[events],
        )
        attributes = {key: tuple(values[u] for u in users) for key, values in self.user_attributes.items()}
        labels = {key: label.take(events) for key, label in self.event_attributes.items()}
        return Dataset(name or self.name, kept, self.catalogue, attributes, labels)


def _positions(which: ArrayLike, size: int) -> IntArray:
    array = np.asarray(which)
    if array.dtype == np.bool_:
        if array.shape != (size,):
            raise DataError(f"a mask has shape {array.shape}", cure=f"give one truth value for each of {size}")
        return np.flatnonzero(array)
    positions = array.astype(np.int64)
    if len(positions) and not (positions.min() >= 0 and positions.max() < size):
        raise DataError(
            f"positions run from {positions.min()} to {positions.max()}",
            cure=f"give positions from 0 to {size - 1}",
        )
    return positions
