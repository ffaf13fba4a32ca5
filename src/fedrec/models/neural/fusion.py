"""How much each source of an item's content counts: its text, categories, price, age, image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

NOTHING = 1e-12  # shorter than any field that is known


class Gate(nn.Module):
    """Fields of content, each of length 1 and then times its share; the shares of an item sum to 1.

    The linear tower that follows is one tower for each field side by side, so what comes out is the mean of the towers
    of those fields that are known. A field that is not known, all of it zero, has no share and moves nothing: the
    shares are a softmax over the fields that are there, by what all of the content says. The weights of the encoder's
    fields do not count.

    widths: coordinates of each field, side by side.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)
        self.ask = nn.Linear(sum(self.widths), len(self.widths))

    def forward(self, content: Tensor) -> Tensor:
        """content: (..., width). Returns the same shape; zero for an item of which nothing is known."""
        fields = torch.split(content, self.widths, -1)
        lengths = torch.stack([torch.linalg.vector_norm(field, dim=-1) for field in fields], -1)
        factors = self.shares(content, lengths) / lengths.clamp(min=NOTHING)
        return torch.cat([field * factors[..., i, None] for i, field in enumerate(fields)], -1)

    def shares(self, content: Tensor, lengths: Tensor) -> Tensor:
        """(..., num_fields) what each field counts. lengths: (..., num_fields) of the fields."""
        known = lengths > NOTHING
        asked = self.ask(content).masked_fill(~known, torch.finfo(content.dtype).min)
        return torch.softmax(asked, -1) * known
