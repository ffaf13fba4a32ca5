"""Gradients of each user through Opacus' hooks, with stand-ins for the layers that Opacus cannot do justice to.

While training is private a table of rows and a recurrent unit are replaced by modules of the same parameters, under the
same names; afterwards the network is what it was. Private attributes of Opacus 1.6 are used here and in `optimizer`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from opacus.grad_sample import GradSampleModule
from opacus.grad_sample.functorch import ft_compute_per_sample_gradient
from opacus.grad_sample.grad_sample_module import promote_current_grad_sample
from opacus.utils.module_utils import trainable_parameters
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.models.neural.items import RowEmbedding
from fedrec.privacy.gradients.recurrence import UserRecurrence, recurrence_gradients
from fedrec.privacy.gradients.rows import UserRows, row_gradients
from fedrec.privacy.gradients.terms import MOST_USERS, rows_for

STAND_INS: dict[type[nn.Module], Callable[[Any], nn.Module]] = {RowEmbedding: UserRows, nn.GRU: UserRecurrence}
MIXING = (nn.modules.batchnorm._BatchNorm,)
WITHOUT_GRADIENTS = (nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.MultiheadAttention)
"""Layers of torch whose gradients would be dense for each user, or wrong."""
MOST_VALUES = 1 << 25
"""Numbers in the gradients of one part of a batch (128 MB) but for the few rows of tables."""


class _Samplers(GradSampleModule):  # type: ignore[misc]  # Opacus has no types
    """Opacus' module with samplers of its own: nothing is registered for others in this process."""

    GRAD_SAMPLERS = {  # noqa: RUF012  # as in the class that it extends
        **GradSampleModule.GRAD_SAMPLERS,
        UserRows: row_gradients,
        UserRecurrence: recurrence_gradients,
    }

    def capture_backprops_hook(
        self, module: Any, _forward_input: Any, forward_output: Any, loss_reduction: str, batch_first: bool
    ) -> None:
        """As in the class that it extends, without a copy of each gradient; a layer's several uses are added up."""
        activations, backprops = self.rearrange_grad_samples(
            module=module, backprops=forward_output[0].detach(), loss_reduction=loss_reduction, batch_first=batch_first
        )
        sampler = self.GRAD_SAMPLERS.get(type(module), ft_compute_per_sample_gradient)
        for parameter, sample in sampler(module, activations, backprops).items():
            if parameter.requires_grad:
                earlier = getattr(parameter, "_current_grad_sample", None)
                parameter._current_grad_sample = sample if earlier is None else earlier + sample
        for _, parameter in trainable_parameters(module):
            parameter._forward_counter -= 1
            if parameter._forward_counter == 0:
                promote_current_grad_sample(parameter)
        if not module.activations:
            del module.max_batch_len


