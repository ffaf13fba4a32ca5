"""What private training learns from: the loss of each user alone, for any users that a step has drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedrec.data.histories import IntArray
from fedrec.errors import ModelError
from fedrec.models.losses import SAMPLED
from fedrec.models.neural.batches import Batch
from fedrec.models.neural.network import Network
from fedrec.models.neural.objectives import Catalogue, Ranking, user_losses


@dataclass(frozen=True, eq=False)
class UserBatch:
    """Some users of a step, with negatives (rows, k) that were drawn for each from the public catalogue.

    users: the first so many rows are of users, the others are made up and fill the part to its shape.
    """

    catalogue: Catalogue
    batch: Batch
    negatives: Tensor
    loss: str
    users: int

    def __len__(self) -> int:
        return self.users

    def some(self, rows: slice) -> UserBatch:
        """Some of the users, with what was drawn for them, and without rows that are made up."""
        return self._at(torch.arange(self.users)[rows])

    def turned(self) -> UserBatch:
        """Each row one place further, the last one first."""
        return self._at(torch.arange(len(self.negatives)).roll(1))

    def _at(self, rows: Tensor) -> UserBatch:
        whole = self.batch
        few = Batch(whole.inputs[rows], whole.lengths[rows], whole.targets[rows], whole.mask[rows])
        return replace(self, batch=few, negatives=self.negatives[rows], users=len(rows))

    def losses(self, network: Network) -> Tensor:
        """(rows,) mean over each user's own targets, so that long histories weigh no more than short ones."""
        sums = user_losses(network, self.catalogue, self.batch, self.negatives, self.loss)
        return sums / self.batch.mask.sum(1)


@dataclass(frozen=True, eq=False)
class UserRanking:
    """`Ranking` for steps that draw their users. Raises ModelError for a loss that is no sum over users."""

    ranking: Ranking

    def __post_init__(self) -> None:
        if self.ranking.plan.loss not in SAMPLED:
            raise ModelError(
                f"Under loss='{self.ranking.plan.loss}' each user has a gradient for the whole catalogue; private "
                f"training needs one of {', '.join(SAMPLED)}."
            )

    @property
    def num_users(self) -> int:
        """Users who may be drawn."""
        return self.ranking.num_users

    @property
    def rehearsed(self) -> bool:
        """Whether the network and the loss were tried on made-up users."""
        return self.ranking.rehearsed is not None

    def parts(self, chosen: IntArray, rows: int, generator: torch.Generator) -> Iterator[UserBatch]:
        """The users at positions `chosen` in parts of one shape; of one step, so item dropout is drawn once."""
        plan, rehearsed = self.ranking.plan, self.ranking.rehearsed
        rows = rows if rehearsed is None or rehearsed.alike else 1
        catalogue = self.ranking.catalogue.dropping(plan.item_dropout, generator)
        for batch, users in self.ranking.batches.of_rows(chosen, rows, generator):
            negatives = torch.randint(len(catalogue.ids), (rows, plan.negatives), generator=generator)
            yield UserBatch(catalogue, batch, negatives, plan.loss, users)
