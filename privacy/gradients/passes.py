"""Passes through a network that leave the gradient of each user, bit for bit the same whoever else is in the step.

Weights that a server made up can make a gradient of a rounding error. So what a user adds may not be rounded by who
else was drawn: every part of a step has one shape, its rows go through the same kernels in each place, and one thread
computes all of them, since several would each end with a few numbers that are computed another way.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fedrec.models.neural.randomness import seed_dropout
from fedrec.privacy.gradients.guards import CHECKED, Part, check_apart, check_complete, replayed
from fedrec.privacy.gradients.per_user import PerUser, sample_of


class Passes:
    """The passes of one round. Between `begin` and `end` the network has stand-ins and hooks, see `PerUser`, and torch
    one thread.

    checked: nothing is looked at any more. Without it the first users are, and an error would tell of them.
    """

    def __init__(self, network: nn.Module, checked: bool = False) -> None:
        self.users = PerUser(network)
        self._network = network
        self._checked = checked
        self._threads = torch.get_num_threads()

    def begin(self, generator: torch.Generator) -> None:
        """Put the hooks in; dropout draws from `generator`."""
        seed_dropout(self._network, generator)
        self.users.attach()
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def end(self) -> None:
        """Make the network what it was."""
        torch.set_num_threads(self._threads)
        self.users.detach()
        seed_dropout(self._network, None)

    def run(self, part: Part, forget: Callable[[], None]) -> None:
        """Leave the gradient of each user of `part` in its parameters' `grad_sample`, and 0 in rows that are made up.
        forget: those of the part before.

        Raises ModelError if users meet in a loss, or a part of their gradients is missing.
        """
        self._network.train()
        if not self._checked:
            self._check(part.some(slice(CHECKED)), forget)
        self._backward(part, forget)
        self.users.silence(len(part))

    def alike(self, part: Part, turned: Part) -> bool:
        """Whether each row of `part` has the same gradient in `turned`, where it is one place further and the last one
        first, to the last bit. Dropout draws by row, so it must leave nothing out."""
        self._network.train()
        first, second = self._rows(part), self._rows(turned)
        return all(torch.equal(one.roll(1, 0), other) for one, other in zip(first, second, strict=True))

    def _rows(self, part: Part) -> list[Tensor]:
        """All that is found of each row of `part`."""
        self._backward(part, self.users.forget_gradients)
        samples = [sample for p in self._network.parameters() if (sample := sample_of(p)) is not None]
        tables = [table.rows for table in self.users.tables if table.rows is not None]
        return [*samples, *tables, self.users.norms()]

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
