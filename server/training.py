"""Rounds of federated training: send the shared weights, get one sum, let a Flower strategy make the next weights.

A run is resumed from its last checkpoint and then ends with the same weights, bit for bit, as one that never stopped.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from fedrec.errors import ConfigError, RoundFailed
from fedrec.messages import AnyArray, Capacity, EncoderSpec, Params, Phase, expecting, instruction, num_bytes, summed
from fedrec.models import ItemFeatures, validate
from fedrec.models.neural import NeuralModel
from fedrec.models.neural.network import arrays_of
from fedrec.models.neural.plan import SCHEDULES, LocalTraining, scheduled
from fedrec.privacy.mechanisms import as_record
from fedrec.rng import derive
from fedrec.server.checkpoint import Checkpoint, read_checkpoint
from fedrec.server.exchange import Exchange, sent
from fedrec.server.step_noise import draw_key, drawn_devices, noise_after, of_this_draw, step_noise
from fedrec.strategies.local_updates import TRAIN, TrainBody, mean_update, plan_params
from fedrec.strategies.optimizers import PROXIMAL, create_optimizer, memory_of, put_memory, put_rate, rate_of
from fedrec.strategies.summing import Quorum, Summed, sum_replies

Arrays = dict[str, AnyArray]


@dataclass(frozen=True)
class FederatedTraining:
    """What happens between the first weights and the last.

    optimizer, parameters: of the server, see `strategies.optimizers`. schedule: of its learning rate. cohort: share of
    the clients that is asked in a round, at least the quorum. max_failures: so many rounds in a row may be discarded
    before the run gives up.
    warm_start: what fitted the weights to begin from, in words, so that a run with another start is not resumed.
    """

    rounds: int = 10
    optimizer: str = "fedavg"
    parameters: Params = field(default_factory=dict)
    schedule: str = "constant"
    cohort: float = 1.0
    max_failures: int = 3
    warm_start: str = "none"
    local: LocalTraining = field(default_factory=LocalTraining)

    def __post_init__(self) -> None:
        validate.whole("rounds", self.rounds)
        validate.whole("max_failures", self.max_failures)
        validate.positive("cohort", self.cohort)
        if self.cohort > 1:
            raise ConfigError(f"Expected cohort={self.cohort} <= 1, a share of the clients.")
        validate.one_of("schedule", self.schedule, SCHEDULES)
        rate = rate_of(create_optimizer(self.optimizer, self.parameters))
        if self.schedule != "constant" and rate is None:
            raise ConfigError(f"{self.optimizer} has no learning rate to schedule; schedule training.local.")


def train_federated(
    exchange: Exchange,
    model: NeuralModel,
    items: ItemFeatures,
    training: FederatedTraining,
    phase: Phase,
    folder: Path,
    resume: bool = False,
    start: Arrays | None = None,
) -> Arrays:
    """The shared weights after all rounds; a checkpoint in `folder` after each.

    start: weights to begin from by name, such as item factors of a closed form; all others are drawn from the seed.
    Raises RoundFailed after too many discarded rounds in a row, ConfigError if `folder` holds another run.
    """
    rounds = _Rounds(exchange, model, items, training, phase, folder)
    rounds.begin(start or {}, resume)
    while rounds.round < training.rounds:
        rounds.step()
    return rounds.arrays


class _Rounds:
    """The state of a run between two rounds."""

    def __init__(
        self,
        exchange: Exchange,
        model: NeuralModel,
        items: ItemFeatures,
        training: FederatedTraining,
        phase: Phase,
        folder: Path,
    ) -> None:
        self._exchange, self._model, self._training = exchange, model, training
        self._phase, self._folder = phase, folder
        self._items, self._encoder = items, EncoderSpec.of(items.encoder)
        self._run = run_name(exchange, model, training, phase, items)
        self._told_run, self._key = self._run, b""
        self._strategy: FedAvg = create_optimizer(training.optimizer, training.parameters)
        self._rate = rate_of(self._strategy)
        self.round, self.arrays = 0, cast(Arrays, {})
        self._history: list[dict[str, Any]] = []

    def begin(self, start: Arrays, resume: bool) -> None:
        """Take up the checkpoint, or the first weights."""
        checkpoint = read_checkpoint(self._folder, self._run) if resume else None
        if self._draws_devices:
            self._key = draw_key(self._folder, resume and checkpoint is not None)
            self._told_run = of_this_draw(self._run, self._key)
        if checkpoint is None:
            widths = self._items.widths.tolist()
            network = self._model.build(self._items.num_items, widths, self._exchange.config.seed)
            names = tuple(sorted(set(network.state_dict()) - set(self._model.private)))
            self.arrays = arrays_of(network, names)
            self._replace(start)
            return
        self.round, self.arrays = checkpoint.round, dict(checkpoint.model)
        self._history = list(checkpoint.history)
        put_memory(self._strategy, checkpoint.memory)
        self._exchange.skip(self.round)
        self._emit("resumed", self._exchange.round)

    def step(self) -> None:
        """One round, kept or discarded, and its checkpoint."""
        self.round += 1
        number = self._exchange.next_round()
        try:
            self._train(number)
        except RoundFailed as error:
            self._history.append({"round": self.round, "discarded": True})
            self._emit("round-discarded", number, reason=str(error))
            if self._failures >= self._training.max_failures:
                raise
        memory = memory_of(self._strategy)
        Checkpoint(self._run, self.round, self.arrays, memory, tuple(self._history)).write(self._folder)
        self._emit("checkpoint", number)

    @property
    def _draws_devices(self) -> bool:
        privacy = self._exchange.config.privacy
        return privacy is not None and privacy.devices

    @property
    def _failures(self) -> int:
        """Discarded rounds at the end of the history, which a resumed run has read."""
        return sum(1 for _ in itertools.takewhile(lambda entry: "discarded" in entry, reversed(self._history)))

    def _train(self, number: int) -> None:
        started = time.monotonic()
        messages, body = self._messages(number)
        release = body.release(messages[0].content)
        for message in messages:
            expecting(message.content, *release.words)
        federation = self._exchange.config.federation
        self._emit("round-start", number, nodes=len(messages))
        replies = self._exchange.grid.send_and_receive(messages, timeout=federation.timeout_s)
        in_order = sorted(replies, key=lambda reply: reply.metadata.src_node_id)
        result = sum_replies(in_order, release, Quorum(federation.min_tenants, federation.on_failure))
        known = self._absorb(body, result, messages[0])
        self._history.append({"round": self.round, "loss": None, "clients": result.total.num_clients, **known})
        self._emit(
            "round-end",
            number,
            clients=result.total.num_clients,
            failed=result.failed,
            bytes_up=result.bytes_up,
            bytes_down=num_bytes(messages[0].content),
            seconds=round(time.monotonic() - started, 3),
            sent=sent(release),
            mechanisms=[as_record(one) for one in body.mechanisms(release)],
            **known,
        )

    def _messages(self, number: int) -> tuple[list[Message], TrainBody]:
        """One instruction for each client of the round's cohort, as the strategy configures it."""
        arrays = ArrayRecord({name: Array(value) for name, value in self.arrays.items()})
        told = ConfigRecord()
        nodes = self._cohort()
        list(self._strategy.configure_train(self.round, arrays, told, cast(Grid, _Only(nodes))))
        local = self._training.local
        if PROXIMAL in told:
            local = replace(local, proximal=float(str(told[PROXIMAL])))
        body = TrainBody(
            round=self.round,
            phase=self._phase,
            capacity=Capacity(max_clients=len(nodes), max_users=self._exchange.capacity.max_users),
            holdout=self._exchange.holdout,
            run=self._told_run,
            rounds=self._training.rounds,
            model=self._model.name,
            params=asdict(cast(Any, self._model)),
            content=self._items.content is not None,
            encoder=self._encoder if self._items.content is not None else None,
            plan=plan_params(local),
            noise=noise_after(self._exchange, self._history),
        )
        content = instruction(body, self.arrays)
        group = str(number)
        return [Message(content, dst_node_id=node, message_type=TRAIN, group_id=group) for node in nodes], body

    def _cohort(self) -> list[int]:
        """The clients of this round; the same ones if it is repeated, but for devices, which are drawn in secret."""
        nodes = sorted(self._exchange.grid.get_node_ids())
        if self._draws_devices:
            return drawn_devices(self._exchange, nodes, self._key, self.round)
        size = max(math.ceil(self._training.cohort * len(nodes)), self._exchange.config.federation.min_tenants)
        if size >= len(nodes):
            return nodes
        chosen = derive(self._exchange.config.seed, "cohort", self.round).choice(len(nodes), size, replace=False)
        return [nodes[index] for index in sorted(chosen.tolist())]

    def _absorb(self, body: TrainBody, result: Summed, source: Message) -> dict[str, float]:
        """Hand the mean to the strategy as if one client had sent it. Returns what else the answers tell by name: the
        mean loss, or the clip of the next round."""
        mean, known = mean_update(body, source.content, result.total)
        if self._rate is not None:
            done = (self.round - 1) / self._training.rounds
            put_rate(self._strategy, self._rate * scheduled(self._training.schedule, done))
        reply = summed(mean, result.total.num_clients, result.bytes_up, source)
        arrays, _ = self._strategy.aggregate_train(self.round, [reply])
        if arrays is None:
            raise RoundFailed(f"{self._training.optimizer} made no weights of the mean of round {self.round}.")
        self._replace({name: array.numpy() for name, array in arrays.items()})
        return known

    def _replace(self, arrays: Arrays) -> None:
        """New weights, in the number format of the old ones: some strategies widen it."""
        for name, value in arrays.items():
            if name not in self.arrays or self.arrays[name].shape != value.shape:
                raise ConfigError(f"{self._model.name} has no shared weights '{name}' of shape {value.shape}.")
        self.arrays = {n: arrays.get(n, old).astype(old.dtype) for n, old in self.arrays.items()}

    def _emit(self, kind: str, number: int, **fields: Any) -> None:
        """An event of this round. number: of the round among all rounds of the run, of other models, too.

        It names the training by its folder, and the round as a step of so many.
        """
        action = f"train {self._model.name} {self.round}/{self._training.rounds}"
        steps = {"training": self._folder.name, "step": self.round, "steps": self._training.rounds}
        where = {"phase": self._phase, "action": action, "model": self._model.name}
        self._exchange.events.emit(kind, round=number, **where, **steps, **fields)


class _Only:
    """All that a strategy needs of a grid to configure a round: the ids of the cohort."""

    def __init__(self, nodes: list[int]) -> None:
        self._nodes = nodes

    def get_node_ids(self) -> Iterable[int]:
        """The cohort."""
        return self._nodes


def run_name(
    exchange: Exchange, model: NeuralModel, training: FederatedTraining, phase: Phase, items: ItemFeatures
) -> str:
    """Names the rounds of a training: equal for equal configurations, so that another one is not resumed by mistake."""
    held_out = exchange.holdout.model_dump(mode="json")
    sizes = (items.num_items, 0 if items.content is None else items.content.shape[1])
    parts = [held_out, model.name, asdict(cast(Any, model)), asdict(training), phase, sizes, str(items.encoder)]
    noise = step_noise(exchange)
    parts += [] if noise is None else [noise.model_dump()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
