"""Rounds of one step whose noise the clients share: how an answer lies in words, and what the server makes of the sum.

    new weights = weights - learning_rate * sum of all clients / (batch_size * clients)
    new weights = weights + sum of all clients / devices      where each client is one user, with its whole update

All of that but the sum is public. An optimizer at the server (FedAdam) makes one step of it on the noised gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict

from fedrec.contribution import Float64Array, Total
from fedrec.errors import ConfigError, ProtocolError
from fedrec.messages import ARRAYS
from fedrec.models.neural.plan import LocalTraining
from fedrec.privacy.gradients.summed import SUM, SumTerms
from fedrec.privacy.gradients.terms import LEAST_CLIP, MOST_CLIP
from fedrec.privacy.release import Release

METRICS, CLIENTS = "metrics", "num-examples"
PLAIN = LocalTraining(steps=1, optimizer="sgd")
"""What a round leaves out that would be more than one gradient."""
FIXED = ("steps", "optimizer", "schedule", "warmup_steps", "weight_decay", "proximal", "keep_moments", "patience")
CLIP_RATE = 0.2
"""Of the geometric update of the clip (Andrew, Thakkar, McMahan, Ramaswamy, NeurIPS 2021, section 2)."""


@dataclass(frozen=True)
class Stepped:
    """What the server knows after a step. content: the next weights, in the form in which a strategy expects one
    client's answer. clip_norm: of the next step."""

    content: RecordDict
    clip_norm: float


def check_one_step(plan: LocalTraining) -> None:
    """Raises ConfigError for a round that is more than the gradient of one step."""
    for name in FIXED:
        if getattr(plan, name) != getattr(PLAIN, name):
            raise ConfigError(
                f"Under distributed noise a round is one gradient, and the server's optimizer makes the step: expected "
                f"training.local.{name}={getattr(PLAIN, name)!r}, got {getattr(plan, name)!r}; or set "
                "privacy.placement to 'local'."
            )


def release_of_step(terms: SumTerms, plan: LocalTraining, sent: RecordDict, max_clients: int) -> Release:
    """How the answers to `sent` leave a client."""
    arrays = _arrays(sent)
    return terms.release(sum(math.prod(arrays[name].shape) for name in _trained(plan, arrays)), max_clients)


def _trained(plan: LocalTraining, arrays: ArrayRecord) -> list[str]:
    """The parameters in the order of the sum. Raises ProtocolError if the plan freezes all."""
    names = sorted(name for name in arrays if not plan.freezes(name))
    if not names:
        raise ProtocolError(f"The plan freezes all parameters: freeze={plan.freeze!r}.")
    return names


def stepped(terms: SumTerms, plan: LocalTraining, sent: RecordDict, total: Total) -> Stepped:
    """The weights after the step that all answers to `sent` come to, and the clip of the next one."""
    values = total.values[SUM]
    rate = plan.learning_rate if terms.devices is None else -1.0
    scale = rate / terms.expected(total.num_clients)
    arrays, start = dict(_arrays(sent)), 0
    for name in _trained(plan, _arrays(sent)):
        before = arrays[name].numpy()
        change = scale * values[start : start + before.size].reshape(before.shape)
        arrays[name] = Array((before - change).astype(before.dtype))
        start += before.size
    metrics = MetricRecord({CLIENTS: float(total.num_clients)})
    content = RecordDict({ARRAYS: ArrayRecord(arrays), METRICS: metrics})
    return Stepped(content, next_clip(terms, values[start:], terms.expected(total.num_clients)))


def next_clip(terms: SumTerms, votes: Float64Array, expected: int) -> float:
    """The clip, lowered where more users were below it than the quantile says, and raised where fewer were.

    votes: their noised sum, if there are any. expected: users in it.
    """
    if terms.quantile is None:
        return terms.clip_norm
    one = terms.vote(True) - terms.vote(False)
    surplus = float(np.clip(votes[0] / (one * expected), -1.0, 1.0))
    return min(max(terms.clip_norm * math.exp(-CLIP_RATE * surplus), LEAST_CLIP), MOST_CLIP)


def _arrays(content: RecordDict) -> ArrayRecord:
    record = content.get(ARRAYS)
    if not isinstance(record, ArrayRecord):
        raise ProtocolError(f"Expected an ArrayRecord '{ARRAYS}', got {sorted(content)}.")
    return record
