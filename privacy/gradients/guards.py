"""What is looked at before a private step is believed: that users are apart, and that their gradients are complete.

Both checks run on a few users of a round's first batch, and on made-up ones where a server could have chosen weights
under which rounding looks like a missing part. What the layers alone show is refused in `per_user`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.models.neural.randomness import Dropout

CHECKED = 16
"""Users that are looked at."""
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
"""Relative to the norms of the users. What is left out of a gradient is a part of it, not a rounding error."""

P = TypeVar("P", bound="Part")


class Part(Protocol):
    """Some users of a step; rows after them are made up, and fill the part to its shape."""

    def __len__(self) -> int:
        """Users."""
        ...

    def some(self: P, rows: slice) -> P:
        """Some of them, with what was drawn for them."""
        ...

    def losses(self, network: Any) -> Tensor:
        """(rows,) the loss of each user, then of each row that is made up."""
        ...


def check_apart(network: nn.Module, part: Part) -> None:
    """Raises ModelError if a user's loss depends on who else is in the batch, as with negatives of one another."""
    network.eval()
    with torch.no_grad():
        together = part.losses(network)
        alone = torch.cat([part.some(slice(user, user + 1)).losses(network) for user in range(len(part))])
    network.train()
    if together.shape != (len(part),) or not torch.allclose(together, alone, rtol=1e-3, atol=1e-5, equal_nan=True):
        raise ModelError("A user's loss depends on the other users of the batch, so one user changes all gradients.")


def check_complete(network: nn.Module, sums: dict[str, Tensor], scale: float, part: Part) -> None:
    """Raises ModelError unless the gradients of users add up to what autograd finds for their batch.

    network: as it is without hooks. sums: by parameter, of the per-user gradients. scale: sum of the users' norms;
    users may cancel each other, and what is left of rounding is not smaller for that.
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    whole = torch.autograd.grad(part.losses(network).sum(), list(parameters.values()), allow_unused=True)
    expected = dict(zip(parameters, whole, strict=True))
    for name, found in expected.items():
        difference = sums[name] if found is None else sums[name] - found
        if not float(difference.norm()) <= TOLERANCE[difference.dtype] * scale + torch.finfo(difference.dtype).tiny:
            raise ModelError(f"The gradients of users do not add up to that of '{name}'; it is used outside its layer.")


def replayed(network: nn.Module, action: Callable[[], Tensor | None]) -> None:
    """Do `action` and let dropout draw afterwards as if it had not been done."""
    generators = {m.generator for m in network.modules() if isinstance(m, Dropout) and m.generator is not None}
    states = [(generator, generator.get_state()) for generator in generators]
    action()
    for generator, state in states:
        generator.set_state(state)
