"""A tenant's rows in the course of time: rows come, users go, and what was computed from other rows goes with them.

While the tenant is up, changes wait for its next run (see client/incoming.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedrec.client.incoming import changing, stage, take_in
from fedrec.client.store import TenantStore
from fedrec.data import Catalogue, Dataset, Interactions
from fedrec.data.arrays import BoolArray, IntArray
from fedrec.deploy.supervisor import is_up
from fedrec.deploy.tenant.forgotten import Forgotten
from fedrec.errors import ConfigError, DataError, UnknownUser


@dataclass(frozen=True)
class Change:
    """What became of rows. events: that came or went. left_out: that did not come, since their users were forgotten.
    waits: whether the change is made only when the next run begins."""

    events: int
    left_out: int = 0
    waits: bool = False


def over_catalogue(dataset: Dataset, catalogue: Catalogue, drop_unknown: bool = False) -> Dataset:
    """The rows over another catalogue, items matched by id.

    drop_unknown: leave out rows on items that the catalogue does not have. Raises DataError if there are any, else.
    """
    used = np.unique(dataset.interactions.items)
    missing = [dataset.catalogue.item_ids[item] for item in used if dataset.catalogue.item_ids[item] not in catalogue]
    if missing and not drop_unknown:
        raise DataError(
            f"{len(missing)} items of the rows are not in the platform's catalogue, {missing[0]!r} among them",
            cure="ask the platform to add them, or pass --drop-unknown to leave their rows out",
            source=dataset.name,
        )
    gone = set(missing)
    positions = np.full(dataset.num_items, -1, dtype=np.int64)
    for item in used:
        if dataset.catalogue.item_ids[item] not in gone:
            positions[item] = catalogue.positions([dataset.catalogue.item_ids[item]])[0]
    kept = dataset.select_events(positions[dataset.interactions.items] >= 0) if gone else dataset
    old = kept.interactions
    events = Interactions(old.user_ids, catalogue.item_ids, old.users, positions[old.items], old.times, old.weights)
    return Dataset(dataset.name, events, catalogue, kept.user_attributes, kept.event_attributes)


def ingest(store: TenantStore, new: Dataset, drop_unknown: bool = False, readmit: Sequence[str] = ()) -> Change:
    """Append rows, all or none of them. Rows that are there already are passed over.

    Rows of users who were forgotten are left out, but for those in `readmit`. Raises DataError for items that the
    catalogue does not have, UnknownUser for a user in `readmit` who was not forgotten.
    """
    forgotten = Forgotten(store.folder)
    with changing(store) as old:
        welcome, left_out = forgotten.without(new, readmit)
        joined = old if welcome is None else _joined(old, over_catalogue(welcome, old.catalogue, drop_unknown))
        added = joined.num_events - old.num_events
        if added:
            stage(store, joined)
        forgotten.readmit(readmit)
    return Change(added, left_out, bool(added) and not _settled(store))


def forget(store: TenantStore, user: str, again: bool = False) -> Change:
    """Remove every row of a user, and what was computed from them; they do not come back with rows that are ingested.

    again: a user who was forgotten before may be given. Raises UnknownUser if there is no such user, ConfigError if it
    is the only one.
    """
    with changing(store) as old:
        if user not in old.interactions.user_ids:
            if again and user in Forgotten(store.folder):
                return Change(0)
            raise UnknownUser(f"There is no user {user!r} at '{store.name}'; ids are compared letter by letter.")
        position = old.interactions.user_ids.index(user)
        if old.num_users == 1:
            raise ConfigError(f"{user!r} is the only user of '{store.name}'; remove the tenant's folder instead.")
        Forgotten(store.folder).add(user)  # first: whatever happens then, the rows do not come back unasked
        stage(store, old.select_users(np.arange(old.num_users) != position))
    return Change(int((old.interactions.users == position).sum()), waits=not _settled(store))


def exchange_rows(store: TenantStore, rows: Dataset) -> None:
    """Put other rows in the place of all there are. Raises ConfigError while the tenant is up."""
    check_down(store)
    with changing(store):
        stage(store, rows)
    take_in(store)


def open_again(store: TenantStore) -> Change:
    """Let the next run choose on validation and read the test again, over the rows that are there by then. What runs
    measured goes, as when rows change."""
    with changing(store) as rows:
        stage(store, rows)
    return Change(0, waits=not _settled(store))


def check_down(store: TenantStore) -> None:
    """Raises ConfigError while the tenant is up."""
    if is_up(store.folder):
        raise ConfigError(f"'{store.name}' is up; stop it with `fedrec tenant down` first.")


def _settled(store: TenantStore) -> bool:
    """Take in what waits if no run can be under way; whether that was so."""
    if is_up(store.folder):
        return False
    take_in(store)
    return True


def _joined(old: Dataset, new: Dataset) -> Dataset:
    """Both, in this order; new rows that repeat a user, item and time are left out."""
    if old.user_attributes or old.event_attributes:
        raise DataError(
            "the rows have attributes of users or events, which appended rows would lack",
            cure="make the tenant anew from all rows",
            source=old.name,
        )
    a, b = old.interactions, new.interactions
    users = tuple(dict.fromkeys((*a.user_ids, *b.user_ids)))
    code = {user: position for position, user in enumerate(users)}
    renamed = np.array([code[user] for user in b.user_ids], dtype=np.int64)[b.users]
    fresh = _new(np.stack([a.users, a.items, a.times]), np.stack([renamed, b.items, b.times]))
    present = np.unique(np.concatenate([a.users, renamed[fresh]]))
    events = Interactions(
        tuple(users[user] for user in present),
        a.item_ids,
        np.searchsorted(present, np.concatenate([a.users, renamed[fresh]])),
        np.concatenate([a.items, b.items[fresh]]),
        np.concatenate([a.times, b.times[fresh]]),
        np.concatenate([a.weights, b.weights[fresh]]),
    )
    return Dataset(old.name, events, old.catalogue)


def _new(known: IntArray, rows: IntArray) -> BoolArray:
    """(num_rows,) which columns of `rows` (3, num_rows) are not among those of `known` (3, num_known)."""
    both = np.concatenate([known, rows], axis=1)
    order = np.lexsort(both)  # stable: of equal columns a known one comes first
    first = np.concatenate([[True], (both[:, order[1:]] != both[:, order[:-1]]).any(axis=0)])
    group = np.cumsum(first) - 1
    is_new = np.empty(both.shape[1], dtype=np.bool_)
    is_new[order] = order[first][group] >= known.shape[1]
    return is_new[known.shape[1] :]
