"""What neural recommenders minimise: rank the item that came next above the others.

`full_softmax` compares with the whole catalogue. The others compare with negatives, drawn for each user from the
public catalogue and from nobody's data; their functions take scores and give one loss for each target.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

FULL_SOFTMAX = "softmax"
CELLS_AT_A_TIME = 1 << 21  # 8 MB of logits: more would leave the cache, and the whole batch's would not fit in memory

SampledLoss = Callable[[Tensor, Tensor, int], Tensor]


def full_softmax(states: Tensor, vectors: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of cross-entropies over the catalogue.

    states: (n, dim). vectors: (num_items, dim). targets: (n,) positions in `vectors`. weights: (n,).
    """
    loss: Tensor = _FullSoftmax.apply(states, vectors, targets, weights)  # type: ignore[no-untyped-call]
    return loss


class _FullSoftmax(torch.autograd.Function):
    """Logits of a few targets at a time, never of all: their gradients are made while they are there."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, vectors: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        total = states.new_zeros(())
        state_gradient, vector_gradient = torch.empty_like(states), torch.zeros_like(vectors)
        step = max(1, CELLS_AT_A_TIME // len(vectors))
        for start in range(0, len(states), step):
            part = slice(start, start + step)
            logits, chosen = states[part] @ vectors.T, targets[part, None]
            largest = logits.amax(1, keepdim=True)
            logits.sub_(largest)
            own = logits.gather(1, chosen)
            mass = logits.exp_().sum(1, keepdim=True)
            weight = weights[part, None]
            total += ((mass.log() - own) * weight).sum()
            gradient = logits.mul_(weight / mass).scatter_add_(1, chosen, -weight)
            torch.mm(gradient, vectors, out=state_gradient[part])
            vector_gradient.addmm_(gradient.T, states[part])
        ctx.save_for_backward(state_gradient, vector_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        state_gradient, vector_gradient = ctx.saved_tensors
        return state_gradient * outer[0], vector_gradient * outer[0], None, None


def sampled_softmax(positive: Tensor, negative: Tensor, num_items: int) -> Tensor:
    """Cross-entropy with the catalogue estimated from uniform negatives (Bengio, Senecal 2008).

    positive: (...). negative: (..., k), -inf where a negative is the target. Returns (...).
    """
    correction = math.log(max(num_items - 1, 1) / negative.shape[-1])
    everyone = torch.cat([positive[..., None], negative + correction], -1)
    return everyone.logsumexp(-1) - positive


def bpr(positive: Tensor, negative: Tensor, num_items: int) -> Tensor:
    """Mean of -log sigmoid(positive - negative) (Rendle et al., UAI 2009). Shapes as in `sampled_softmax`."""
    return -logsigmoid(positive[..., None] - negative).mean(-1)


def bce(positive: Tensor, negative: Tensor, num_items: int) -> Tensor:
    """Binary cross-entropy, mean over negatives (Kang, McAuley, ICDM 2018). Shapes as in `sampled_softmax`."""
    return -logsigmoid(positive) - logsigmoid(-negative).mean(-1)


def gbce(positive: Tensor, negative: Tensor, num_items: int, calibration: float = 0.75) -> Tensor:
    """`bce` with the positive's probability raised to beta, against overconfidence (Petrov, Macdonald, RecSys 2023).

    calibration: t of the paper; 0 is plain bce over all negatives, 1 fully calibrated. Shapes as in `sampled_softmax`.
    """
    num_negatives = negative.shape[-1]
    rate = num_negatives / max(num_items - 1, num_negatives)
    beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    return (-beta * logsigmoid(positive) - logsigmoid(-negative).sum(-1)) / (num_negatives + 1)


SAMPLED: dict[str, SampledLoss] = {"sampled_softmax": sampled_softmax, "bpr": bpr, "bce": bce, "gbce": gbce}
"""Losses with negatives, by name."""
LOSSES = (FULL_SOFTMAX, *SAMPLED)
