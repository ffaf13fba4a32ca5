"""The sum of one step's bounded gradients over the users of one client, without noise: private until it is released.

What a user adds to the vector is bounded exactly, in whole steps of the grid; a change of the vector by one user is
within the bound of its block. Everything that is drawn comes from secret randomness, see `sampling`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fedrec.contribution import Contribution, Float64Array
from fedrec.errors import ModelError
from fedrec.privacy.gradients.passes import Passes
from fedrec.privacy.gradients.per_user import bounds, sample_of, zero_beyond
from fedrec.privacy.gradients.sampling import drawn, secret_seed
from fedrec.privacy.gradients.steps import UserTask
from fedrec.privacy.gradients.summed import SUM, SumTerms
from fedrec.privacy.noise import Keystream

SLACK = 1 - 2.0**-10
"""Of the bound: room for the rounding of norms of 32-bit numbers."""


class BoundedSum:
    """One step over the users of `task`. names: the parameters in the order of the sum; all that are trained.

    Raises ModelError for a network, or a loss, of which one user's part cannot be bounded.
    """

    def __init__(
        self,
        network: nn.Module,
        task: UserTask,
        names: Sequence[str],
        terms: SumTerms,
        sampling: Keystream | None = None,
    ) -> None:
        trained = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
        if sorted(names) != sorted(trained):
            raise ModelError(f"Expected the sum over all trained parameters, {sorted(trained)}, got {sorted(names)}.")
        self._task, self._terms, self._stream = task, terms, sampling or Keystream()
        self._generator = torch.Generator().manual_seed(secret_seed(self._stream))
        self._passes = Passes(network, task.rehearsed)
        self._parameters = [trained[name] for name in names]
        self._sums = [torch.zeros(parameter.shape, dtype=torch.float64) for parameter in self._parameters]
        self._votes = 0.0

    def contribution(self) -> Contribution:
        """Draw the users and add them up."""
        chosen = drawn(self._task.num_users, self._terms.rate, self._stream)
        self._passes.begin(self._generator)
        try:
            rows = self._passes.users.rows(self._terms.divisor)
            for part in self._task.parts(chosen, rows, self._generator):
                self._passes.run(part, self._passes.users.forget_gradients)
                self._add(len(part))
        finally:
            self._passes.end()
        return self._summed(len(chosen))

    def _add(self, users: int) -> None:
        """The users of one part, each on the grid, and no votes of rows that are made up."""
        samples = [self._sample(parameter) for parameter in self._parameters]
        factors, norms = bounds(samples, self._terms.clip_norm * SLACK)
        scale = factors / self._terms.step
        steps = [(sample * scale.view(-1, *[1] * (sample.dim() - 1))).trunc_() for sample in samples]
        zero_beyond(steps, self._terms.clip_norm / self._terms.step)
        for parameter, part, total in zip(self._parameters, steps, self._sums, strict=True):
            table = self._passes.users.rows_of(parameter)
            total += part.sum(0) if table is None else table.total(part)
        below = int((norms[:users] <= self._terms.clip_norm).sum())
        self._votes += below * self._vote(True) + (users - below) * self._vote(False)

    def _vote(self, is_below: bool) -> float:
        """In whole steps of the grid."""
        return float(np.trunc(self._terms.vote(is_below) / self._terms.step))

    def _sample(self, parameter: nn.Parameter) -> Tensor:
        sample = sample_of(parameter)
        if sample is None:
            raise ModelError("A parameter has no gradient per user; the step is not made.")
        return sample

    def _summed(self, users: int) -> Contribution:
        """The vector, cut off where no honest sum would be: that moves two sums no farther apart."""
        parts: list[Float64Array] = [total.numpy().reshape(-1) for total in self._sums]
        if self._terms.quantile is not None:
            parts.append(np.array([self._votes]))
        size = sum(parameter.numel() for parameter in self._parameters)
        counted = max(1, min(users, self._terms.most_users))
        limit = np.floor(counted * self._terms.user_l2 / self._terms.step)
        values = np.clip(np.concatenate(parts), -limit, limit) * self._terms.step
        return Contribution(self._terms.layout(size), {SUM: values}, counted)
