"""Rounds of local training as bounded sums: what is asked, and how an answer lies in words.

The sum is that of `UpdateCodec`; here it is rounded by a stream of the run, so that a resumed run repeats it exactly.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal, cast

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from pydantic import Field, model_validator

from fedrec.config import Section
from fedrec.contribution import Total, Words
from fedrec.errors import ConfigError, ProtocolError, Refusal
from fedrec.messages import ARRAYS, Body, Params
from fedrec.models.neural import NeuralModel, create_neural
from fedrec.models.neural.plan import LocalTraining, Progress
from fedrec.models.protocols import AnyArray
from fedrec.privacy.gradients.summed import SumTerms
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.privacy.mechanisms import Mechanism
from fedrec.privacy.release import Release
from fedrec.rng import derive
from fedrec.strategies.summed_steps import check_one_step, release_of_step, stepped
from fedrec.strategies.updates import UpdateCodec

TRAIN = "train.local"
LOSS, LARGEST_LOSS = "loss", 20.0
Figures = tuple[int, float]
"""Users that were trained on, and their mean loss."""


class StepNoise(Section):
    """The noise that each step of a client's round has: `StepTerms` of `fedrec.privacy.gradients` says what its parts
    are where each client makes it all, `SumTerms` where all share it; the plan knows the others. A client that finds it
    too little, or is told of none, refuses."""

    placement: Literal["local", "distributed"] = "local"
    rate: float = Field(gt=0, le=1)
    clip_norm: float = Field(gt=0)
    multiplier: float = Field(gt=0)
    sharers: int = Field(default=1, ge=1)
    quantile: float | None = Field(default=None, gt=0, lt=1)
    devices: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> StepNoise:
        if self.devices is not None and self.placement != "distributed":
            raise ValueError("noise: of devices each makes a share, so placement is 'distributed'")
        return self

    def terms(self, plan: LocalTraining) -> StepTerms | SumTerms:
        """With what the plan says of the steps. Raises ConfigError if the plan has none, or others."""
        if self.placement == "local":
            return StepTerms(self.rate, self.clip_norm, self.multiplier, plan.batch_size, cast(int, plan.steps))
        if self.devices is None:
            check_one_step(plan)
        users = plan.batch_size if self.devices is None else 1
        noise = (self.rate, self.clip_norm, self.multiplier, users, self.sharers)
        return SumTerms(*noise, self.quantile, self.devices)


class TrainBody(Body):
    """Train this model on your own rows, from the arrays that come with it.

    run: names the run, for what a client keeps between rounds. rounds: of the whole run. content: whether items are
    described by their content. plan: a `LocalTraining`. noise: of each of its steps; None is without.
    """

    run: str = Field(pattern=r"^[0-9a-f]{16}$")
    rounds: int = Field(ge=1)
    model: str
    params: Params
    content: bool
    plan: Params
    noise: StepNoise | None = None

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

    def terms(self) -> StepTerms | SumTerms | None:
        """The noise of a round's steps, with what the plan says of them. Raises ProtocolError if they do not fit."""
        try:
            return None if self.noise is None else self.noise.terms(self.training())
        except ConfigError as error:
            raise ProtocolError(f"The plan does not go together with noise: {error}") from error

    def progress(self, client: str) -> Progress:
        """Where the round is in the run."""
        return Progress(self.holdout.seed, self.round, self.rounds, client)

    def release(self, sent: RecordDict) -> Release:
        """How answers to `sent` lie in words, and their noise where clients share it."""
        terms = self.terms()
        if isinstance(terms, SumTerms):
            return release_of_step(terms, self.training(), sent, self.capacity.max_clients)
        return Release(self.codec().encoding(sent))

    def mechanisms(self, release: Release) -> tuple[Mechanism, ...]:
        """What a round costs; nothing without noise. release: of its answers."""
        terms = self.terms()
        if isinstance(terms, StepTerms):
            return (terms.mechanism,)
        return () if release.noise is None else release.noise.mechanisms

    def codec(self) -> UpdateCodec:
        """How answers are bounded and summed. Where steps have noise, nothing else of a round is in an answer."""
        plan = self.training()
        return UpdateCodec(
            clip_norm=plan.update_norm,
            max_weight=float(plan.max_users),
            metrics={} if self.noise is not None else {LOSS: LARGEST_LOSS},
            max_clients=self.capacity.max_clients,
            arrays_key=ARRAYS,
        )


def plan_params(plan: LocalTraining) -> Params:
    """A plan in the form in which it crosses the wire."""
    return dict(asdict(plan))


def update_words(
    body: TrainBody, sent: RecordDict, trained: dict[str, AnyArray], figures: Figures | None, client: str
) -> Words:
    """A client's answer: its clipped update and its loss, both times its weight, which is the capped number of users.

    sent: the content of the instruction. figures: None where steps have noise. Then there is no loss and every client
    has the same weight: how many users one has is private, and their number is in the length of its update.
    Raises Refusal if the update or the loss is not finite, or figures are not what the instruction asks for.
    """
    if (figures is None) != (body.noise is not None):
        raise Refusal("noise-required", "the number of users and their loss do not leave a tenant beside noised steps")
    codec = body.codec()
    arrays = ArrayRecord({name: Array(value) for name, value in trained.items()})
    users, losses = (codec.max_weight, {}) if figures is None else (figures[0], {LOSS: figures[1]})
    metrics = MetricRecord({codec.weight_key: users, **losses})
    reply = RecordDict({codec.arrays_key: arrays, codec.metrics_key: metrics})
    return codec.encode(sent, reply, derive(body.holdout.seed, "round", body.round, client))


def mean_update(body: TrainBody, sent: RecordDict, total: Total) -> tuple[RecordDict, dict[str, float]]:
    """What all answers to `sent` come to: the weighted mean of the new weights, in the form in which a strategy expects
    one client's answer, and what else they tell, by name: the mean loss, or where clients share the noise of a moving
    clip, the clip of the next round. Raises RoundFailed if nobody had a user."""
    terms = body.terms()
    if isinstance(terms, SumTerms):
        after = stepped(terms, body.training(), sent, total)
        return after.content, {} if terms.quantile is None else {"clip_norm": after.clip_norm}
    codec = body.codec()
    mean = codec.mean(sent, total.values)
    told = mean.metric_records[codec.metrics_key]
    return mean, {LOSS: float(str(told[LOSS]))} if LOSS in codec.metrics else {}
