"""Three small tenants that train one small recommender, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from fedrec.client.local_training import train_reply
from fedrec.client.party import open_party, open_state
from fedrec.client.secure import SecureSums
from fedrec.client.store import TenantStore, create_store, open_store
from fedrec.config import Config
from fedrec.data import Dataset
from fedrec.errors import FedrecError, Refusal
from fedrec.messages import refusal
from fedrec.models import ItemFeatures
from fedrec.models.neural import GRU4Rec, NeuralModel
from fedrec.models.neural.plan import LocalTraining
from fedrec.server.events import EventLog
from fedrec.server.exchange import Exchange
from fedrec.server.training import FederatedTraining, train_federated
from fedrec.simulations.grid import InProcessGrid
from tests.federation import LEFT, RIGHT, config_of, rows_of

THIRD = {"hal": "abdf", "ida": "fbda"}
TENANTS = {"left": LEFT, "right": RIGHT, "third": THIRD}
MODEL: NeuralModel = GRU4Rec(dim=4, hidden=4, max_length=8)
LOCAL = LocalTraining(epochs=2, batch_size=2, learning_rate=0.05)
TRAINING = FederatedTraining(rounds=3, local=LOCAL)
ITEMS = ItemFeatures(6)


def client_app() -> ClientApp:
    """An app that does nothing but train; under masks for tenants that have an identity key."""
    app = ClientApp(mods=[SecureSums(open_party, open_state)])

    @app.train("local")
    def on_train(message: Message, context: Context) -> Message:
        try:
            content = train_reply(message, open_store(context))
        except Refusal as error:
            content = refusal(error.reason, error.detail)
        except FedrecError as error:
            content = refusal(type(error).__name__, "")
        return Message(content, reply_to=message)

    return app


def stores_in(folder: Path, tenants: dict[str, dict[str, str]] = TENANTS) -> list[TenantStore]:
    """The tenants' folders; those that are there are opened again."""
    return [
        TenantStore(folder / name) if (folder / name).exists() else create_store(folder / name, rows(name, tenant))
        for name, tenant in tenants.items()
    ]


def rows(name: str, histories: dict[str, str]) -> Dataset:
    return rows_of(histories, name)


def grid_of(stores: list[TenantStore], lost: Callable[[Message], bool] = lambda message: False) -> InProcessGrid:
    """Nodes 100, 101, ... for `stores`."""
    nodes = {100 + index: {"store": str(store.folder)} for index, store in enumerate(stores)}
    return InProcessGrid(client_app(), nodes, {}, lost)


def exchange_of(grid: Grid, folder: Path, config: Config | None = None) -> Exchange:
    return Exchange(grid, config or config_of(), EventLog(folder / "events.jsonl"))


class Run:
    """One run of `training` in `folder`; the wire is kept."""

    def __init__(self, folder: Path, tenants=TENANTS, lost=lambda message: False, **federation) -> None:
        self.wire: list[Message] = []
        self.folder, self.lost = folder, lost
        grid = grid_of(stores_in(folder / "tenants", tenants), self._watched)
        self.exchange = exchange_of(grid, folder, config_of(federation=federation))

    def train(self, training=TRAINING, model=MODEL, **more):
        return train_federated(self.exchange, model, ITEMS, training, "final", self.folder / "server", **more)

    def events(self, kind):
        lines = (self.folder / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def _watched(self, message):
        self.wire.append(message)
        return self.lost(message)


def same(one, other) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)
