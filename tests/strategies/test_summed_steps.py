"""What the server makes of the sum of a step: the mean over a public number, and the clip of the next one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, RecordDict

from fedrec.contribution import Total
from fedrec.messages import ARRAYS
from fedrec.models.neural.plan import LocalTraining
from fedrec.privacy.gradients.summed import SUM, SumTerms
from fedrec.strategies.summed_steps import next_clip, stepped

TERMS = SumTerms(rate=0.1, clip_norm=0.5, multiplier=1.0, divisor=5, sharers=1)
PLAN = LocalTraining(steps=1, optimizer="sgd", learning_rate=2.0)
SENT = RecordDict(
    {ARRAYS: ArrayRecord({"b": Array(np.array([[1.0, 2.0]], np.float32)), "a": Array(np.array([3.0], np.float32))})}
)


def total(values: list[float], terms: SumTerms = TERMS, clients: int = 4) -> Total:
    size = len(values) - (terms.quantile is not None)
    return Total(terms.layout(size), {SUM: np.array(values)}, clients)


def test_the_weights_move_against_the_sum_over_a_public_number() -> None:
    """Two times the sum over 5 users at each of 4 clients; parameters in the order of their names."""
    after = stepped(TERMS, PLAN, SENT, total([10.0, 20.0, -30.0]))
    arrays = {name: array.numpy() for name, array in after.content.array_records[ARRAYS].items()}
    assert arrays["a"] == pytest.approx([3.0 - 1.0])
    assert arrays["b"] == pytest.approx(np.array([[1.0 - 2.0, 2.0 + 3.0]]))
    assert arrays["b"].dtype == np.float32
    assert after.clip_norm == 0.5


@pytest.mark.parametrize(
    ("below", "above", "factor"), [(10, 10, 1.0), (20, 0, math.exp(-0.1)), (0, 10, math.exp(0.05))]
)
def test_the_clip_follows_the_votes(below: int, above: int, factor: float) -> None:
    """Quantile 1/2: twenty users all below it, of 5 expected at each of 4 clients, are a surplus of 1/2."""
    terms = replace(TERMS, quantile=0.5)
    votes = below * terms.vote(True) + above * terms.vote(False)
    assert next_clip(terms, np.array([votes]), 20) == pytest.approx(0.5 * factor)


def test_noise_moves_the_clip_by_a_bounded_factor() -> None:
    assert next_clip(replace(TERMS, quantile=0.9), np.array([1e9]), 20) == pytest.approx(0.5 * math.exp(-0.2))


def test_the_clip_settles_at_the_quantile_whatever_the_public_number_is() -> None:
    """Norms 1, 2, ..., 100 and a quantile of 0.8, without noise: between 80 and 81, also if 10 times as many users are
    expected as there are."""
    norms = np.arange(1.0, 101.0)
    for divisor in (25, 250):
        terms = SumTerms(rate=0.1, clip_norm=5.0, multiplier=1.0, divisor=divisor, sharers=1, quantile=0.8)
        for _ in range(1000):
            below = int((norms <= terms.clip_norm).sum())
            votes = below * terms.vote(True) + (100 - below) * terms.vote(False)
            terms = replace(terms, clip_norm=next_clip(terms, np.array([votes]), 4 * divisor))
        assert terms.clip_norm == pytest.approx(80.5, abs=1.0)
