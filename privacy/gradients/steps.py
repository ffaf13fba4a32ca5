"""Private steps over the users of one client: draw, bound, noise. What leaves this module in a `grad` is private.

Protected is each user: all that a user adds to a step is bounded together, and noise of that bound is on the sum. From
whom: whoever sees the weights after any step, and knows the data of all other users and the instruction. Not protected:
what the process itself keeps, such as losses and norms, which must not leave it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.accountants import RDPAccountant
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.privacy.gradients.guards import Part
from fedrec.privacy.gradients.noise import NoiseSource
from fedrec.privacy.gradients.optimizer import NoisyOptimizer
from fedrec.privacy.gradients.passes import Passes
from fedrec.privacy.gradients.sampling import drawn, secret_seed
from fedrec.privacy.gradients.terms import StepTerms
from fedrec.privacy.noise import Keystream


class UserTask(Protocol):
    """What is learnt, user by user."""

    @property
    def num_users(self) -> int:
        """Users who may be drawn."""
        ...

    @property
    def rehearsed(self) -> bool:
        """Whether the network and the loss were tried on made-up users; else the first real ones are looked at."""
        ...

    def parts(self, chosen: NDArray[np.int64], rows: int, generator: torch.Generator) -> Iterator[Part]:
        """The users at positions `chosen` in parts of so many rows and one shape, whoever they are."""
        ...


@dataclass(frozen=True)
class Secrets:
    """Where the randomness of private training comes from: the operating system, but in tests."""

    noise: NoiseSource = field(default_factory=NoiseSource)
    sampling: Keystream = field(default_factory=Keystream)


class PrivateSteps:
    """The steps of one round. Use as a context: outside of it the network is an ordinary one.

    optimizer: its parameters get the gradients; stepping it is the caller's. Raises ModelError for a network, or a
    loss, of which one user's part cannot be bounded.
    """

    def __init__(
        self,
        network: nn.Module,
        task: UserTask,
        optimizer: torch.optim.Optimizer,
        terms: StepTerms,
        secrets: Secrets | None = None,
    ) -> None:
        self._task, self._terms = task, terms
        self._secrets = secrets or Secrets()
        self._passes = Passes(network, task.rehearsed)
        self._noisy = NoisyOptimizer(optimizer, self._passes.users, terms, self._secrets.noise)
        self._accountant = RDPAccountant()
        self._noisy.attach_step_hook(self._accountant.get_optimizer_hook_fn(terms.rate))
        self._generator = torch.Generator().manual_seed(secret_seed(self._secrets.sampling))

    def __enter__(self) -> PrivateSteps:
        self._passes.begin(self._generator)
        return self

    def __exit__(self, *error: object) -> None:
        self._passes.end()

    @property
    def norms(self) -> Tensor:
        """(rows,) of the last part, before they were bounded; 0 of rows that are made up. Private."""
        return self._noisy.norms

    def gradient(self) -> None:
        """Draw the users of a step and leave its noised mean gradient in each parameter's `grad`."""
        chosen = drawn(self._task.num_users, self._terms.rate, self._secrets.sampling)
        rows = self._passes.users.rows(self._terms.divisor)
        self.gradient_of(list(self._task.parts(chosen, rows, self._generator)))

    def gradient_of(self, parts: list[Part]) -> None:
        """The same for users who are given in parts. No part: noise alone."""
        for index, part in enumerate(parts):
            self._passes.run(part, self._forget)
            self._noisy.signal_skip_step(index + 1 < len(parts))
            self._noisy.pre_step()
        if not parts:
            self._forget()
            self._noisy.nobody()
            self._noisy.pre_step()

    def check_spent(self) -> None:
        """Raises ModelError unless the steps that were made are those of the terms, by Opacus' own accountant."""
        terms = self._terms
        if self._accountant.history != [(terms.multiplier, terms.rate, terms.steps)]:
            raise ModelError("The steps that were made are not those that were accounted for; nothing is released.")

    def _forget(self) -> None:
        self._noisy.zero_grad(set_to_none=True)
