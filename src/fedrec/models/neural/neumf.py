"""Neural matrix factorisation (NeuMF: He et al., WWW 2017) without a user table: users are made from their history."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fedrec.models import validate
from fedrec.models.losses import CELLS_AT_A_TIME
from fedrec.models.neural.items import ContentDim
from fedrec.models.neural.mf import recency_weights
from fedrec.models.neural.network import Network, construct
from fedrec.models.neural.protocol import NeuralModel, Objective, check_common, check_halved, check_rate, item_side
from fedrec.models.neural.randomness import Dropout, stream


@dataclass(frozen=True)
class NeuMF(NeuralModel):
    """A weighted product of user and item vector, plus a perceptron of both.

    A user is the recency-weighted mean of the vectors of the history's items. hidden: width of the perceptron's first
    layer. layers: of the perceptron, each half as wide as the one before. half_life: recency of the events, in events;
    None weights all alike. dropout: of the user's vector.
    """

    dim: int = 64
    hidden: int = 32
    layers: int = 2
    half_life: float | None = 3.0
    max_length: int = 200
    dropout: float = 0.2
    residual: str = "shared"
    fusion: str = "sum"

    name: ClassVar[str] = "neumf"
    objective: ClassVar[Objective] = "rest"

    def __post_init__(self) -> None:
        check_common(self)
        for name in ("hidden", "layers"):
            validate.whole(name, getattr(self, name))
        if self.half_life is not None:
            validate.positive("half_life", self.half_life)
        check_rate("dropout", self.dropout)
        check_halved("hidden", self.hidden, self.layers)

    def build(self, num_items: int, content_dim: ContentDim, seed: int) -> Network:
        """See `NeuralModel.build`."""
        generator = stream(seed, "build", self.name)
        return construct(
            lambda: Network(item_side(self, num_items, content_dim), _UserParts(self), _Meeting(self)), generator
        )


class _UserParts(nn.Module):
    """What the two branches need of a user: the weighted vector of the product, the first layer's part of the user."""

    def __init__(self, model: NeuMF) -> None:
        super().__init__()
        self.half_life, self.scale = model.half_life, model.dim**0.5
        self.norm, self.dropout = nn.LayerNorm(model.dim), Dropout(model.dropout)
        self.product, self.perceptron = nn.Linear(model.dim, model.dim), nn.Linear(model.dim, model.hidden)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """(batch, 1, dim + hidden); the output weights of the product are within its user's part."""
        counts = recency_weights(lengths, vectors.shape[1], self.half_life, vectors.dtype)
        mean = (vectors * counts[..., None]).sum(1) / counts.sum(1, keepdim=True)
        user = self.dropout(self.norm(mean * self.scale))
        return torch.cat([self.product(user), self.perceptron(user)], -1)[:, None]


class _Meeting(nn.Module):
    """The item's part of the first layer, and all after it. The first layer is a sum of both parts, so that each user
    and each item is multiplied by its weights once, and not each pair."""

    def __init__(self, model: NeuMF) -> None:
        super().__init__()
        self.scale, self.widths = model.dim**0.5, [model.hidden // 2**layer for layer in range(model.layers)]
        self.item = nn.Linear(model.dim, model.hidden, bias=False)
        self.deeper = nn.ModuleList(nn.Linear(wide, narrow) for wide, narrow in pairwise(self.widths))
        self.out = nn.Linear(self.widths[-1], 1)

    def forward(self, states: Tensor, vectors: Tensor) -> Tensor:
        """(..., n, m) scores of every pair; see `Network.score`."""
        users, items = states[..., -self.widths[0] :], self.item(vectors * self.scale)
        products = states[..., : -self.widths[0]] @ vectors.transpose(-1, -2)
        if vectors.ndim > 2:  # a few items for each user
            together: Tensor = products + self._perceptron(users, items)
            return together
        rows = torch.split(users.reshape(-1, users.shape[-1]), max(1, CELLS_AT_A_TIME // items.numel()))
        return products + torch.cat([self._bounded(part, items) for part in rows]).view_as(products)

    def _bounded(self, users: Tensor, items: Tensor) -> Tensor:
        """As `_perceptron`; hidden layers of a whole catalogue are made again for the gradient, not kept."""
        if not torch.is_grad_enabled():
            return self._perceptron(users, items)
        scores: Tensor = checkpoint(self._perceptron, users, items, use_reentrant=False, preserve_rng_state=False)
        return scores

    def _perceptron(self, users: Tensor, items: Tensor) -> Tensor:
        """users: (..., n, hidden). items: (..., m, hidden). Returns (..., n, m)."""
        hidden = torch.relu(users[..., :, None, :] + items[..., None, :, :])
        for layer in self.deeper:
            hidden = torch.relu(layer(hidden))
        scores: Tensor = self.out(hidden)
        return scores[..., 0]
