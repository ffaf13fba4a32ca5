"""Small private trainings whose gradients a slow twin can make user by user."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedrec.data.histories import Histories
from fedrec.models.neural import Network, NeuralModel
from fedrec.models.neural.batches import Batches
from fedrec.models.neural.by_user import UserBatch, UserRanking
from fedrec.models.neural.objectives import Catalogue, Ranking
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.neural.randomness import stream
from fedrec.privacy.gradients.noise import NoiseSource
from fedrec.privacy.gradients.steps import PrivateSteps, Secrets
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.privacy.noise import Keystream
from fedrec.rng import derive
from tests.models.neural.worlds import NUM_ITEMS

SILENT = 1e-20
"""A multiplier so small that the noise is lost in the rounding of any gradient."""
PLAN = LocalTraining(loss="sampled_softmax", negatives=6, optimizer="sgd", learning_rate=1.0)
CONTENT = torch.from_numpy(derive(0, "content").standard_normal((NUM_ITEMS, 5)))


def histories(num_users: int = 9, seed: int = 0) -> Histories:
    """Of lengths 2 to 9, with items that occur more than once."""
    rng = derive(seed, "histories")
    return Histories.from_lists(
        [rng.integers(NUM_ITEMS, size=2 + user % 8).tolist() for user in range(num_users)], NUM_ITEMS
    )


def terms(**changes: Any) -> StepTerms:
    return replace(StepTerms(rate=1.0, clip_norm=0.05, multiplier=SILENT, divisor=4, steps=1), **changes)


def secrets(seed: int = 0) -> Secrets:
    keys = [bytes([seed, use]) * 16 for use in range(2)]
    return Secrets(NoiseSource(keys[0]), Keystream(keys[1]))


class World:
    """A recommender, some users of a step, and the private steps over them."""

    def __init__(
        self, model: NeuralModel, dtype: torch.dtype = torch.float64, content: bool = False, **changes: Any
    ) -> None:
        self.network: Network = model.build(NUM_ITEMS, CONTENT.shape[1] if content else 0, 0).to(dtype)
        plan = replace(PLAN, item_dropout=0.5) if content else PLAN
        catalogue = Catalogue(torch.arange(NUM_ITEMS), CONTENT.to(dtype) if content else None)
        batches = Batches(histories(), model.objective, model.max_length, 4)
        self.task = UserRanking(Ranking(catalogue, batches, plan, model.private))
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1.0)
        self.terms = terms(**changes)
        self.steps = PrivateSteps(self.network, self.task, self.optimizer, self.terms, secrets())

    def parts(self, most: int = 100) -> list[UserBatch]:
        """All users, with the same negatives however they are cut."""
        (whole,) = self.task.parts(np.arange(self.task.num_users), 100, stream(0, "parts"))
        return [whole.some(slice(start, start + most)) for start in range(0, len(whole), most)]

    def gradient(self, parts: list[UserBatch]) -> dict[str, Tensor]:
        """Of one step."""
        with self.steps:
            self.steps.gradient_of(list(parts))
        return {name: parameter.grad.clone() for name, parameter in self.network.named_parameters()}


def twin(network: Network, part: UserBatch, terms: StepTerms) -> tuple[dict[str, Tensor], Tensor]:
    """The sum of bounded gradients over the divisor, and the norms: one backward pass for each user."""
    named = dict(network.named_parameters())
    sums = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    norms = []
    for user in range(len(part)):
        loss = part.some(slice(user, user + 1)).losses(network).sum()
        gradients = torch.autograd.grad(loss, list(named.values()))
        norms.append(torch.sqrt(sum((gradient**2).sum() for gradient in gradients)))
        factor = min(1.0, terms.clip_norm / float(norms[-1])) / terms.divisor
        for name, gradient in zip(named, gradients, strict=True):
            sums[name] += factor * gradient
    return sums, torch.stack(norms)
