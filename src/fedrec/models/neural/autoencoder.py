"""A denoising autoencoder of histories (Mult-DAE: Liang et al., WWW 2018) that begins and ends with the items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedrec.models import validate
from fedrec.models.neural.items import ContentDim
from fedrec.models.neural.network import Network, construct
from fedrec.models.neural.protocol import NeuralModel, Objective, check_common, check_rate, item_side
from fedrec.models.neural.randomness import Dropout, stream


@dataclass(frozen=True)
class Autoencoder(NeuralModel):
    """The sum of a history's item vectors over the root of its length, through one hidden layer of `hidden` units.

    dropout: share of the events that are left out of a training input. residual, fusion: see
    `fedrec.models.neural.items`.
    """

    dim: int = 64
    hidden: int = 256
    max_length: int = 200
    dropout: float = 0.5
    residual: str = "shared"
    fusion: str = "sum"

    name: ClassVar[str] = "autoencoder"
    objective: ClassVar[Objective] = "rest"

    def __post_init__(self) -> None:
        check_common(self)
        validate.whole("hidden", self.hidden)
        check_rate("dropout", self.dropout)

    def build(self, num_items: int, content_dim: ContentDim, seed: int) -> Network:
        """See `NeuralModel.build`."""
        generator = stream(seed, "build", self.name)
        return construct(lambda: Network(item_side(self, num_items, content_dim), _Bottleneck(self)), generator)


class _Bottleneck(nn.Module):
    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.scale = model.dim**0.5
        self.dropout = Dropout(model.dropout)
        self.widen, self.narrow = nn.Linear(model.dim, model.hidden), nn.Linear(model.hidden, model.dim)
        self.norm = nn.LayerNorm(model.dim)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """(batch, 1, dim); padding counts nothing."""
        there = (torch.arange(vectors.shape[1]) < lengths[:, None]).to(vectors.dtype)
        events = self.dropout(there)[..., None] * vectors * self.scale
        bag = events.sum(1) / lengths.to(vectors.dtype).sqrt()[:, None]
        state: Tensor = self.norm(bag + self.narrow(torch.tanh(self.widen(bag))))
        return state[:, None]
