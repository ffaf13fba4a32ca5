"""A run of real processes again in this process, without masks, with those in each sum who were in it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Message

from fedrec.client.app import app as client_app
from fedrec.client.store import TenantStore, create_store
from fedrec.config import Config
from fedrec.data import Catalogue
from fedrec.server.events import EVENTS, Event, EventLog, read_events
from fedrec.server.exchange import Exchange
from fedrec.server.run import run
from fedrec.simulations.experiment import FIRST_NODE_ID
from fedrec.simulations.grid import SERVER_NODE_ID, InProcessGrid, UserConfig


@dataclass(frozen=True)
class Told:
    """What the events of a run say of one of its rounds, the last time that it was made. nodes: so many were asked.
    members: numbers in the roster of those in the sum; none if the round was discarded. loss: None outside of training.
    """

    nodes: int
    members: tuple[int, ...] = ()
    loss: float | None = None


def told(events: Iterable[Event]) -> dict[int, Told]:
    """Round -> what the events say of it. A run that was resumed makes some rounds twice; the later one counts."""
    rounds: dict[int, Told] = {}
    summed: tuple[int, ...] = ()
    for event in events:
        match event["event"]:
            case "round-start":
                rounds[event["round"]], summed = Told(int(event["nodes"])), ()
            case "secure-sum":
                summed = tuple(event["members"])
            case "round-end":
                rounds[event["round"]] = Told(rounds[event["round"]].nodes, summed, event.get("loss"))
    return rounds


def in_clear(config: Config) -> Config:
    """The same run without masks: sums are of integers, so its result is the same, bit for bit."""
    return config.model_copy(update={"federation": config.federation.model_copy(update={"secure_aggregation": False})})


def replay(
    config: Config, catalogue: Catalogue, tenants: Mapping[int, TenantStore], rounds: Mapping[int, Told], folder: Path
) -> dict[int, Told]:
    """Make the run again below `folder`, its server's files in `folder`/server, and return what its events say.

    tenants: by their numbers in the roster. Their rows are read, and nothing of what they did in the first run.
    """
    stores = {n: create_store(folder / "tenants" / one.name, one.dataset()) for n, one in tenants.items()}
    grid = _AsTold(stores, rounds)
    exchange = Exchange(grid, in_clear(config), EventLog(folder / EVENTS))
    grid.exchange = exchange
    run(exchange, catalogue, folder / "server")
    again = told(read_events(folder / EVENTS))
    return {number: Told(one.nodes, grid.answered(number), one.loss) for number, one in again.items()}


class _AsTold(InProcessGrid):
    """Asks as many nodes as were asked in each round, and loses the messages to those who were not in its sum."""

    exchange: Exchange

    def __init__(self, stores: Mapping[int, TenantStore], rounds: Mapping[int, Told]) -> None:
        nodes: dict[int, UserConfig] = {FIRST_NODE_ID + n: {"store": str(store.folder)} for n, store in stores.items()}
        super().__init__(client_app, nodes, {}, self._is_out)
        self._rounds, self._all = rounds, tuple(stores)
        self._answers: dict[int, set[int]] = {}

    def get_node_ids(self) -> Sequence[int]:
        one = self._rounds[self.exchange.round]
        others = [node for node in self._all if node not in one.members]
        return [FIRST_NODE_ID + number for number in (*one.members, *others[: one.nodes - len(one.members)])]

    def answered(self, number: int) -> tuple[int, ...]:
        """Who answered in a round."""
        return tuple(sorted(self._answers.get(number, ())))

    def _is_out(self, message: Message) -> bool:
        number, meta = int(message.metadata.group_id), message.metadata
        if meta.dst_node_id == SERVER_NODE_ID:
            self._answers.setdefault(number, set()).add(meta.src_node_id - FIRST_NODE_ID)
            return False
        return meta.dst_node_id - FIRST_NODE_ID not in self._rounds[number].members
