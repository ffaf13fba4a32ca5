"""The one network that every neural recommender is: an item side, and an encoder of what a user had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from fedrec.errors import ConfigError, ModelError
from fedrec.models.neural.items import ItemVectors
from fedrec.models.neural.plan import LocalTraining
from fedrec.models.protocols import AnyArray

N = TypeVar("N", bound=nn.Module)


class Network(nn.Module):
    """Scores are inner products of a user's state and item vectors, unless `meeting` says otherwise.

    encoder: `encoder(vectors, lengths)` with the vectors (batch, length, dim) of the users' items, oldest first and
    padded at the end, and lengths (batch,); it gives states (batch, length, dim), one after each event and blind to
    later ones, or (batch, 1, dim), one for the whole history. meeting: `meeting(states, vectors)` gives the scores of
    all pairs, shaped as in `score`; the states of its encoder may be of any width.
    """

    def __init__(self, items: ItemVectors, encoder: nn.Module, meeting: nn.Module | None = None) -> None:
        super().__init__()
        self.items, self.encoder, self.meeting = items, encoder, meeting

    def item_vectors(self, content: Tensor | None, ids: Tensor | None, kept: Tensor | None = None) -> Tensor:
        """(..., dim); see `ItemVectors.forward`. The only way to the table of residuals."""
        vectors: Tensor = self.items(content, ids, kept)
        return vectors

    def states(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """States after each event, or one for each user; see `Network`."""
        states: Tensor = self.encoder(vectors, lengths)
        return states

    def encode(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """(batch, dim), each user's state after the whole history, which must not be empty."""
        states = self.states(vectors, lengths)
        if states.shape[1] == 1:
            return states[:, 0]
        return states[torch.arange(len(states)), lengths - 1]

    def score(self, states: Tensor, vectors: Tensor) -> Tensor:
        """(..., n, m) scores of every state (..., n, width) with every item vector (..., m, dim).

        Vectors of two dimensions are a catalogue for all states; what is made on the way is bounded, too.
        """
        if self.meeting is None:
            return states @ vectors.transpose(-1, -2)
        scores: Tensor = self.meeting(states, vectors)
        return scores

    def score_pairs(self, states: Tensor, vectors: Tensor) -> Tensor:
        """(batch, m) scores of states (batch, m or 1, width), each with its own item vector (batch, m, dim)."""
        if self.meeting is None:
            return (states * vectors).sum(-1)
        return self.score(states[:, :, None], vectors[:, :, None])[..., 0, 0]


def freeze(network: nn.Module, plan: LocalTraining) -> None:
    """Leave out of training what the plan freezes. Raises ConfigError if that is nothing that is there, or all."""
    names = [name for name, _ in network.named_parameters()]
    kept = [name for name in names if not plan.freezes(name)]
    if plan.freeze and len(kept) in (0, len(names)):
        raise ConfigError(f"Expected freeze={plan.freeze!r} to name some of the parameters {', '.join(sorted(names))}.")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in kept)


@runtime_checkable
class Resettable(Protocol):
    """A module that draws its own first parameters."""

    def reset(self, generator: torch.Generator) -> None:
        """Overwrite all parameters that are this module's own."""
        ...


def construct(make: Callable[[], N], generator: torch.Generator) -> N:
    """`make()` with parameters drawn from `generator` and from nothing else."""
    with torch.device("meta"):  # torch's layers would draw from the global generator
        network = make()
    network.to_empty(device="cpu")
    for module in network.modules():
        _reset(module, generator)
    return network


def _reset(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, Resettable):
        module.reset(generator)
    elif isinstance(module, nn.Linear | nn.Conv1d):
        nn.init.xavier_uniform_(module.weight, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.GRU):
        bound = module.hidden_size**-0.5
        for parameter in module.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    elif next(module.parameters(recurse=False), None) is not None:
        raise ModelError(f"Nothing says how a {type(module).__name__} begins; give it a method reset(generator).")


def arrays_of(network: nn.Module, names: tuple[str, ...]) -> dict[str, AnyArray]:
    """Copies of the parameters `names`."""
    state = network.state_dict()
    return {name: state[name].numpy().copy() for name in names}


def put_arrays(network: nn.Module, arrays: Mapping[str, AnyArray]) -> None:
    """Overwrite the parameters that `arrays` names. Raises ModelError for an unknown name or another shape."""
    state = network.state_dict()
    for name, value in arrays.items():
        if name not in state or tuple(state[name].shape) != value.shape:
            known = f"expected shape {tuple(state[name].shape)}" if name in state else "no such parameter"
            raise ModelError(
                f"Cannot set '{name}' of shape {value.shape}: {known}; build the network from its weights."
            )
        state[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
