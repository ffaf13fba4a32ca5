"""Small federations whose sums a person can check, shared by the tests of server, client and strategies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
from flwr.app import Message

from fedrec.client.app import app as client_app
from fedrec.client.store import TenantStore, create_store
from fedrec.config import Config, parse
from fedrec.data import Dataset
from fedrec.server.events import EventLog
from fedrec.server.exchange import Exchange
from fedrec.simulations.grid import InProcessGrid

ITEMS = ["a", "b", "c", "d", "e", "f"]
LEFT = {"ann": "abcd", "bob": "bcde", "cat": "abce"}
RIGHT = {"dan": "cdef", "eve": "fedc", "fay": "acef", "gus": "bdf"}


def rows_of(histories: Mapping[str, str], name: str = "shop") -> Dataset:
    """One event a day for each letter, over the catalogue a-f."""
    users = [user for user, items in histories.items() for _ in items]
    items = [item for row in histories.values() for item in row]
    times = [86_400 * day for row in histories.values() for day, _ in enumerate(row)]
    events = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    categories = ["x", "x", "y", "y", "z", "z"]
    catalogue = pa.table({"item_id": ITEMS, "text": [f"item {i}" for i in ITEMS], "categories": categories})
    return Dataset.from_frame(events, catalogue).named(name)


def config_of(federation: Mapping[str, object] | None = None, **changes: object) -> Config:
    """Popularity and EASE over two tenants, without masks unless `federation` says otherwise."""
    base = {
        "data": {"dataset": "ml-100k"},
        "models": [{"name": "popularity"}, {"name": "ease", "l2": [1.0, 10.0]}],
        "evaluation": {"ks": [2], "headline": "NDCG@2", "bootstrap": 8},
        "federation": {"secure_aggregation": False, "min_tenants": 2, **(federation or {})},
    }
    return parse(base | changes)


def two_tenants(folder: Path) -> list[TenantStore]:
    """The tenants `left` and `right`."""
    return [create_store(folder / name, rows_of(rows, name)) for name, rows in (("left", LEFT), ("right", RIGHT))]


def grid_of(stores: list[TenantStore], lost: Callable[[Message], bool] = lambda message: False) -> InProcessGrid:
    """Nodes 100, 101, ... for `stores`."""
    nodes = {100 + index: {"store": str(store.folder)} for index, store in enumerate(stores)}
    return InProcessGrid(client_app, nodes, {}, lost)


def exchange_of(grid: InProcessGrid, config: Config, folder: Path) -> Exchange:
    """An exchange that writes its events into `folder`."""
    return Exchange(grid, config, EventLog(folder / "events.jsonl"))
