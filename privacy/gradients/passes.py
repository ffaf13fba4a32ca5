"""Passes through a network that leave the gradient of each user, with a look at the first one before it is believed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import nn

from fedrec.models.neural.randomness import seed_dropout
from fedrec.privacy.gradients.guards import CHECKED, Part, check_apart, check_complete, replayed
from fedrec.privacy.gradients.per_user import PerUser


class Passes:
    """The passes of one round. Between `begin` and `end` the network has stand-ins and hooks, see `PerUser`."""

    def __init__(self, network: nn.Module) -> None:
        self.users = PerUser(network)
        self._network = network
        self._checked = False

    def begin(self, generator: torch.Generator) -> None:
        """Put the hooks in; dropout draws from `generator`."""
        seed_dropout(self._network, generator)
        self.users.attach()

    def end(self) -> None:
        """Make the network what it was."""
        self.users.detach()
        seed_dropout(self._network, None)

    def run(self, part: Part, forget: Callable[[], None]) -> None:
        """Leave the gradient of each user of `part` in its parameters' `grad_sample`. forget: those of the part before.

        Raises ModelError if users meet in a loss, or a part of their gradients is missing.
        """
        self._network.train()
        if not self._checked:
            self._check(part.some(slice(CHECKED)), forget)
        self._backward(part, forget)

    def _backward(self, part: Part, forget: Callable[[], None]) -> None:
        forget()
        self.users.forget()
        total = part.losses(self._network).sum()
        with warnings.catch_warnings():  # ids have no gradient, as torch tells at each table
            warnings.filterwarnings("ignore", "Full backward hook is firing")
            total.backward()  # type: ignore[no-untyped-call]
        self.users.check_gradients()

    def _check(self, few: Part, forget: Callable[[], None]) -> None:
        """Look at a few users of the first batch, with the layers as they are and with the stand-ins."""
        self.users.detach()
        check_apart(self._network, few)
        self.users.attach()
        replayed(self._network, lambda: self._backward(few, forget))
        sums, scale = self.users.sums(), float(self.users.norms().sum())
        self.users.detach()
        if math.isfinite(scale):  # else one of them counts nothing, and the next batch is looked at
            replayed(self._network, lambda: check_complete(self._network, sums, scale, few))
            self._checked = True
        self.users.attach()
