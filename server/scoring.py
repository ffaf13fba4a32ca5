"""Score one arm at all clients: metric sums per recommender, as one total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedrec.config import Arm
from fedrec.contribution import Layout
from fedrec.messages import SCORE, AnyArray, ModelSpec, Phase, ScoreBody, ranking_protocol
from fedrec.metrics import MetricSums, Summary
from fedrec.models import Weights
from fedrec.server.choosing import Candidate
from fedrec.server.exchange import Exchange
from fedrec.server.neural import alone_plan


def score_arm(
    exchange: Exchange,
    arm: Arm,
    specs: Sequence[ModelSpec],
    models: Mapping[str, tuple[Candidate, Weights]],
    counts: AnyArray,
    phase: Phase,
) -> dict[str, Summary]:
    """Label -> slices of metrics over all clients' held-out users: validation in phase `choose`, else test.

    counts: (num_items,) public training counts; they define popularity slices and novelty, alike for all arms.
    """
    protocol = ranking_protocol(exchange.holdout)
    per_model = MetricSums.layout(protocol, len(counts))
    layout = Layout(())
    for spec in specs:
        layout = layout.join(per_model.prefixed(spec.label))
    body = ScoreBody(
        round=exchange.next_round(),
        phase=phase,
        capacity=exchange.capacity,
        holdout=exchange.holdout,
        arm=arm,
        training=alone_plan(exchange.config) if arm == "local" else None,
        models=tuple(specs),
    )
    arrays = {"counts": np.asarray(counts, dtype=np.float64)} | _shared(arm, models)
    total = exchange.ask(SCORE, body, arrays, layout, f"score {arm}")
    return {spec.label: MetricSums.from_total(total.part(spec.label), protocol).summary() for spec in specs}


def _shared(arm: Arm, models: Mapping[str, tuple[Candidate, Weights]]) -> dict[str, AnyArray]:
    """The weights that clients need; under arm `local` they fit their own."""
    if arm == "local":
        return {}
    return {
        f"{label}/{name}": weights[name]
        for label, (candidate, weights) in models.items()
        for name in candidate.algorithm.shared
        if name in weights
    }
