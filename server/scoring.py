"""Score one arm at all clients: metric sums per recommender, as one total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedrec.config import Arm
from fedrec.contribution import Layout, Total
from fedrec.errors import ModelError
from fedrec.messages import SCORE, AnyArray, EncoderSpec, ModelSpec, Phase, ScoreBody, ranking_protocol
from fedrec.metrics import MetricSums, Summary
from fedrec.models import Weights, create
from fedrec.models.protocols import EncoderId
from fedrec.server.choosing import Candidate
from fedrec.server.content import encoder_of
from fedrec.server.exchange import Exchange
from fedrec.server.neural import own_plan


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
    total = ask_scores(exchange, score_body(exchange, arm, specs, models, phase), models, counts, layout)
    return {spec.label: MetricSums.from_total(total.part(spec.label), protocol).summary() for spec in specs}


def score_body(
    exchange: Exchange,
    arm: Arm,
    specs: Sequence[ModelSpec],
    models: Mapping[str, tuple[Candidate, Weights]],
    phase: Phase,
) -> ScoreBody:
    """What clients are asked for an arm, in the next round."""
    return ScoreBody(
        round=exchange.next_round(),
        phase=phase,
        capacity=exchange.capacity,
        holdout=exchange.holdout,
        arm=arm,
        training=own_plan(arm, exchange.config),
        encoder=EncoderSpec.of(encoder_of_models(models) or _own_encoder(exchange, arm, specs)),
        models=tuple(specs),
    )


def ask_scores(
    exchange: Exchange,
    body: ScoreBody,
    models: Mapping[str, tuple[Candidate, Weights]],
    counts: AnyArray,
    layout: Layout,
) -> Total:
    """The sum of all clients' answers to `body`, who get the weights of `models` that its arm needs."""
    arrays = {"counts": np.asarray(counts, dtype=np.float64)} | shared_weights(body.arm, models)
    return exchange.ask(SCORE, body, arrays, layout, f"score {body.arm}")


def encoder_of_models(models: Mapping[str, tuple[Candidate, Weights]]) -> EncoderId | None:
    """The encoder of the content in `models`. Raises ModelError if they were fitted on that of different ones."""
    found = {encoder for _, weights in models.values() if (encoder := EncoderId.of(weights)) is not None}
    if len(found) > 1:
        both = " and ".join(sorted(map(str, found)))
        raise ModelError(f"The models were fitted on content of {both}; fit them again on one of them.")
    return found.pop() if found else None


def _own_encoder(exchange: Exchange, arm: Arm, specs: Sequence[ModelSpec]) -> EncoderId | None:
    """What tenants that fit recommenders alone describe items by, where these use content: what the run does."""
    encoder = encoder_of(exchange.config)
    if encoder is None or arm != "local":
        return None
    return encoder.identity if any(create(s.name, s.candidates[0]).uses_content for s in specs) else None


def shared_weights(arm: Arm, models: Mapping[str, tuple[Candidate, Weights]]) -> dict[str, AnyArray]:
    """The weights that clients need; under arm `local` they fit their own, and `personal` ranks nothing anew."""
    if arm in ("local", "personal"):
        return {}
    return {
        f"{label}/{name}": weights[name]
        for label, (candidate, weights) in models.items()
        for name in candidate.algorithm.shared
        if name in weights
    }
