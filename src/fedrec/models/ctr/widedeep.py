"""Wide and deep (Cheng et al., DLRS 2016): how probable is a click on an item that is shown to a user now?

The wide part adds one number for each hashed feature and cross: it remembers. The deep part is a perceptron over the
embeddings of the features: it generalises. Nothing in it belongs to a user; users are what they did before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fedrec.models import validate
from fedrec.models.ctr.features import Contexts, Hashed, Hashing, field_widths
from fedrec.models.neural.items import RowEmbedding
from fedrec.models.neural.network import construct
from fedrec.models.neural.protocol import check_halved, check_rate
from fedrec.models.neural.randomness import Dropout, stream
from fedrec.models.protocols import Float64Array

CONTEXTS_AT_A_TIME = 1 << 13


@dataclass(frozen=True)
class WideDeep:
    """A model of clicks; frozen and public hyper-parameters that build a network.

    click_at: an event is a click if its weight is at least that, at every tenant. dim: of the embeddings. hidden: width
    of the perceptron's first layer. layers: of the perceptron, each half as wide as the one before. buckets: rows of
    the table of each part. recent: so many newest events of a user are features. dropout: of the perceptron's layers.
    max_events: so many newest events of a user are learnt from. held_out: so many last events of each user are kept for
    the test, and as many before them for validation.
    """

    click_at: float
    dim: int = 16
    hidden: int = 64
    layers: int = 2
    buckets: int = 1 << 14
    recent: int = 20
    dropout: float = 0.2
    max_events: int = 200
    held_out: int = 5

    name: ClassVar[str] = "widedeep"
    private: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        validate.not_negative("click_at", self.click_at)
        for name in ("dim", "hidden", "layers", "recent", "max_events", "held_out"):
            validate.whole(name, getattr(self, name))
        validate.whole("buckets", self.buckets, at_least=2)
        check_halved("hidden", self.hidden, self.layers)
        check_rate("dropout", self.dropout)

    def build(self, num_items: int, content_dim: int, seed: int) -> WideDeepNetwork:
        """A network with parameters drawn from `seed`. Features are hashed, so it depends on no catalogue."""
        return construct(lambda: WideDeepNetwork(self), stream(seed, "build", self.name))


class WideDeepNetwork(nn.Module):
    """Log-odds of a click from the rows of `Hashed`."""

    def __init__(self, model: WideDeep) -> None:
        super().__init__()
        self.columns, self.scale = list(field_widths(model.recent)), model.dim**0.5
        self.wide, self.deep = RowEmbedding(model.buckets, 1), RowEmbedding(model.buckets, model.dim)
        widths = [len(self.columns) * model.dim, *(model.hidden // 2**layer for layer in range(model.layers))]
        self.layers = nn.ModuleList(nn.Linear(wide, narrow) for wide, narrow in pairwise(widths))
        self.dropout, self.out = Dropout(model.dropout), nn.Linear(widths[-1], 1)

    def forward(self, wide: Tensor, deep: Tensor) -> Tensor:
        """wide: (..., wide_width) and deep: (..., deep_width) rows. Returns (...)."""
        remembered = (self.wide(wide)[..., 0] * (wide > 0)).sum(-1)
        hidden = self._fields(deep)
        for layer in self.layers:
            hidden = self.dropout(torch.relu(layer(hidden)))
        log_odds: Tensor = remembered + self.out(hidden)[..., 0]
        return log_odds

    def _fields(self, deep: Tensor) -> Tensor:
        """(..., num_fields * dim) mean embedding of each field, 0 where it has no feature."""
        there = (deep > 0).to(self.deep.weight.dtype)
        rows = self.deep(deep) * (there * self.scale)[..., None]
        sums = [part.sum(-2) for part in torch.split(rows, self.columns, -2)]
        counts = [part.sum(-1, keepdim=True).clamp(min=1) for part in torch.split(there, self.columns, -1)]
        return torch.cat([total / count for total, count in zip(sums, counts, strict=True)], -1)


def tensors_of(hashed: Hashed) -> tuple[Tensor, Tensor]:
    """The rows as the network takes them."""
    return torch.from_numpy(hashed.wide), torch.from_numpy(hashed.deep)


@torch.no_grad()
def probabilities(network: WideDeepNetwork, hashing: Hashing, shown: Contexts) -> Float64Array:
    """(n,) of a click in each context."""
    network.eval()
    starts = range(0, len(shown.items), CONTEXTS_AT_A_TIME)
    parts = (tensors_of(hashing(shown.part(slice(start, start + CONTEXTS_AT_A_TIME)))) for start in starts)
    return np.concatenate([np.zeros(0), *(torch.sigmoid(network(*part).double()).numpy() for part in parts)])
