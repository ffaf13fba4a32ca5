"""A tenant's rows in the course of time: rows come, users go, and what was computed from other rows goes with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from fedrec.client.store import ASSORTMENT, ROWS, TenantStore
from fedrec.content.vectors import IMAGES
from fedrec.data import Catalogue, Dataset, Interactions
from fedrec.deploy.supervisor import is_up
from fedrec.errors import ConfigError, DataError, UnknownUser

STAYS = frozenset(
    {
        ROWS,
        ASSORTMENT,
        IMAGES,
        *("secagg", "privacy", "node", "platform", "tenant.toml", "request.toml"),
        *("flwr", "logs", "run"),
    }
)
"""What a tenant's folder holds beside what was computed from its rows. Whatever is not named here goes when rows do:
figures, choices, answers, private weights, and what a later version will think of."""


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


def ingest(store: TenantStore, new: Dataset, drop_unknown: bool = False) -> int:
    """Append rows, all or none of them; how many are new. Rows that are there already are passed over.

    Raises ConfigError while the tenant is up, DataError for items that the catalogue does not have.
    """
    check_down(store)
    old = store.dataset()
    joined = _joined(old, over_catalogue(new, old.catalogue, drop_unknown))
    added = joined.num_events - old.num_events
    if added:
        _replace(store, joined)
    return added


def forget(store: TenantStore, user: str) -> int:
    """Remove every row of a user, and what was computed from them; how many rows there were.

    Raises UnknownUser if there is no such user, ConfigError while the tenant is up or if it is the only one.
    """
    check_down(store)
    old = store.dataset()
    if user not in old.interactions.user_ids:
        raise UnknownUser(f"There is no user {user!r} at '{store.name}'; ids are compared letter by letter.")
    position = old.interactions.user_ids.index(user)
    if old.num_users == 1:
        raise ConfigError(f"{user!r} is the only user of '{store.name}'; remove the tenant's folder instead.")
    rows = int((old.interactions.users == position).sum())
    _replace(store, old.select_users(np.arange(old.num_users) != position))
    return rows


def open_again(store: TenantStore) -> None:
    """Let a new run choose on validation and read the test again. Raises ConfigError while the tenant is up."""
    check_down(store)
    remove_computed(store.folder)


def _replace(store: TenantStore, rows: Dataset) -> None:
    """First what was computed goes: a crash in between leaves old rows with nothing computed from them."""
    remove_computed(store.folder)
    rows.write(store.folder / ROWS, overwrite=True)


def remove_computed(folder: Path) -> None:
    """Take away what was computed from a tenant's rows. Rows, keys, policies, the ledger and logs stay."""
    for path in folder.iterdir():
        if path.name in STAYS:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for state in (folder / "secagg").glob("run-*.state"):
        state.unlink()


def check_down(store: TenantStore) -> None:
    """Raises ConfigError while the tenant is up."""
    if is_up(store.folder):
        raise ConfigError(f"'{store.name}' is up; stop it with `fedrec tenant down` before its rows change.")


def _joined(old: Dataset, new: Dataset) -> Dataset:
    """Both, in this order; new rows that repeat a user, item and time are left out."""
    a, b = old.interactions, new.interactions
    users = tuple(dict.fromkeys((*a.user_ids, *b.user_ids)))
    code = {user: position for position, user in enumerate(users)}
    renamed = np.array([code[user] for user in b.user_ids], dtype=np.int64)[b.users]
    known = set(zip(a.users.tolist(), a.items.tolist(), a.times.tolist(), strict=True))
    rows = zip(renamed.tolist(), b.items.tolist(), b.times.tolist(), strict=True)
    fresh = np.array([row not in known for row in rows], dtype=np.bool_)
    present = np.unique(np.concatenate([a.users, renamed[fresh]]))
    if old.user_attributes or old.event_attributes:
        raise DataError(
            "the rows have attributes of users or events, which appended rows would lack",
            cure="make the tenant anew from all rows",
            source=old.name,
        )
    events = Interactions(
        tuple(users[user] for user in present),
        a.item_ids,
        np.searchsorted(present, np.concatenate([a.users, renamed[fresh]])),
        np.concatenate([a.items, b.items[fresh]]),
        np.concatenate([a.times, b.times[fresh]]),
        np.concatenate([a.weights, b.weights[fresh]]),
    )
    return Dataset(old.name, events, old.catalogue)
