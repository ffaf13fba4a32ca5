"""Arm `fused`: which recommenders a tenant's list is made of, how good each mix is, and whom each part serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedrec.messages import AnyArray, ModelSpec, Phase, ScoreBody, ranking_protocol
from fedrec.metrics import MetricSums, Summary
from fedrec.models import ClosedForm, Weights
from fedrec.models.blending import PARTS
from fedrec.server.choosing import Candidate, Chosen
from fedrec.server.exchange import Exchange
from fedrec.server.scoring import ask_scores, score_body
from fedrec.strategies.fused import FUSED, MixSums, ServedSums, roles_of

Models = Mapping[str, tuple[Candidate, Weights]]
Options = Mapping[str, tuple[Candidate, ...]]


def parts_of(chosen: Sequence[Chosen]) -> list[Candidate]:
    """The recommenders of a fusion in the order of its parts: the best two by ids on validation, the best by content,
    and popularity. The first one names the fusion. Nothing if nothing was measured."""
    measured = [choice for choice in chosen if choice.scores and choice.candidate.is_federated]
    ranked = [choice.candidate for choice in sorted(measured, key=lambda choice: -choice.validation)]
    roles = roles_of([candidate.model for candidate in ranked])
    return [ranked[roles[part]] for part in PARTS if part in roles]


def measure_mixes(
    exchange: Exchange, chosen: Sequence[Chosen], options: Options, tried: Models, counts: AnyArray
) -> tuple[float, ...]:
    """What each mix reaches on validation of all tenants, if the run has an arm for it; each tenant keeps its own part.

    tried: all candidates, fitted on training rows.
    """
    parts = parts_of(chosen) if FUSED in exchange.config.federation.arms else []
    if not parts:
        return ()
    fitted = {(c.model, str(c.params)): weights for c, weights in tried.values()}
    models = {c.label: (c, fitted[c.model, str(c.params)]) for c in parts}
    total = ask_scores(
        exchange, _body(exchange, models, options, "choose"), models, counts, MixSums.layout().prefixed(FUSED)
    )
    return MixSums.agreed(total.part(FUSED))


def score_fused(
    exchange: Exchange, models: Models, options: Options, agreed: tuple[float, ...], counts: AnyArray
) -> dict[str, Summary]:
    """Metrics on test under the name of the first part, and as slice `served` the share of users that each part leads
    for."""
    protocol, lead = ranking_protocol(exchange.holdout), next(iter(models))
    layout = MetricSums.layout(protocol, len(counts)).prefixed(lead).join(ServedSums.layout().prefixed(FUSED))
    body = _body(exchange, models, options, "final").model_copy(update={"agreed": agreed})
    total = ask_scores(exchange, body, models, counts, layout)
    summary = MetricSums.from_total(total.part(lead), protocol).summary()
    return {lead: summary | {"served": ServedSums.from_total(total.part(FUSED)).summary()}}


def _body(exchange: Exchange, models: Models, options: Options, phase: Phase) -> ScoreBody:
    specs = [ModelSpec(label=c.label, name=c.model, candidates=(c.params,)) for c, _ in models.values()]
    return score_body(exchange, FUSED, specs, models, phase).model_copy(update={"own": own_specs(options)})


def own_specs(options: Options) -> tuple[ModelSpec, ...]:
    """What a tenant may make alone for its fusion: recommenders by ids in closed form, which cost little and need no
    content."""
    return tuple(
        ModelSpec(label=model, name=model, candidates=tuple(one.params for one in several))
        for model, several in options.items()
        if isinstance(several[0].algorithm, ClosedForm) and not several[0].algorithm.uses_content
    )
