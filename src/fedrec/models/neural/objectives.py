"""The loss of one batch: one lookup of all item ids, then scores, then the loss that the plan names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedrec.models.losses import FULL_SOFTMAX, SAMPLED, full_softmax
from fedrec.models.neural.batches import Batch
from fedrec.models.neural.network import Network
from fedrec.models.neural.plan import LocalTraining


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that are ranked in training: a tenant's assortment, or all.

    ids: (n,) positions in the shared catalogue; batches count positions in `ids`. content: (n, content_dim).
    """

    ids: Tensor
    content: Tensor | None


def batch_loss(
    network: Network, catalogue: Catalogue, batch: Batch, plan: LocalTraining, negatives: torch.Generator
) -> Tensor:
    """Mean loss of the targets of `batch`."""
    if plan.loss == FULL_SOFTMAX:
        return _full(network, catalogue, batch)
    drawn = torch.randint(len(catalogue.ids), (len(batch.inputs), plan.negatives), generator=negatives)
    losses = user_losses(network, catalogue, batch, drawn, plan.loss)
    return losses.sum() / batch.num_targets


def user_losses(network: Network, catalogue: Catalogue, batch: Batch, negatives: Tensor, loss: str) -> Tensor:
    """(batch,) sum of the sampled losses of each user's targets; row u depends on user u's rows only.

    negatives: (batch, k) positions in `catalogue`.
    """
    length, width = batch.inputs.shape[1], batch.targets.shape[1]
    together = torch.cat([batch.inputs, batch.targets, negatives], 1)
    content = None if catalogue.content is None else catalogue.content[together]
    vectors = network.item_vectors(content, catalogue.ids[together])
    inputs, targets, others = torch.split(vectors, [length, width, negatives.shape[1]], 1)
    states = network.states(inputs, batch.lengths)
    positive = (states * targets).sum(-1)
    negative = (states @ others.transpose(1, 2)).expand(-1, width, -1)
    is_target = negatives[:, None] == batch.targets[..., None]
    losses = SAMPLED[loss](positive, negative.masked_fill(is_target, -torch.inf), len(catalogue.ids))
    return torch.where(batch.mask, losses, 0.0).sum(1)


def _full(network: Network, catalogue: Catalogue, batch: Batch) -> Tensor:
    vectors = network.item_vectors(catalogue.content, catalogue.ids)
    inputs = vectors.index_select(0, batch.inputs.view(-1)).view(*batch.inputs.shape, -1)
    states = network.states(inputs, batch.lengths)
    there = batch.mask.view(-1).nonzero().view(-1)
    flat = states.expand(-1, batch.targets.shape[1], -1).reshape(-1, states.shape[-1]).index_select(0, there)
    targets = batch.targets.view(-1).index_select(0, there)
    weights = torch.full((len(there),), 1 / len(there), dtype=flat.dtype)
    return full_softmax(flat, vectors, targets, weights)
