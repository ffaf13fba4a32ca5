"""Rounds of local training as bounded sums: what is asked, and how an answer lies in words.

The sum is that of `UpdateCodec`; here it is rounded by a stream of the run, so that a resumed run repeats it exactly.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from pydantic import Field

from fedrec.contribution import Contribution, Float64Array, Total, Words
from fedrec.errors import ConfigError, ProtocolError, Refusal, RoundFailed
from fedrec.messages import ARRAYS, Body, Params
from fedrec.models.neural import NeuralModel, create_neural
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.protocols import AnyArray
from fedrec.rng import derive
from fedrec.strategies.updates import METRIC, UPDATE, WEIGHT, UpdateCodec

TRAIN = "train.local"
LOSS, LARGEST_LOSS = "loss", 20.0


class TrainBody(Body):
    """Train this model on your own rows, from the arrays that come with it.

    run: names the run, for what a client keeps between rounds. rounds: of the whole run. content: whether items are
    described by their content. plan: a `LocalTraining`.
    """

    run: str = Field(pattern=r"^[0-9a-f]{16}$")
    rounds: int = Field(ge=1)
    model: str
    params: Params
    content: bool
    plan: Params

    def recommender(self) -> NeuralModel:
        """The model. Raises ProtocolError if there is none like it."""
        try:
            return create_neural(self.model, self.params)
        except (ConfigError, TypeError) as error:
            raise ProtocolError(f"The instruction names no model of this fedrec: {error}") from error

    def training(self) -> LocalTraining:
        """The plan. Raises ProtocolError if it is none."""
        values: dict[str, Any] = dict(self.plan)
        try:
            return LocalTraining(**values)
        except (ConfigError, TypeError) as error:
            raise ProtocolError(f"The instruction holds no plan of this fedrec: {error}") from error

    def progress(self, client: str) -> Progress:
        """Where the round is in the run."""
        return Progress(self.holdout.seed, self.round, self.rounds, client)

    def codec(self) -> UpdateCodec:
        """How answers are bounded and summed."""
        plan = self.training()
        return UpdateCodec(
            clip_norm=plan.update_norm,
            max_weight=float(plan.max_users),
            metrics={LOSS: LARGEST_LOSS},
            max_clients=self.capacity.max_clients,
            arrays_key=ARRAYS,
        )


def plan_params(plan: LocalTraining) -> Params:
    """A plan in the form in which it crosses the wire."""
    return dict(asdict(plan))


def update_words(
    body: TrainBody, sent: RecordDict, trained: dict[str, AnyArray], users: int, loss: float, client: str
) -> Words:
    """A client's answer: its clipped update and its loss, both times its weight, which is the capped number of users.

    sent: the content of the instruction. Raises Refusal if the update is not finite.
    """
    codec = body.codec()
    encoding = codec.encoding(sent)
    weight = min(users, codec.max_weight) / codec.max_weight
    values = {UPDATE + name: weight * value for name, value in _clipped(sent, trained, codec.clip_norm).items()}
    values[WEIGHT] = np.array([weight])
    values[METRIC + LOSS] = np.array([weight * float(np.clip(loss, -LARGEST_LOSS, LARGEST_LOSS))])
    rounding = derive(body.holdout.seed, "round", body.round, client)
    return encoding.encode(Contribution(encoding.layout, values, num_users=1), rounding)


def mean_update(body: TrainBody, sent: RecordDict, total: Total) -> tuple[RecordDict, float]:
    """What all answers to `sent` come to: the weighted mean of the new weights, in the form in which a strategy expects
    one client's answer, and the mean loss. Raises RoundFailed if nobody had a user."""
    weight = float(total.values[WEIGHT][0])
    if not weight > 0:
        raise RoundFailed("All clients of the round have weight 0: there is no mean.")
    loss = float(total.values[METRIC + LOSS][0]) / weight
    arrays = {}
    for name, array in sent.array_records[ARRAYS].items():
        start = array.numpy()
        arrays[name] = Array((start + total.values[UPDATE + name] / weight).astype(start.dtype))
    metrics = MetricRecord({LOSS: loss, body.codec().weight_key: weight})
    return RecordDict({ARRAYS: ArrayRecord(arrays), "metrics": metrics}), loss


def _clipped(sent: RecordDict, trained: dict[str, AnyArray], clip_norm: float) -> dict[str, Float64Array]:
    before = {name: array.numpy().astype(np.float64) for name, array in sent.array_records[ARRAYS].items()}
    update = {name: trained[name].astype(np.float64) - value for name, value in before.items()}
    norm = float(np.sqrt(sum(float(np.vdot(value, value)) for value in update.values())))
    if not np.isfinite(norm):
        raise Refusal("contribution-error", "the update is not finite")
    scale = min(1.0, clip_norm / norm) if norm > 0 else 1.0
    return {name: scale * value for name, value in update.items()}
