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
    """Some users of a step, with negatives (batch, k) that were drawn for each from the public catalogue."""

    catalogue: Catalogue
    batch: Batch
    negatives: Tensor
    loss: str

    def __len__(self) -> int:
        return len(self.negatives)

    def some(self, rows: slice) -> UserBatch:
        """Some of the users, with what was drawn for them."""
        whole = self.batch
        few = Batch(whole.inputs[rows], whole.lengths[rows], whole.targets[rows], whole.mask[rows])
        return replace(self, batch=few, negatives=self.negatives[rows])

    def losses(self, network: Network) -> Tensor:
        """(batch,) mean over each user's own targets, so that long histories weigh no more than short ones."""
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

    def parts(self, chosen: IntArray, most: int, generator: torch.Generator) -> Iterator[UserBatch]:
        """The users at positions `chosen`, at most so many at a time; of one step, so item dropout is drawn once."""
        plan = self.ranking.plan
        catalogue = self.ranking.catalogue.dropping(plan.item_dropout, generator)
        for batch in self.ranking.batches.of_users(chosen, most, generator):
            size = (len(batch.inputs), plan.negatives)
            negatives = torch.randint(len(catalogue.ids), size, generator=generator)
            yield UserBatch(catalogue, batch, negatives, plan.loss)
