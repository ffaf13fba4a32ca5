"""What `SecureGrid` adds to a round of any Flower app: the same app and strategy, once plainly and once securely."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from benchmarks.secagg_flower import quiet
from benchmarks.timing import median
from fedrec.client.secure import SecureSums
from fedrec.errors import FedrecError
from fedrec.messages import num_bytes
from fedrec.privacy.secagg.keys import Identity
from fedrec.privacy.secagg.party import Party
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Member, Roster
from fedrec.simulations.grid import InProcessGrid
from fedrec.strategies.secure_grid import SecureGrid
from fedrec.strategies.updates import UpdateCodec

FIRST_NODE_ID = 2
STEP = 0.001


@dataclass(frozen=True)
class RoundCost:
    """A round in the steady state. cpu_s: median, clients and server together; the others for each client."""

    cpu_s: float
    messages: float
    bytes_up: float
    bytes_down: float


class CountingGrid(InProcessGrid):
    """Counts messages and their payload."""

    def forget(self) -> None:
        """Count from zero."""
        self.counts: Counter[str] = Counter()

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        for reply in super().send_and_receive(self._counted(messages), timeout=timeout):
            self.counts["up"] += num_bytes(reply.content)
            yield reply

    def _counted(self, messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            self.counts["messages"] += 1
            self.counts["down"] += num_bytes(message.content)
            yield message


def round_costs(num_clients: int, num_coordinates: int, rounds: int) -> tuple[RoundCost, RoundCost]:
    """A plain round and a secure one of the same app under Flower's FedAvg.

    Raises:
        FedrecError: the two end with different weights.
    """
    nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + num_clients)
    codec = UpdateCodec(clip_norm=num_clients * STEP * num_coordinates**0.5 + 1, max_weight=10, max_clients=num_clients)
    mod, roster = secure_sums(nodes, codec)
    plain = CountingGrid(adding_app(), {node: {} for node in nodes}, {})
    masked = CountingGrid(adding_app(mod), {node: {} for node in nodes}, {})
    with quiet():
        plain_cost, plain_end = _measured(plain, plain, num_coordinates, num_clients, rounds)
        secure = SecureGrid(masked, roster, codec=codec)
        secure_cost, secure_end = _measured(secure, masked, num_coordinates, num_clients, rounds)
    if not np.allclose(plain_end, secure_end, atol=1e-4):
        raise FedrecError("A secure round ends with other weights than a plain one.")
    return plain_cost, secure_cost


def secure_sums(nodes: Iterable[int], codec: UpdateCodec) -> tuple[SecureSums, Roster]:
    """The client's mod, with an identity for each node, and the roster that pins them."""
    identities = {node: Identity.generate() for node in nodes}
    roster = Roster(tuple(Member(node, key.public, f"node-{node}") for node, key in identities.items()))

    def open_party(context: Context, run: bytes) -> Party:
        return Party(identities[context.node_id], context.node_id, roster, Policy(), run)

    return SecureSums(open_party, codec=codec), roster


def adding_app(*mods: SecureSums) -> ClientApp:
    """Hardly any work: a node adds its place times `STEP` to every weight."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        step = np.float32(STEP * (context.node_id - FIRST_NODE_ID + 1))
        record = message.content.array_records["arrays"]
        arrays = ArrayRecord({name: Array(array.numpy() + step) for name, array in record.items()})
        return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 10})}), reply_to=message)

    return app


def _measured(
    grid: Grid, counting: CountingGrid, num_coordinates: int, num_clients: int, rounds: int
) -> tuple[RoundCost, np.ndarray]:
    """The costs after a first round, and the weights at the end."""
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=num_clients, min_available_nodes=num_clients)
    counting.forget()
    arrays = _round(grid, strategy, ArrayRecord({"w": Array(np.zeros(num_coordinates, np.float32))}), 1)
    counting.forget()
    taken = []
    for number in range(2, rounds + 2):
        started = time.process_time()
        arrays = _round(grid, strategy, arrays, number)
        taken.append(time.process_time() - started)
    messages, up, down = (counting.counts[key] / rounds / num_clients for key in ("messages", "up", "down"))
    return RoundCost(median(taken), messages, up, down), arrays["w"].numpy()


def _round(grid: Grid, strategy: FedAvg, arrays: ArrayRecord, number: int) -> ArrayRecord:
    replies = grid.send_and_receive(strategy.configure_train(number, arrays, ConfigRecord(), grid))
    weights, _ = strategy.aggregate_train(number, replies)
    if weights is None:
        raise FedrecError(f"Round {number} gave no weights.")
    return weights
