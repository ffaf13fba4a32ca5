"""Item vectors: `tower(content) + residual[id]`. The tower describes any item, the residual what its id adds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrec.errors import ModelError

RESIDUALS = ("shared", "private", "none")
"""Whose a residual is: of all tenants that share a catalogue, of each tenant alone, or nobody's."""
ROW_STD = 0.02


class RowEmbedding(nn.Module):
    """A table that is read by `forward` only, once a training step, so that per-user gradients can be had row by row.

    weight: (num_rows, dim).
    """

    def __init__(self, num_rows: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_rows, dim))

    def reset(self, generator: torch.Generator) -> None:
        """Draw small rows."""
        nn.init.normal_(self.weight, std=ROW_STD, generator=generator)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (...) int64. Returns (..., dim)."""
        rows = self.weight.index_select(0, ids.reshape(-1))
        return rows.view(*ids.shape, rows.shape[-1])


class ItemVectors(nn.Module):
    """The item side of a recommender; every id of a training step goes through one call.

    content_dim: width of the public content vectors, 0 without content. residual: one of `RESIDUALS`.
    Raises ModelError if there is neither content nor residual.
    """

    def __init__(self, num_items: int, dim: int, content_dim: int, residual: str) -> None:
        super().__init__()
        if residual == "none" and not content_dim:
            raise ModelError("Items without content need a residual; give content vectors or residual='shared'.")
        self.num_items, self.dim = num_items, dim
        self.tower = nn.Linear(content_dim, dim, bias=False) if content_dim else None
        self.residual = None if residual == "none" else RowEmbedding(num_items, dim)

    def forward(self, content: Tensor | None, ids: Tensor | None) -> Tensor:
        """Vectors (..., dim) of the items `ids` (...), whose content is `content` (..., content_dim).

        Cold items have content but no ids: their residual is zero.
        """
        parts: list[Tensor] = []
        if self.tower is not None and content is not None:
            parts.append(self.tower(content))
        if self.residual is not None and ids is not None:
            parts.append(self.residual(ids))
        if not parts:
            raise ModelError("Expected content or ids of the items that this recommender can use, got neither.")
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]
