"""Models of clicks over tenants on one machine, each in a folder of its own, and over one table for comparison.

from fedrec.data import SPLITS, fetch
from fedrec.models.ctr import WideDeep
from fedrec.simulations.clicks import federate_clicks, pool_clicks

dataset = fetch("ml-100k")
model = WideDeep(click_at=4.0)                     # a rating of 4 or 5 counts as a click
run = federate_clicks(model, SPLITS["iid"](dataset, n=5))
run.figures.text()                                 # AUC, log-loss, calibration: from one secure sum
run.predictor(dataset).rank("196", at=891_000_000)
pool_clicks(model, dataset).figures.text()         # the ceiling: all rows in one place
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flwr.serverapp import Grid

from fedrec.client.app import app as client_app
from fedrec.client.clicks import fit_clicks
from fedrec.client.store import create_store
from fedrec.config import Config, DataConfig, FederationConfig, ModelConfig
from fedrec.data import Dataset
from fedrec.messages import AnyArray
from fedrec.models.ctr import ClickFigures, ClickPredictor, ClickProtocol, WideDeep, measured
from fedrec.models.neural.plan import LocalTraining
from fedrec.server.clicks import measure_clicks, train_clicks
from fedrec.server.events import EVENTS, EventLog
from fedrec.server.exchange import Exchange
from fedrec.server.training import FederatedTraining
from fedrec.simulations.experiment import FIRST_NODE_ID
from fedrec.simulations.grid import InProcessGrid, UserConfig
from fedrec.simulations.tenancy import create_roster
from fedrec.strategies.secure_grid import SecureGrid

LOCAL = LocalTraining(epochs=1, batch_size=32, learning_rate=2e-3)
POOLED = LocalTraining(epochs=3, batch_size=32, learning_rate=2e-3)


@dataclass(frozen=True)
class ClickPlan:
    """How tenants train together, and how the result is measured."""

    training: FederatedTraining = field(default_factory=lambda: FederatedTraining(rounds=10, local=LOCAL))
    federation: FederationConfig = field(default_factory=FederationConfig)
    protocol: ClickProtocol = field(default_factory=ClickProtocol)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ClickRun:
    """A trained model of clicks, and how well it predicts the held-out events."""

    model: WideDeep
    weights: Mapping[str, AnyArray]
    figures: ClickFigures

    def predictor(self, dataset: Dataset) -> ClickPredictor:
        """The model for the users of `dataset`, whose rows it keeps in memory."""
        return ClickPredictor(self.model, self.weights, dataset)


def federate_clicks(
    model: WideDeep, tenants: Mapping[str, Dataset], plan: ClickPlan | None = None, out: Path | None = None
) -> ClickRun:
    """Train over tenants, by secure sums unless the plan says otherwise, and measure on the test of all of them.

    out: a new folder that keeps the tenants' folders and the server's; None keeps nothing. Raises RoundFailed if too
    few tenants answered.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="fedrec-") as folder:
            return federate_clicks(model, tenants, plan, Path(folder))
    plan = plan or ClickPlan()
    events = EventLog(out / "server" / EVENTS)
    exchange = Exchange(_grid(tenants, plan, out, events), _config(model, plan), events)
    weights = train_clicks(exchange, model, plan.training, "final", out / "server" / "widedeep")
    sums = measure_clicks(exchange, model, weights, "final", plan.protocol)
    return ClickRun(model, weights, sums.figures())


def pool_clicks(
    model: WideDeep,
    dataset: Dataset,
    local: LocalTraining = POOLED,
    seed: int = 0,
    protocol: ClickProtocol | None = None,
) -> ClickRun:
    """The same on rows that lie in one place, without any rounds."""
    fitted = fit_clicks(model, dataset, local, seed, hold_out=True)
    sums = measured(fitted.network, fitted.rows, fitted.rows.split.test, protocol or ClickProtocol())
    return ClickRun(model, fitted.weights, sums.figures())


def _grid(tenants: Mapping[str, Dataset], plan: ClickPlan, out: Path, events: EventLog) -> Grid:
    """The tenants as nodes, under masks if the plan says so."""
    stores = [create_store(out / "tenants" / name, rows) for name, rows in tenants.items()]
    nodes: dict[int, UserConfig] = {FIRST_NODE_ID + i: {"store": str(one.folder)} for i, one in enumerate(stores)}
    grid = InProcessGrid(client_app, nodes, {})
    if not plan.federation.secure_aggregation:
        return grid
    roster = create_roster(stores, out / "roster.txt")
    groups = plan.federation.groups
    return SecureGrid(grid, roster, groups=groups, listener=lambda event, fields: events.emit(event, **fields))


def _config(model: WideDeep, plan: ClickPlan) -> Config:
    return Config(
        name="clicks",
        seed=plan.seed,
        data=DataConfig(dataset="tenants"),
        federation=plan.federation,
        models=(ModelConfig(name=model.name),),
    )
