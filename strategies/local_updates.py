"""Rounds of local training as bounded sums: what is asked, and how an answer lies in words.

The sum is that of `UpdateCodec`; here it is rounded by a stream of the run, so that a resumed run repeats it exactly.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from pydantic import Field

from fedrec.contribution import Total, Words
from fedrec.errors import ConfigError, ProtocolError
from fedrec.messages import ARRAYS, Body, Params
from fedrec.models.neural import NeuralModel, create_neural
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.protocols import AnyArray
from fedrec.rng import derive
from fedrec.strategies.updates import UpdateCodec

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

    sent: the content of the instruction. Raises Refusal if the update or the loss is not finite.
    """
    codec = body.codec()
    arrays = ArrayRecord({name: Array(value) for name, value in trained.items()})
    metrics = MetricRecord({codec.weight_key: users, LOSS: loss})
    reply = RecordDict({codec.arrays_key: arrays, codec.metrics_key: metrics})
    return codec.encode(sent, reply, derive(body.holdout.seed, "round", body.round, client))


def mean_update(body: TrainBody, sent: RecordDict, total: Total) -> tuple[RecordDict, float]:
    """What all answers to `sent` come to: the weighted mean of the new weights, in the form in which a strategy expects
    one client's answer, and the mean loss. Raises RoundFailed if nobody had a user."""
    codec = body.codec()
    mean = codec.mean(sent, total.values)
    return mean, float(str(mean.metric_records[codec.metrics_key][LOSS]))
