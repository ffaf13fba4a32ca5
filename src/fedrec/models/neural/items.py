"""Item vectors: `tower(content) + residual[id]`. The tower describes any item, the residual what its id adds.

An item that nobody has had has a tower and no residual: its row was drawn at random, and then only ever ranked below
what people took. `seen_only` is that rule for a table of residuals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.models.neural.fusion import Gate
from fedrec.models.protocols import AnyArray

RESIDUALS = ("shared", "private", "none")
"""Whose a residual is: of all tenants that share a catalogue, of each tenant alone, or nobody's."""
ROW_STD = 0.02
FUSIONS = ("sum", "gate")
"""How the fields of a content vector come together: as the encoder weighs them, or as a `Gate` learns to."""
ContentDim = int | Sequence[int]
"""Width of the public content vectors, or of each of their fields; 0 is without content."""


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

    residual: one of `RESIDUALS`. fusion: one of `FUSIONS`.
    Raises ModelError if there is neither content nor residual.
    """

    def __init__(self, num_items: int, dim: int, content_dim: ContentDim, residual: str, fusion: str = "sum") -> None:
        super().__init__()
        widths = [content_dim] if isinstance(content_dim, int) else list(content_dim)
        width = sum(widths)
        if residual == "none" and not width:
            raise ModelError("Items without content need a residual; give content vectors or residual='shared'.")
        self.num_items, self.dim = num_items, dim
        self.gate = Gate(widths) if fusion == "gate" and width else None
        self.tower = nn.Linear(width, dim, bias=False) if width else None
        self.residual = None if residual == "none" else RowEmbedding(num_items, dim)

    def forward(self, content: Tensor | None, ids: Tensor | None, kept: Tensor | None = None) -> Tensor:
        """Vectors (..., dim) of the items `ids` (...), whose content is `content` (..., content_dim).

        Cold items have content but no ids: their residual is zero. kept: (...) 0 for ids whose residual is left out as
        if they were cold, else 1; None keeps all.
        """
        parts: list[Tensor] = []
        if self.tower is not None and content is not None:
            parts.append(self.tower(content if self.gate is None else self.gate(content)))
        if self.residual is not None and ids is not None:
            rows = self.residual(ids)
            parts.append(rows if kept is None else rows * kept[..., None])
        if not parts:
            raise ModelError("Expected content or ids of the items that this recommender can use, got neither.")
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def seen_only(residual: AnyArray, counts: AnyArray) -> AnyArray:
    """A table of residuals (num_items, dim), zero for the items of which `counts` (num_items,) says that nobody had
    them. Counts with noise may take a rare item for one; its tower speaks for it then."""
    return np.where(counts[:, None] > 0, residual, np.zeros((), residual.dtype))
