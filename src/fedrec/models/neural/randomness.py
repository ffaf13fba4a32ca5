"""Random numbers of the neural recommenders: each stream is derived from a seed and its path, none is torch's own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fedrec.errors import ModelError
from fedrec.rng import derive


def stream(seed: int, *path: str | int) -> torch.Generator:
    """The generator of `path` under `seed`; see `fedrec.rng.derive`."""
    return torch.Generator().manual_seed(int(derive(seed, *path).integers(2**63 - 1)))


class Dropout(nn.Module):
    """Dropout whose masks come from a generator that `seed_dropout` gives it; torch's draws from a global one."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """`values`, each kept with probability 1 - rate and scaled up; unchanged outside training."""
        if not self.training or self.rate == 0:
            return values
        if self.generator is None:
            raise ModelError("Dropout has no generator; call seed_dropout(network, generator) before training.")
        kept = torch.empty_like(values).bernoulli_(1 - self.rate, generator=self.generator)
        return values * kept.mul_(1 / (1 - self.rate))


def seed_dropout(network: nn.Module, generator: torch.Generator | None) -> None:
    """Have all dropout of `network` draw from `generator`."""
    for module in _dropouts(network):
        module.generator = generator


def _dropouts(network: nn.Module) -> Iterator[Dropout]:
    return (module for module in network.modules() if isinstance(module, Dropout))