class PerUser:
    """A network whose parameters get the gradient of each user. Raises ModelError for one that mixes users."""

    def __init__(self, network: nn.Module) -> None:
        check_layers(network)
        self._network = network
        self._places = list(_places(network))
        self._hooks: _Samplers | None = None
        self.tables: list[UserRows] = []

    def attach(self) -> None:
        """Put the stand-ins and hooks in."""
        stand_ins = [(parent, name, STAND_INS[type(layer)](layer)) for parent, name, layer in self._places]
        for parent, name, module in stand_ins:
            setattr(parent, name, module)
        self.tables = [module for _, _, module in stand_ins if isinstance(module, UserRows)]
        self._hooks = _Samplers(self._network, loss_reduction="sum")

    def detach(self) -> None:
        """Make the network what it was."""
        if self._hooks is not None:
            self._hooks.to_standard_module()
            self._hooks = None
        for parent, name, layer in self._places:
            setattr(parent, name, layer)
        for parameter in self._network.parameters():
            for attribute in ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample"):
                if hasattr(parameter, attribute):
                    delattr(parameter, attribute)

    def forget(self) -> None:
        """Forget the last step's lookups."""
        for table in self.tables:
            table.forget()

    def forget_gradients(self) -> None:
        """Forget those of the part before, of each user and of all."""
        for parameter in self._network.parameters():
            parameter.grad = None
            parameter.grad_sample = None  # type: ignore[attr-defined]  # Opacus leaves gradients of users here

    @property
    def dense_values(self) -> int:
        """Numbers in one user's gradient without the rows of tables."""
        tables = {id(layer.weight) for _, _, layer in self._places if isinstance(layer, RowEmbedding)}
        return sum(p.numel() for p in self._network.parameters() if p.requires_grad and id(p) not in tables)

    def rows(self, expected: int) -> int:
        """Rows of every part of a step of so many expected users."""
        return rows_for(expected, min(MOST_USERS, MOST_VALUES // max(1, self.dense_values)))

    def check_gradients(self) -> None:
        """Raises ModelError where a parameter has no gradients per user, or a table has one that is not per user."""
        for name, parameter in self._network.named_parameters():
            if parameter.requires_grad and sample_of(parameter) is None:
                raise ModelError(f"'{name}' has no gradient per user; it is used outside its layer, or not at all.")
        if any(table.weight.grad is not None for table in self.tables):
            raise ModelError("A table is used other than by its one lookup, and that part of a gradient has no bound.")

    def silence(self, users: int) -> None:
        """Overwrite the gradients of all rows but the first so many with 0: those are made up."""
        for parameter in self._network.parameters():
            sample = sample_of(parameter)
            if sample is not None:
                sample[users:] = 0.0

    def sums(self) -> dict[str, Tensor]:
        """The gradients of users added up, by parameter."""
        found = {}
        for name, parameter in self._network.named_parameters():
            table, sample = self.rows_of(parameter), sample_of(parameter)
            if sample is not None:
                found[name] = sample.sum(0) if table is None else table.total(sample)
        return found

    def norms(self) -> Tensor:
        """(batch,) of the gradient of each user, all parameters together."""
        samples = [sample for p in self._network.parameters() if (sample := sample_of(p)) is not None]
        return torch.stack([square_norms(sample) for sample in samples]).sum(0).sqrt()

    def rows_of(self, parameter: nn.Parameter) -> UserRows | None:
        """The table that a parameter is the weight of."""
        return next((table for table in self.tables if table.weight is parameter), None)


def sample_of(parameter: nn.Parameter) -> Tensor | None:
    """(batch, ...) the gradient of each user's loss, where Opacus leaves it."""
    sample: Tensor | None = getattr(parameter, "grad_sample", None)
    return sample


def square_norms(sample: Tensor) -> Tensor:
    """(batch,) in one pass over the gradient of each user."""
    flat = sample.reshape(len(sample), sample.numel() // max(1, len(sample)))
    norms: Tensor = torch.linalg.vector_norm(flat, dim=1)
    return norms.square_()


def bounds(samples: Sequence[Tensor], bound: float) -> tuple[Tensor, Tensor]:
    """What scales each user's gradient, all parameters together, to a norm of at most `bound`, and its norm: (batch,)
    each. A gradient that is infinite or no number is overwritten with 0."""
    squares = torch.stack([square_norms(sample) for sample in samples]).sum(0)
    finite = squares.isfinite()
    if not bool(finite.all()):
        for sample in samples:
            sample[~finite] = 0.0
        squares = squares.where(finite, 0.0)
    norms = squares.sqrt()
    factors = bound / norms.clamp(min=torch.finfo(squares.dtype).tiny)
    return factors.clamp(max=1.0), norms


def zero_beyond(samples: Sequence[Tensor], bound: float) -> None:
    """Overwrite with 0, in place, each user whose samples all together are longer than `bound`, or no numbers: what was
    bounded is looked at again where a number that was too small, or too large, for its format would break the bound."""
    squares = torch.stack([square_norms(sample) for sample in samples]).sum(0)
    beyond = ~(squares <= bound * bound)
    if bool(beyond.any()):
        for sample in samples:
            sample[beyond] = 0.0


def check_layers(network: nn.Module) -> None:
    """Raises ModelError, with the reason, for layers through which one user changes what another one adds."""
    for name, module in network.named_modules():
        if isinstance(module, MIXING):
            raise ModelError(f"'{name}' normalises over users, so each user changes all gradients; use a LayerNorm.")
        own = list(module.parameters(recurse=False))
        if own and list(module.buffers(recurse=False)):
            raise ModelError(f"'{name}' learns from users outside of its gradient (a buffer); leave that out.")
        if isinstance(module, WITHOUT_GRADIENTS) and type(module) not in STAND_INS:
            raise ModelError(f"'{name}' is a {type(module).__name__}, whose gradients per user are not bounded here.")


def _places(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Parent, name and layer of everything that has a stand-in. Raises ModelError for parameters in two places."""
    owners = Counter(id(own) for module in network.modules() for own in module.parameters(recurse=False))
    places = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if type(child) in STAND_INS
    ]
    if max(owners.values(), default=0) > 1 or len({id(layer) for _, _, layer in places}) < len(places):
        raise ModelError("Layers share a parameter, so a user's gradients would be counted apart; use one layer once.")
    yield from places
