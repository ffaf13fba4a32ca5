"""Per-user gradients of a table, row by row: only the rows that a user's step read, never (users, num_rows, dim)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.models.neural.items import RowEmbedding

GradSamples = dict[nn.Parameter, Tensor]
"""Parameter -> (batch, ...) the gradient of each user's loss."""


class UserRows(nn.Module):
    """Stands in for a `RowEmbedding` with the same weight while training is private.

    A lookup passes no gradient to the weight; `row_gradients` makes those of each user. rows: (batch, m) of the last
    step, beside the (batch, m, dim) values in `weight.grad_sample`.
    """

    def __init__(self, table: RowEmbedding) -> None:
        super().__init__()
        self.weight = table.weight
        self.rows: Tensor | None = None
        self._read = False

    def forward(self, ids: Tensor) -> Tensor:
        """See `RowEmbedding.forward`. Raises ModelError for a second lookup in a step."""
        if torch.is_grad_enabled():
            if self._read:
                raise ModelError(
                    "A table was read twice in a step, so the gradients of a user's rows would be counted apart; join "
                    "the ids and look them up once."
                )
            self._read = True
        found: Tensor = _Gather.apply(self.weight, ids)  # type: ignore[no-untyped-call]
        return found

    def forget(self) -> None:
        """Begin a new step."""
        self.rows, self._read = None, False

    def total(self, values: Tensor) -> Tensor:
        """(num_rows, dim) the values (batch, m, dim) of the last step's rows, added up over users."""
        if self.rows is None or self.rows.shape != values.shape[:2]:
            raise ModelError("A table has gradients whose rows are not known; the step is not made.")
        return torch.zeros_like(self.weight).index_add_(0, self.rows.reshape(-1), values.reshape(-1, values.shape[-1]))


class _Gather(torch.autograd.Function):
    """A lookup whose gradient stays per user: the weight gets none here."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor) -> Tensor:
        return weight.index_select(0, ids.reshape(-1)).view(*ids.shape, weight.shape[1])

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[None, None]:
        return None, None


def row_gradients(table: UserRows, activations: list[Tensor], backprops: Tensor) -> GradSamples:
    """The sampler of `UserRows` for Opacus: the values of each user's rows; which rows they are is in `table.rows`."""
    ids = activations[0].reshape(len(activations[0]), -1)
    values = backprops.reshape(*ids.shape, -1)
    table.rows, values = coalesced(ids, values)
    return {table.weight: values}


def coalesced(ids: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Each user's values with one slot for each distinct row: the norm of a sum is not that of its parts.

    ids: (batch, m). values: (batch, m, dim). Returns the same shapes; slots that are left over are row 0 with value 0.
    """
    batch, width = ids.shape
    if bool((ids[:, 1:] > ids[:, :-1]).all()):  # nothing occurs twice, as in a table of positions
        return ids, values
    ordered, order = ids.to(torch.int32).sort(dim=1)
    begins = torch.ones_like(ordered, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    place = begins.cumsum(1) - 1
    slots = torch.empty_like(place).scatter_(1, order, place) + torch.arange(batch)[:, None] * width
    sums = torch.zeros_like(values).view(batch * width, -1)
    sums.index_add_(0, slots.view(-1), values.reshape(batch * width, -1))
    rows = torch.zeros_like(ids).scatter_(1, place, ordered.to(ids.dtype))
    return rows, sums.view_as(values)
