"""A gated recurrent unit over a history (GRU4Rec: Hidasi et al., ICLR 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from fedrec.models import validate
from fedrec.models.neural.items import ContentDim
from fedrec.models.neural.network import Network, construct
from fedrec.models.neural.protocol import NeuralModel, Objective, check_common, check_rate, item_side
from fedrec.models.neural.randomness import Dropout, stream


@dataclass(frozen=True)
class GRU4Rec(NeuralModel):
    """`layers` recurrent layers of `hidden` units over the newest `max_length` events."""

    dim: int = 64
    hidden: int = 128
    layers: int = 1
    max_length: int = 200
    dropout: float = 0.2
    residual: str = "shared"
    fusion: str = "sum"

    name: ClassVar[str] = "gru"
    objective: ClassVar[Objective] = "next"

    def __post_init__(self) -> None:
        check_common(self)
        for name in ("hidden", "layers"):
            validate.whole(name, getattr(self, name))
        check_rate("dropout", self.dropout)

    def build(self, num_items: int, content_dim: ContentDim, seed: int) -> Network:
        """See `NeuralModel.build`."""
        generator = stream(seed, "build", self.name)
        return construct(lambda: Network(item_side(self, num_items, content_dim), _Recurrent(self)), generator)


class _Recurrent(nn.Module):
    def __init__(self, model: GRU4Rec) -> None:
        super().__init__()
        self.scale = model.dim**0.5
        self.recurrence = nn.GRU(model.dim, model.hidden, model.layers, batch_first=True)
        self.join, self.norm = nn.Linear(model.hidden, model.dim), nn.LayerNorm(model.dim)
        self.dropout = Dropout(model.dropout)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Padding is at the end, after every state that is used."""
        hidden, _ = self.recurrence(self.dropout(vectors * self.scale))
        states: Tensor = self.norm(self.join(self.dropout(hidden)))
        return states
