"""Flower's SecAgg+ as it ships (legacy API), driven in process: its own server workflow and its own client mod.

What is timed. Client: all of `secaggplus_mod` in the four stages of a round, without the app that it wraps. Server: the
four stages of `SecAggPlusWorkflow`, without the time in which the grid answers, and without the strategy's averaging.
Its stages draw nothing that later ones need anew, so that each can be repeated on the recorded answers.
"""

from __future__ import annotations

import copy
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import Code, FitIns, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.ndarrays_arithmetic import parameters_multiply
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key
from flwr.compat.common import recorddict_compat as compat
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.strategy import FedAvg
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import SecAggPlusWorkflow, WorkflowState
from numpy.typing import NDArray

from benchmarks.secagg_federation import others_frozen
from benchmarks.timing import median
from fedrec.errors import FedrecError
from fedrec.simulations.grid import InProcessGrid

FIRST_NODE_ID = 2
NUM_EXAMPLES = 10
CLIPPING, LEVELS = 8.0, 1 << 22
"""Flower's defaults, used by the workflow and by the encoding that is timed alone."""
MAX_WEIGHT = 1000.0
ONE_LEVEL = 2 * CLIPPING / LEVELS * MAX_WEIGHT / NUM_EXAMPLES
"""Of a mean: how far rounding moves a client's value at most."""


@dataclass
class FlowerCost:
    """CPU seconds of each client in the whole round, of each server stage (median), and bytes of a masked vector."""

    client_s: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    server_s: dict[str, float] = field(default_factory=dict)
    vector_bytes: int = 0

    @property
    def median_client_s(self) -> float:
        """Of the client in the middle."""
        return median(list(self.client_s.values()))

    @property
    def whole_server_s(self) -> float:
        """Of all stages."""
        return sum(self.server_s.values())


def measure(num_clients: int, degree: int, threshold: int, update: NDArray[np.float32], repeats: int) -> FlowerCost:
    """One round in which every client sends `update`.

    Raises:
        FedrecError: the mean that Flower opened is not the update.
    """
    cost, strategy = FlowerCost(), MeanCheck(update, num_clients)
    with quiet():
        grid = RecordingGrid(flower_app(update, cost), {FIRST_NODE_ID + i: {} for i in range(num_clients)}, {})
        workflow = SecAggPlusWorkflow(degree + 1, threshold)  # a client keeps one share of its own secrets
        context, state = legacy_context(strategy), WorkflowState()
        for name in ("setup", "share_keys", "collect_masked_vectors", "unmask"):
            stage = getattr(workflow, f"{name}_stage")
            grid.recorded = None
            state, cost.server_s[name] = _repeated(stage, grid, context, state, repeats)
    if not strategy.checked:
        raise FedrecError("Flower's SecAgg+ opened no sum.")
    return cost


def rounding_seconds(update: NDArray[np.float32], repeats: int) -> float:
    """What the client's time has of reading its app's answer and rounding it to integers."""
    answer = compat.fitres_to_recorddict(fit_result(update), keep_input=True)

    def encode() -> None:
        parameters = parameters_to_ndarrays(compat.recorddict_to_fitres(answer, keep_input=True).parameters)
        quantize(parameters_multiply(parameters, NUM_EXAMPLES / MAX_WEIGHT), CLIPPING, LEVELS)

    return median([cpu_seconds(encode) for _ in range(repeats)])


def cpu_seconds(action: Callable[[], object]) -> float:
    """Processor time of all threads for one call."""
    started = time.process_time()
    action()
    return time.process_time() - started


class RecordingGrid(InProcessGrid):
    """Answers as lists, as Flower expects them, from the clients the first time and from memory after that."""

    recorded: list[Message] | None = None
    away_s: float = 0.0

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        started = time.process_time()
        if self.recorded is None:
            self.recorded = list(super().send_and_receive(messages, timeout=timeout))
        self.away_s += time.process_time() - started
        return self.recorded


class MeanCheck(FedAvg):
    """The part of a legacy strategy that the workflow calls: asks all clients, and compares the mean with the truth."""

    def __init__(self, expected: NDArray[np.float32], num_clients: int) -> None:
        super().__init__()
        self._expected, self._num_clients = expected, num_clients
        self.checked = False

    def configure_fit(self, server_round: int, parameters: Parameters, client_manager: object) -> list[Any]:
        """The same empty instruction for every client: what it is to compute has no part in the protocol."""
        nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + self._num_clients)
        return [(Proxy(node), FitIns(Parameters([], "numpy.ndarray"), {})) for node in nodes]

    def aggregate_fit(self, server_round: int, results: list[Any], failures: list[Any]) -> tuple[None, dict[str, Any]]:
        """Every result holds the mean already. Raises FedrecError if it is a wrong one."""
        mean = parameters_to_ndarrays(results[0][1].parameters)[0]
        if failures or not np.allclose(mean, self._expected, atol=ONE_LEVEL):
            raise FedrecError("Flower's SecAgg+ opened a wrong mean.")
        self.checked = True
        return None, {}


@dataclass(frozen=True)
class Proxy:
    """What the workflow asks of a client proxy."""

    node_id: int


def flower_app(update: NDArray[np.float32], cost: FlowerCost) -> ClientApp:
    """A client that answers every instruction with `update`, behind Flower's mod. Its own time is not counted."""

    def timed(message: Message, context: Context, call_next: Any) -> Message:
        message.content = copy.deepcopy(message.content)  # its mod edits what all clients would share in one process
        started = time.process_time()
        reply: Message = call_next(message, context)
        cost.client_s[context.node_id] += time.process_time() - started
        vector = reply.content.config_records[RECORD_KEY_CONFIGS].get(Key.MASKED_PARAMETERS, [])
        cost.vector_bytes = max(cost.vector_bytes, sum(map(len, vector)))  # type: ignore[arg-type]
        return reply

    app = ClientApp(mods=[timed, secaggplus_mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        started = time.process_time()
        content: RecordDict = compat.fitres_to_recorddict(fit_result(update), keep_input=True)
        cost.client_s[context.node_id] -= time.process_time() - started
        return Message(content, reply_to=message)

    return app


def fit_result(update: NDArray[np.float32]) -> FitRes:
    """A legacy client's answer."""
    return FitRes(Status(Code.OK, ""), ndarrays_to_parameters([update]), NUM_EXAMPLES, {})


def legacy_context(strategy: MeanCheck) -> LegacyContext:
    """The context of round 1."""
    state = RecordDict()
    state.config_records["config"] = ConfigRecord({"current_round": 1})
    state.array_records["parameters"] = ArrayRecord()
    return LegacyContext(Context(1, 1, {}, state, {}), strategy=strategy)


@contextmanager
def quiet() -> Iterator[None]:
    """Without Flower's log lines."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _repeated(
    stage: Callable[..., bool], grid: RecordingGrid, context: LegacyContext, before: WorkflowState, repeats: int
) -> tuple[WorkflowState, float]:
    """The state after a stage, and its CPU seconds. The first run has the clients answer, and its state goes on."""
    after, taken = None, []
    for _ in range(repeats):
        state, grid.away_s = copy.deepcopy(before), 0.0
        with others_frozen():
            started = time.process_time()
            if not stage(grid, context, state):
                raise FedrecError(f"Flower's SecAgg+ gave up in {stage.__name__}.")
            taken.append(time.process_time() - started - grid.away_s)
        after = after or state
    assert after is not None
    return after, median(taken)
