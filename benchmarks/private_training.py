"""One training step of a recommender in several ways: plain, private as this package does it, and by stock Opacus.

All ways have the same users, negatives, losses and optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedrec.data.histories import Histories
from fedrec.models.neural import MF, GRU4Rec, Network, NeuralModel, SASRec
from fedrec.models.neural.batches import Batches
from fedrec.models.neural.by_user import UserBatch, UserRanking
from fedrec.models.neural.items import RowEmbedding
from fedrec.models.neural.objectives import Catalogue, Ranking
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.randomness import seed_dropout, stream
from fedrec.privacy.gradients.steps import PrivateSteps
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.rng import derive

LENGTH, NEGATIVES, CLIP_NORM = 50, 128, 0.5
MODELS: dict[str, NeuralModel] = {
    "MF": MF(max_length=LENGTH),
    "GRU": GRU4Rec(max_length=LENGTH),
    "SASRec": SASRec(max_length=LENGTH),
}
Step = Callable[[], object]


@dataclass(frozen=True)
class Size:
    """items: of the catalogue. users: of a step."""

    items: int
    users: int = 256


class Training:
    """A recommender and the users of a step."""

    def __init__(self, name: str, size: Size) -> None:
        model = MODELS[name]
        self.size, plan = size, LocalTraining(loss="sampled_softmax", negatives=NEGATIVES)
        self.network: Network = model.build(size.items, 0, seed=0)
        batches = Batches(_histories(size), model.objective, LENGTH, size.users)
        self.ranking = Ranking(Catalogue(torch.arange(size.items), None), batches, plan, ())
        self.generator = stream(0, "benchmark")
        seed_dropout(self.network, self.generator)

    def optimizer(self) -> torch.optim.Optimizer:
        """The same for all ways."""
        return torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=0.0, fused=True)

    def part(self) -> UserBatch:
        """All users."""
        users = np.arange(self.size.users)
        (whole,) = UserRanking(self.ranking).parts(users, self.size.users, self.generator)
        return whole


def plain(training: Training) -> Step:
    """Without privacy."""
    optimizer = training.optimizer()
    training.network.train()

    def step() -> None:
        optimizer.zero_grad()
        training.part().losses(training.network).mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(training.network.parameters(), 5.0)
        optimizer.step()

    return step


def private(training: Training) -> Step:
    """As this package trains. Everyone is drawn, so that the step is as long as the plain one."""
    optimizer = training.optimizer()
    terms = StepTerms(1.0, CLIP_NORM, 1.0, training.size.users, 1)
    steps = PrivateSteps(training.network, UserRanking(training.ranking), optimizer, terms)
    steps.__enter__()

    def step() -> None:
        steps.gradient()
        optimizer.step()

    return step


def hooks(training: Training) -> Step:
    """By stock Opacus, gradients of users in full."""
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer

    _make_stock(training.network)
    module = GradSampleModule(training.network, loss_reduction="sum")
    optimizer = DPOptimizer(training.optimizer(), **_terms(training))

    def step() -> None:
        optimizer.zero_grad()
        training.part().losses(training.network).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    module.train()
    return step


def ghost(training: Training) -> Step:
    """By stock Opacus, norms first and then a second way back."""
    clipping = Ghost(training)

    def step() -> None:
        clipping.backward(training.part().losses(training.network))
        clipping.optimizer.step()

    return step


class Ghost:
    """Opacus' ghost clipping of a network."""

    def __init__(self, training: Training) -> None:
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizerFastGradientClipping

        _make_stock(training.network)
        kind: Any = GradSampleModuleFastGradientClipping
        self.module = kind(training.network, loss_reduction="sum", max_grad_norm=CLIP_NORM)
        self.optimizer = DPOptimizerFastGradientClipping(training.optimizer(), **_terms(training))
        self.module.train()

    def backward(self, losses: Tensor) -> Tensor:
        """Both ways back; (batch,) the norms that it found."""
        from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

        self.optimizer.zero_grad()
        DPTensorFastGradientClipping(self.module, self.optimizer, losses, "sum").backward()
        norms: Tensor = self.module.per_sample_gradient_norms
        return norms


WAYS: dict[str, Callable[[Training], Step]] = {"plain": plain, "private": private, "hooks": hooks, "ghost": ghost}


def _terms(training: Training) -> dict[str, Any]:
    users = training.size.users
    return {"noise_multiplier": 1.0, "max_grad_norm": CLIP_NORM, "expected_batch_size": users, "loss_reduction": "sum"}


def _make_stock(network: nn.Module) -> None:
    """Opacus' own layers, with the weights that are there."""
    from opacus.layers import DPGRU

    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, RowEmbedding):
                table = nn.Embedding(child.weight.shape[0], child.weight.shape[1], _weight=child.weight.detach())
                table.register_forward_pre_hook(lambda module, ids: (ids[0].contiguous(),))  # ghost mode views them
                setattr(parent, name, table)
            elif isinstance(child, nn.GRU):
                unit = DPGRU(child.input_size, child.hidden_size, child.num_layers, batch_first=True)
                unit.load_state_dict(child.state_dict())
                setattr(parent, name, unit)


def _histories(size: Size) -> Histories:
    """Of 6 to 51 events, popular items more often."""
    rng = derive(0, "benchmark", size.items)
    lengths = rng.integers(6, LENGTH + 2, size.users)
    rows = [(rng.random(int(n)) ** 3 * (size.items - 1)).astype(np.int64).tolist() for n in lengths]
    return Histories.from_lists(rows, size.items)


def main(way: str, name: str, items: int, users: int) -> None:
    """Three steps, for a process of its own that is charged for their memory."""
    torch.set_num_threads(1)
    step = WAYS[way](Training(name, Size(items, users)))
    for _ in range(3):
        step()
