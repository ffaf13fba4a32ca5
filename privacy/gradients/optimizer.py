"""The private optimizer step on Opacus' own: bound each user, add up, noise once, divide by a public number.

The accumulator of a parameter begins as its noise, already divided; bounded gradients are added to it. So a table of
rows costs one pass of the generator and one scatter, and a batch in several parts gets its noise once.
"""

from __future__ import annotations

from typing import Any

import torch
from opacus.optimizers import DPOptimizer
from opacus.optimizers.optimizer import _check_processed_flag, _mark_as_processed
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.privacy.gradients.noise import NoiseSource
from fedrec.privacy.gradients.per_user import PerUser, bounds
from fedrec.privacy.gradients.terms import StepTerms


class NoisyOptimizer(DPOptimizer):  # type: ignore[misc]  # Opacus has no types
    """Leaves in each `grad` the noised sum of bounded gradients over the divisor, when `pre_step` returns True."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, users: PerUser, terms: StepTerms, noise: NoiseSource | None = None
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=terms.multiplier,
            max_grad_norm=terms.clip_norm,
            expected_batch_size=terms.divisor,
        )
        self._users, self._bound, self._divisor = users, terms.clip_norm, terms.divisor
        self._source = noise or NoiseSource()
        self._sums: dict[nn.Parameter, Tensor] = {}
        self.norms: Tensor = torch.empty(0)
        """(rows,) of the last part, before they were bounded. Private."""

    def clip_and_accumulate(self) -> None:
        """Add the users of one part of a batch to the noise."""
        samples = self.grad_samples
        factors, self.norms = bounds(samples, self._bound)
        factors = factors / self._divisor
        for parameter, sample in zip(self.params, samples, strict=True):
            _check_processed_flag(parameter.grad_sample)
            if parameter.summed_grad is None:
                parameter.summed_grad = self._noise_for(parameter)
            if len(sample):
                self._add(parameter, sample, factors)
            _mark_as_processed(parameter.grad_sample)

    def nobody(self) -> None:
        """Stand for a batch without users: the step is noise alone."""
        for parameter in self.params:
            parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))

    def add_noise(self) -> None:
        """The sums began as noise."""
        for parameter in self.params:
            _check_processed_flag(parameter.summed_grad)
            parameter.grad = parameter.summed_grad.view_as(parameter)
            _mark_as_processed(parameter.summed_grad)

    def scale_grad(self) -> None:
        """Noise and gradients were divided before they were added up."""

    def _add(self, parameter: Any, sample: Tensor, factors: Tensor) -> None:
        table = self._users.rows_of(parameter)
        if table is None:
            parameter.summed_grad.view(-1).addmv_(sample.reshape(len(sample), -1).T, factors)
            return
        if table.rows is None or table.rows.shape != sample.shape[:2]:
            raise ModelError("A table has gradients whose rows are not known; the step is not made.")
        bounded = sample * factors[:, None, None]  # in place would change what shares its memory, as biases may
        parameter.summed_grad.index_add_(0, table.rows.reshape(-1), bounded.reshape(-1, sample.shape[-1]))

    def _noise_for(self, parameter: nn.Parameter) -> Tensor:
        """The parameter's accumulator, overwritten with noise."""
        if parameter not in self._sums:
            self._sums[parameter] = torch.empty_like(parameter, requires_grad=False)
        std = self.noise_multiplier * self.max_grad_norm / self._divisor
        filled = self._source.fill(self._sums[parameter], std)
        return filled.view_as(filled)  # an object of its own: Opacus marks it as used
