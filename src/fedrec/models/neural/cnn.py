"""Causal dilated convolutions over a history (NextItNet: Yuan et al., WSDM 2019), normed by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from fedrec.models import validate
from fedrec.models.neural.items import ContentDim
from fedrec.models.neural.network import Network, construct
from fedrec.models.neural.protocol import NeuralModel, Objective, check_common, check_rate, item_side
from fedrec.models.neural.randomness import Dropout, stream


@dataclass(frozen=True)
class CNN(NeuralModel):
    """`blocks` residual pairs of convolutions of width `kernel`, dilated by 1, 2, 4, ...; each state sees
    1 + 2 (kernel - 1) (2 ** blocks - 1) events or fewer."""

    dim: int = 64
    blocks: int = 3
    kernel: int = 3
    max_length: int = 200
    dropout: float = 0.2
    residual: str = "shared"
    fusion: str = "sum"

    name: ClassVar[str] = "cnn"
    objective: ClassVar[Objective] = "next"

    def __post_init__(self) -> None:
        check_common(self)
        for name in ("blocks", "kernel"):
            validate.whole(name, getattr(self, name))
        check_rate("dropout", self.dropout)

    def build(self, num_items: int, content_dim: ContentDim, seed: int) -> Network:
        """See `NeuralModel.build`."""
        generator = stream(seed, "build", self.name)
        return construct(lambda: Network(item_side(self, num_items, content_dim), _Convolutions(self)), generator)


class _Convolutions(nn.Module):
    def __init__(self, model: CNN) -> None:
        super().__init__()
        self.scale = model.dim**0.5
        self.dropout = Dropout(model.dropout)
        self.blocks = nn.ModuleList(_Pair(model, 2**index) for index in range(model.blocks))
        self.norm = nn.LayerNorm(model.dim)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Padding is at the end, and convolutions look back only."""
        states = self.dropout(vectors * self.scale)
        for block in self.blocks:
            states = block(states)
        normed: Tensor = self.norm(states)
        return normed


class _Pair(nn.Module):
    """Two convolutions of one dilation around which the states also pass unchanged."""

    def __init__(self, model: CNN, dilation: int) -> None:
        super().__init__()
        self.reach = (model.kernel - 1) * dilation
        self.norms = nn.ModuleList(nn.LayerNorm(model.dim) for _ in range(2))
        self.layers = nn.ModuleList(nn.Conv1d(model.dim, model.dim, model.kernel, dilation=dilation) for _ in range(2))
        self.dropout = Dropout(model.dropout)

    def forward(self, states: Tensor) -> Tensor:
        seen = states
        for norm, layer in zip(self.norms, self.layers, strict=True):
            past = pad(torch.relu(norm(seen)).transpose(1, 2), (self.reach, 0))
            seen = layer(past).transpose(1, 2)
        joined: Tensor = states + self.dropout(seen)
        return joined
