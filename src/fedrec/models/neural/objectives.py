"""What is learnt from batches. For recommenders: one lookup of all item ids, then scores, then the loss of the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from fedrec.errors import ModelError
from fedrec.models.losses import FULL_SOFTMAX, SAMPLED, full_softmax
from fedrec.models.neural.batches import Batch, Batches
from fedrec.models.neural.network import Network
from fedrec.models.neural.plan import LocalTraining


class Task(Protocol):
    """What is learnt: the batches of a client's users, and the loss of a batch.

    A batch is the task's own; users are its rows, and it knows its `num_targets`. private: parameters that never leave
    the client, so that no proximal term pulls on them.
    """

    @property
    def private(self) -> tuple[str, ...]:
        """Names of parameters."""
        ...

    @property
    def num_users(self) -> int:
        """Users in an epoch."""
        ...

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, generator: torch.Generator) -> Iterator[Any]:
        """Batches with every user once."""
        ...

    def loss(self, network: Any, batch: Any, generator: torch.Generator) -> Tensor:
        """Mean over the targets of `batch`. generator: of whatever is drawn for it."""
        ...


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that are ranked in training: a tenant's assortment, or all.

    ids: (n,) positions in the shared catalogue; batches count positions in `ids`. content: (n, content_dim).
    kept: (n,) see `ItemVectors.forward`.
    """

    ids: Tensor
    content: Tensor | None
    kept: Tensor | None = None

    def dropping(self, share: float, generator: torch.Generator) -> Catalogue:
        """The items as one step sees them, the residuals of a random `share` of them switched off, so that the tower
        learns to do without (DropoutNet: Volkovs, Yu, Poutanen, NeurIPS 2017). An item is on or off wherever it is met
        in the step, as an input, a target or a negative, and whoever had it."""
        if not share:
            return self
        return replace(self, kept=torch.empty(len(self.ids)).bernoulli_(1 - share, generator=generator))


@dataclass(frozen=True)
class Rehearsed:
    """The network and the loss were tried on made-up users, and a user's part can be bounded.

    alike: all rows of a batch are computed alike, to the last bit. Where they are not, users come one by one.
    """

    alike: bool


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a recommender learns: to rank first what came next. See `Task`.

    rehearsed: of private steps that are not to look at real users, what made-up ones showed.
    Raises ModelError for a plan with item dropout where items have no content.
    """

    catalogue: Catalogue
    batches: Batches
    plan: LocalTraining
    private: tuple[str, ...]
    rehearsed: Rehearsed | None = None

    def __post_init__(self) -> None:
        if self.plan.item_dropout and self.catalogue.content is None:
            raise ModelError(
                f"item_dropout={self.plan.item_dropout} leaves items to their content, and they have none; give "
                "content vectors, or item_dropout=0."
            )

    @property
    def num_users(self) -> int:
        """Users in an epoch."""
        return self.batches.num_users

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.batches)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Every user once."""
        return self.batches.epoch(generator)

    def loss(self, network: Network, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean loss of the targets. generator: of item dropout and negatives."""
        return batch_loss(network, self.catalogue, batch, self.plan, generator)


def batch_loss(
    network: Network, catalogue: Catalogue, batch: Batch, plan: LocalTraining, generator: torch.Generator
) -> Tensor:
    """Mean loss of the targets of `batch`, as one step has it. generator: of item dropout and negatives."""
    items = catalogue.dropping(plan.item_dropout, generator)
    if plan.loss == FULL_SOFTMAX:
        return _full(network, items, batch)
    drawn = torch.randint(len(items.ids), (len(batch.inputs), plan.negatives), generator=generator)
    losses = user_losses(network, items, batch, drawn, plan.loss)
    return losses.sum() / batch.num_targets


def user_losses(network: Network, catalogue: Catalogue, batch: Batch, negatives: Tensor, loss: str) -> Tensor:
    """(batch,) sum of the sampled losses of each user's targets; row u depends on user u's rows only.

    negatives: (batch, k) positions in `catalogue`.
    """
    length, width = batch.inputs.shape[1], batch.targets.shape[1]
    together = torch.cat([batch.inputs, batch.targets, negatives], 1)
    content = None if catalogue.content is None else catalogue.content[together]
    kept = None if catalogue.kept is None else catalogue.kept[together]
    vectors = network.item_vectors(content, catalogue.ids[together], kept)
    inputs, targets, others = torch.split(vectors, [length, width, negatives.shape[1]], 1)
    states = network.states(inputs, batch.lengths)
    positive = network.score_pairs(states, targets)
    negative = network.score(states, others).expand(-1, width, -1)
    is_target = negatives[:, None] == batch.targets[..., None]
    losses = SAMPLED[loss](positive, negative.masked_fill(is_target, -torch.inf), len(catalogue.ids))
    return torch.where(batch.mask, losses, 0.0).sum(1)


def _full(network: Network, catalogue: Catalogue, batch: Batch) -> Tensor:
    vectors = network.item_vectors(catalogue.content, catalogue.ids, catalogue.kept)
    inputs = vectors.index_select(0, batch.inputs.view(-1)).view(*batch.inputs.shape, -1)
    states = network.states(inputs, batch.lengths)
    if network.meeting is not None:
        return _full_of_scores(network.score(states, vectors), batch)
    there = batch.mask.view(-1).nonzero().view(-1)
    flat = states.expand(-1, batch.targets.shape[1], -1).reshape(-1, states.shape[-1]).index_select(0, there)
    targets = batch.targets.view(-1).index_select(0, there)
    weights = torch.full((len(there),), 1 / len(there), dtype=flat.dtype)
    return full_softmax(flat, vectors, targets, weights)


def _full_of_scores(scores: Tensor, batch: Batch) -> Tensor:
    """The same from scores (batch, length or 1, n), where a state has one row for all of its targets."""
    users, places = batch.mask.nonzero(as_tuple=True)
    rows = places.clamp(max=scores.shape[1] - 1)
    own = scores[users, rows, batch.targets[users, places]]
    mean: Tensor = (scores.logsumexp(-1)[users, rows] - own).mean()
    return mean
