"""THE local training loop: the same for one table, for a tenant of a simulation and for a SuperNode.

What it does follows from its arguments and from (seed, round, client); no random number comes from anywhere else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from fedrec.client.early_stopping import Best
from fedrec.data import Dataset
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError
from fedrec.messages import part
from fedrec.models import ItemFeatures, Recommender
from fedrec.models.neural.batches import Batches
from fedrec.models.neural.network import Network, arrays_of, freeze
from fedrec.models.neural.objectives import Catalogue, Ranking, Rehearsed, Task
from fedrec.models.neural.plan import LocalTraining, Progress, scheduled
from fedrec.models.neural.protocol import NeuralModel, public_weights, tensor_of
from fedrec.models.neural.randomness import seed_dropout, stream
from fedrec.models.protocols import AnyArray, Float32Array

if TYPE_CHECKING:
    from fedrec.privacy.gradients.steps import PrivateSteps
    from fedrec.privacy.gradients.terms import StepTerms

N = TypeVar("N", bound=nn.Module)
Validate = Callable[[Network], float]
"""How good a network is on the tenant's own validation; higher is better."""


@dataclass(frozen=True, eq=False)
class LocalRows:
    """What a client trains on.

    content: (num_items, content_dim) public vectors, or None. assortment: (num_items,) which items are ranked; None is
    the whole catalogue. Events on items outside of it are left out. rehearsed: see `Ranking`.
    """

    histories: Histories
    content: Float32Array | None = None
    assortment: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None
    rehearsed: Rehearsed | None = None

    def catalogue(self) -> tuple[Catalogue, Histories]:
        """The items that are ranked, and the histories in their positions."""
        everything = np.arange(self.histories.num_items)
        ids = everything if self.assortment is None else np.flatnonzero(self.assortment)
        histories = self.histories
        if self.assortment is not None:
            kept = histories.keep(self.assortment[histories.items])
            place = np.cumsum(self.assortment) - 1
            histories = Histories(kept.indptr, place[kept.items], len(ids))
        content = None if self.content is None else self.content[ids]
        return Catalogue(torch.from_numpy(ids), tensor_of(content)), histories


@dataclass(frozen=True)
class Trained:
    """What a round of training was. Private: its figures leave a client only as bounded metrics of the update.

    losses: mean of each epoch; none of private steps, where a loss would be one more thing to keep from leaving.
    validation: value of each epoch, if there was a validation. seconds: in the loop.
    moments: what the optimizer remembers, by parameter and name, if the plan keeps it.
    """

    users: int
    steps: int
    losses: tuple[float, ...]
    validation: tuple[float, ...]
    seconds: float
    moments: Mapping[str, AnyArray]

    @property
    def loss(self) -> float:
        """Mean of the last epoch."""
        return self.losses[-1]


def train(
    network: Network,
    model: NeuralModel,
    rows: LocalRows,
    plan: LocalTraining,
    progress: Progress | None = None,
    validate: Validate | None = None,
    moments: Mapping[str, AnyArray] | None = None,
    noise: StepTerms | None = None,
) -> Trained:
    """Train a recommender's `network` in place for one round; pooled training is a run of one round.

    moments: of the client's last round, if the plan keeps them. noise: makes each step private, see `check_private`;
    the plan's `clip_norm` is not used then, and all randomness is secret.
    Raises ModelError if nobody has two events, or the loss is no number any more; neither of private steps.
    """
    freeze(network, plan)
    catalogue, histories = rows.catalogue()
    batches = Batches(histories, model.objective, model.max_length, plan.batch_size, may_be_empty=noise is not None)
    task = Ranking(catalogue, batches, plan, model.private, rows.rehearsed)
    if noise is None:
        return learn(network, task, plan, progress, validate, moments)
    check_private(plan, noise, validate is not None)
    return _learn(_Round(network, task, plan, progress or Progress(), noise), None, moments)


def check_private(plan: LocalTraining, noise: StepTerms, validated: bool = False) -> None:
    """Raises ConfigError for a plan whose course would depend on private rows, or is not the one that was paid for."""
    if validated or plan.patience is not None:
        raise ConfigError("Private steps are not ended by a validation, which would be a release without noise.")
    if plan.steps != noise.steps or plan.batch_size != noise.divisor:
        raise ConfigError(
            f"Expected training.local.steps={plan.steps} and batch_size={plan.batch_size} to be those of the noise: "
            f"{noise.steps} steps over {noise.divisor} users; epochs would tell how many users there are."
        )


def learn(
    network: N,
    task: Task,
    plan: LocalTraining,
    progress: Progress | None = None,
    validate: Callable[[N], float] | None = None,
    moments: Mapping[str, AnyArray] | None = None,
) -> Trained:
    """Train any `network` in place for one round on its task; see `train`.

    Raises ModelError if the loss is no number any more.
    """
    return _learn(_Round(network, task, plan, progress or Progress()), validate, moments)


def _learn(
    current: _Round[N], validate: Callable[[N], float] | None, moments: Mapping[str, AnyArray] | None
) -> Trained:
    current.remember(moments or {})
    return current.run(validate)


