"""Real federations in a scratch folder, as the benchmarks need them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from fedrec.client.app import app as client_app
from fedrec.config import ARMS, Arm, Config, load, parse
from fedrec.data import Dataset
from fedrec.server.events import EventLog
from fedrec.server.exchange import Exchange
from fedrec.simulations.experiment import FIRST_NODE_ID
from fedrec.simulations.grid import InProcessGrid, UserConfig
from fedrec.simulations.tenancy import create_roster, create_tenants
from fedrec.strategies.secure_grid import SecureGrid

CLOSED_FORM: dict[str, dict[str, Any]] = {
    "popularity": {},
    "markov": {},
    "item_knn": {},
    "ease": {},
    "pca": {},
    "als": {},
    "content_knn": {},
    "content_map": {},
    "content_pca": {},
    "content_factors": {},
}
"""Every recommender that is federated, with the defaults of its hyper-parameters."""


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fedrec-benchmark-") as folder:
        yield Path(folder)


def configured(
    preset: str,
    *,
    models: dict[str, dict[str, Any]] | None = None,
    arms: tuple[Arm, ...] = ARMS,
    seed: int = 0,
    bootstrap: int = 0,
    masks: bool = True,
) -> Config:
    """A preset with other arms, and with `models` (name -> hyper-parameters) in place of its own.

    masks: whether aggregation is secure.
    """
    raw = load(preset).model_dump(mode="json", exclude_none=True)
    raw["seed"], raw["federation"]["arms"], raw["evaluation"]["bootstrap"] = seed, list(arms), bootstrap
    raw["federation"]["secure_aggregation"] = masks
    if models is not None:
        raw["models"] = [{"name": name, **parameters} for name, parameters in models.items()]
    return parse(raw, f"preset '{preset}' of the benchmark")


def exchange_over(config: Config, dataset: Dataset, folder: Path) -> Exchange:
    """A server's exchange with one in-process node for each tenant, whose rows lie below `folder`.

    The sums are masked if the configuration says so, as in a run.
    """
    stores = create_tenants(config, dataset, folder / "tenants")
    roster = create_roster(stores, folder / "roster.txt") if config.federation.secure_aggregation else None
    nodes: dict[int, UserConfig] = {FIRST_NODE_ID + i: {"store": str(s.folder)} for i, s in enumerate(stores)}
    grid: Grid = InProcessGrid(client_app, nodes, {})
    if roster is not None:
        grid = SecureGrid(grid, roster, groups=config.federation.groups)
    return Exchange(grid, config, EventLog(folder / "events.jsonl"))
