"""Markets that go on after a run: what their tenants do in each period follows from a table of tastes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from flwr.serverapp import Grid

from fedrec.client.store import TenantStore, create_store
from fedrec.data import Dataset
from fedrec.rng import derive
from fedrec.server.events import EventLog
from fedrec.server.exchange import Exchange
from fedrec.server.run import run
from tests.federation import config_of, grid_of

PERIOD_S = 1000
NUM_ITEMS, NUM_CATEGORIES = 60, 3
EVEN = (1 / 3, 1 / 3, 1 / 3)
ITEMS = [f"i{item:02}" for item in range(NUM_ITEMS)]
CATEGORIES = ["x", "y", "z"]
EVENTS = 6


@dataclass(frozen=True)
class Period:
    """taste: how many users are at home in each category; who is where stays while it does. turn: everyone has moved
    on by so many categories, which changes nobody's share of the whole."""

    taste: tuple[float, float, float] = EVEN
    turn: int = 0


def tenant_rows(name: str, periods: Sequence[Period], users: int = 40, seed: int = 0) -> Dataset:
    """In each period each user makes `EVENTS` choices, five of six at home. Item i is of category i % 3."""
    rng, rows = derive(seed, "market", name), []
    places = rng.random(users)
    for number, period in enumerate(periods):
        homes = (np.searchsorted(np.cumsum(period.taste)[:-1], places) + period.turn) % NUM_CATEGORIES
        for user in range(users):
            for place in range(EVENTS):
                category = int(homes[user]) if rng.random() < 5 / 6 else int(rng.integers(NUM_CATEGORIES))
                item = category + NUM_CATEGORIES * int(rng.integers(NUM_ITEMS // NUM_CATEGORIES))
                rows.append(
                    (f"{name}{user}", ITEMS[item], PERIOD_S * number + 100 * place + int(rng.integers(100)) + 1)
                )
    columns = list(zip(*rows, strict=True))
    events_table = pa.table({"user_id": columns[0], "item_id": columns[1], "timestamp": columns[2]})
    catalogue = pa.table({"item_id": ITEMS, "categories": [CATEGORIES[i % NUM_CATEGORIES] for i in range(NUM_ITEMS)]})
    return Dataset.from_frame(events_table, catalogue, duplicates="drop").named(name)


def stores(folder: Path, periods: Sequence[Period], users: int = 40, seed: int = 0) -> list[TenantStore]:
    """Three tenants."""
    rows = {name: tenant_rows(name, periods, users, seed) for name in ("north", "south", "west")}
    return [create_store(folder / name, one) for name, one in rows.items()]


def run_over(
    folder: Path, tenants: list[TenantStore], name: str, as_of: int, grid: Grid | None = None, **changes: Any
) -> dict[str, Any]:
    """A run of popularity and EASE in `folder`/`name`; its `server.json`. grid: instead of one without masks."""
    freshness = {"as_of": as_of, **changes.pop("freshness", {})}
    federation = {"arms": ["federated"], **changes.pop("federation", {})}
    config = config_of(federation, **({"name": name, "freshness": freshness} | changes))
    out = folder / name
    exchange = Exchange(grid or grid_of(tenants), config, EventLog(out / "events.jsonl"))
    run(exchange, tenants[0].dataset().catalogue, out)
    return dict(json.loads((out / "server.json").read_text()))