@dataclass
class _Round(Generic[N]):
    """One round at one client; its state is the optimizer's, the streams' and the count of steps."""

    network: N
    task: Task
    plan: LocalTraining
    progress: Progress
    noise: StepTerms | None = None
    steps: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        where = ("train", self.progress.round, self.progress.client)
        self._order, self._negatives, dropout = (
            stream(self.progress.seed, *where, use) for use in ("order", "negatives", "dropout")
        )
        seed_dropout(self.network, dropout)
        self._parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self._optimizer = _optimizer(self._parameters, self.plan)
        self._anchors = _anchors(self.network, self.task.private) if self.plan.proximal else []

    def run(self, validate: Callable[[N], float] | None) -> Trained:
        """All epochs or steps."""
        started = time.perf_counter()
        losses: list[float] = []
        best = Best(self.plan.patience)
        if self.noise is not None:
            self._private(self.noise)
        while self.steps < self._total and not best.is_over:
            losses.append(self._epoch())
            if validate is not None:
                self.network.eval()
                best.add(validate(self.network), self.network)
        best.restore(self.network)
        self.network.eval()
        seconds = time.perf_counter() - started
        values = (tuple(losses), tuple(best.values))
        return Trained(self.task.num_users, self.steps, *values, seconds, self._moments())

    def remember(self, moments: Mapping[str, AnyArray]) -> None:
        """Undo of `_moments`."""
        for name, parameter in self.network.named_parameters():
            if values := part(moments, name):
                self._optimizer.state[parameter] = {k: torch.from_numpy(np.array(v)) for k, v in values.items()}

    def _moments(self) -> dict[str, AnyArray]:
        """The optimizer's state as arrays, if it is to be kept."""
        if not self.plan.keep_moments:
            return {}
        state = ((name, self._optimizer.state[p]) for name, p in self.network.named_parameters())
        return {f"{name}/{key}": value.numpy().copy() for name, values in state for key, value in values.items()}

    @property
    def _total(self) -> int:
        """Steps of a round that does not end early."""
        return self.plan.steps or self.plan.epochs * len(self.task)

    def _epoch(self) -> float:
        self.network.train()
        loss, targets = 0.0, 0
        for batch in self.task.epoch(self._order):
            if self.steps == self._total:
                break
            loss += self._step(batch) * batch.num_targets
            targets += batch.num_targets
        return loss / targets

    def _private(self, noise: StepTerms) -> None:
        """All steps of a round with noise: so many, whoever was drawn and whatever came of it."""
        with self._private_steps(noise) as steps:
            while self.steps < self._total:
                steps.gradient()
                self._move()
            steps.check_spent()

    def _private_steps(self, noise: StepTerms) -> PrivateSteps:
        from fedrec.models.neural.by_user import UserRanking
        from fedrec.privacy.gradients.steps import PrivateSteps  # opacus, for runs that use it

        users = UserRanking(cast(Ranking, self.task))
        return PrivateSteps(self.network, users, self._optimizer, noise)

    def _move(self) -> None:
        """From a gradient to the next weights."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * self._rate()
        for parameter, anchor in self._anchors:
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - anchor, alpha=self.plan.proximal)
        if self.plan.clip_norm is not None and self.noise is None:
            nn.utils.clip_grad_norm_(self._parameters, self.plan.clip_norm)
        self._optimizer.step()
        self.steps += 1

    def _step(self, batch: Any) -> float:
        self._optimizer.zero_grad()
        loss = self.task.loss(self.network, batch, self._negatives)
        loss.backward()  # type: ignore[no-untyped-call]
        self._move()
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(f"The loss became {value} in step {self.steps}; lower learning_rate or set clip_norm.")
        return value

    def _rate(self) -> float:
        """Share of the learning rate in this step: the schedule runs over all rounds, the warm-up over each."""
        warmth = min(1.0, (self.steps + 1) / (self.plan.warmup_steps + 1))
        done = (self.progress.round - 1 + self.steps / self._total) / self.progress.rounds
        return warmth * scheduled(self.plan.schedule, done)


def _optimizer(parameters: list[nn.Parameter], plan: LocalTraining) -> torch.optim.Optimizer:
    if plan.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay)
    return torch.optim.AdamW(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)


def _anchors(network: nn.Module, private: tuple[str, ...]) -> list[tuple[nn.Parameter, Tensor]]:
    """The shared parameters and what they were when the round began."""
    return [(p, p.detach().clone()) for name, p in network.named_parameters() if name not in private]


def fit(
    model: NeuralModel,
    dataset: Dataset,
    plan: LocalTraining | None = None,
    seed: int = 0,
    items: ItemFeatures | None = None,
) -> Recommender:
    """`model` trained on the rows of one dataset, ready to recommend. items: with content vectors, to use them."""
    histories = dataset.histories()
    features = items or ItemFeatures(dataset.num_items)
    network = model.build(dataset.num_items, features.widths.tolist(), seed)
    train(network, model, LocalRows(histories, features.content), plan or LocalTraining(), Progress(seed))
    counts = np.bincount(histories.items, minlength=dataset.num_items)
    weights = arrays_of(network, tuple(network.state_dict())) | public_weights(features, counts)
    recommender = Recommender(cast(Any, model), weights, dataset.catalogue.item_ids)  # asks for scores and names only
    return recommender.attach(dataset)
