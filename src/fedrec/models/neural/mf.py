"""Matrix factorisation without a user table: a user's vector is solved from the user's own history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedrec.models import validate
from fedrec.models.neural.items import ContentDim, RowEmbedding
from fedrec.models.neural.network import Network, construct
from fedrec.models.neural.protocol import NeuralModel, Objective, check_common, item_side
from fedrec.models.neural.randomness import stream


@dataclass(frozen=True)
class MF(NeuralModel):
    """A user's vector u is the ridge solution of u . v = `gain` over the items v of the history, plus an offset that
    all users share. The item side is fixed while a user is served; in training the solution is differentiated, so that
    item vectors learn to be good histories as well as good targets.

    l2: of the ridge. half_life: recency of the events, in events; None weights all alike. gain: the score that a
    history's own items should have.
    """

    dim: int = 64
    l2: float = 10.0
    half_life: float | None = 3.0
    gain: float = 8.0
    max_length: int = 200
    residual: str = "shared"
    fusion: str = "sum"

    name: ClassVar[str] = "mf"
    objective: ClassVar[Objective] = "rest"

    def __post_init__(self) -> None:
        check_common(self)
        for name in ("l2", "gain"):
            validate.positive(name, getattr(self, name))
        if self.half_life is not None:
            validate.positive("half_life", self.half_life)

    def build(self, num_items: int, content_dim: ContentDim, seed: int) -> Network:
        """See `NeuralModel.build`."""
        generator = stream(seed, "build", self.name)
        return construct(lambda: Network(item_side(self, num_items, content_dim), _FoldIn(self)), generator)


class _FoldIn(nn.Module):
    def __init__(self, model: MF) -> None:
        super().__init__()
        self.l2, self.gain, self.half_life = model.l2, model.gain, model.half_life
        self.offset = RowEmbedding(1, model.dim)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """(batch, 1, dim); events count 0.5 ** (age / half_life)."""
        solved = self._solve(vectors, recency_weights(lengths, vectors.shape[1], self.half_life, vectors.dtype))
        common: Tensor = self.offset(torch.zeros(len(vectors), 1, dtype=torch.int64))
        return solved[:, None] + common

    def _solve(self, vectors: Tensor, counts: Tensor) -> Tensor:
        """argmin_u sum_i c_i (gain - u . v_i)^2 + l2 |u|^2 of each user."""
        weighted = vectors * counts[..., None]
        matrices = weighted.transpose(1, 2) @ vectors + self.l2 * torch.eye(vectors.shape[-1])
        # no error for a system that has no solution: that user alone gets no numbers
        solved: Tensor = torch.linalg.solve_ex(matrices, self.gain * weighted.sum(1)).result
        return solved


def recency_weights(lengths: Tensor, longest: int, half_life: float | None, dtype: torch.dtype) -> Tensor:
    """(batch, longest) 0.5 ** (age / half_life) of each event, the newest of age 0, and 0 where a row has ended."""
    ages = lengths[:, None] - 1 - torch.arange(longest)
    there = (ages >= 0).to(dtype)
    return there if half_life is None else there * 0.5 ** (ages.clamp(min=0).to(dtype) / half_life)
