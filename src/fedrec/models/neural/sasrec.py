"""Self-attention over a history (SASRec: Kang, McAuley, ICDM 2018), with pre-norm blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fedrec.errors import ConfigError
from fedrec.models import validate
from fedrec.models.neural.items import ContentDim, RowEmbedding
from fedrec.models.neural.network import Network, construct
from fedrec.models.neural.protocol import NeuralModel, Objective, check_common, check_rate, item_side
from fedrec.models.neural.randomness import Dropout, stream


@dataclass(frozen=True)
class SASRec(NeuralModel):
    """`blocks` causal blocks of `heads` heads over the newest `max_length` events.

    expansion: width of the feed-forward layer over `dim`. residual, fusion: see
    `fedrec.models.neural.items`.
    """

    dim: int = 64
    blocks: int = 2
    heads: int = 2
    expansion: int = 4
    max_length: int = 200
    dropout: float = 0.2
    residual: str = "shared"
    fusion: str = "sum"

    name: ClassVar[str] = "sasrec"
    objective: ClassVar[Objective] = "next"

    def __post_init__(self) -> None:
        check_common(self)
        for name in ("blocks", "heads", "expansion"):
            validate.whole(name, getattr(self, name))
        check_rate("dropout", self.dropout)
        if self.dim % self.heads:
            raise ConfigError(f"Expected dim={self.dim} to be a multiple of heads={self.heads}.")

    def build(self, num_items: int, content_dim: ContentDim, seed: int) -> Network:
        """See `NeuralModel.build`."""
        generator = stream(seed, "build", self.name)
        return construct(lambda: Network(item_side(self, num_items, content_dim), _Attention(self)), generator)


class _Attention(nn.Module):
    def __init__(self, model: SASRec) -> None:
        super().__init__()
        self.scale = model.dim**0.5
        self.positions = RowEmbedding(model.max_length, model.dim)
        self.dropout = Dropout(model.dropout)
        self.blocks = nn.ModuleList(_Block(model) for _ in range(model.blocks))
        self.norm = nn.LayerNorm(model.dim)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Padding is at the end, where a causal mask hides it from every state that is used."""
        batch, length, _ = vectors.shape
        places = torch.arange(length).expand(batch, length)
        states = self.dropout(vectors * self.scale + self.positions(places))
        for block in self.blocks:
            states = block(states)
        normed: Tensor = self.norm(states)
        return normed


class _Block(nn.Module):
    def __init__(self, model: SASRec) -> None:
        super().__init__()
        dim, wide = model.dim, model.expansion * model.dim
        self.heads = model.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attend, self.join = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.widen, self.narrow = nn.Linear(dim, wide), nn.Linear(wide, dim)
        self.dropout = Dropout(model.dropout)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.dropout(self._attended(self.attention_norm(states)))
        fed = self.narrow(torch.relu(self.widen(self.feed_norm(states))))
        joined: Tensor = states + self.dropout(fed)
        return joined

    def _attended(self, states: Tensor) -> Tensor:
        batch, length, dim = states.shape
        split = self.attend(states).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True)
        joined: Tensor = self.join(mixed.transpose(1, 2).reshape(batch, length, dim))
        return joined
