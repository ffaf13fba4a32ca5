"""A choice under differential privacy: all candidates on validation, in one noised release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedrec.errors import ConfigError
from fedrec.messages import EncoderSpec, NoiseTerms
from fedrec.server.arms import Models, specs_of
from fedrec.server.choosing import Candidate, Chosen, best
from fedrec.server.exchange import Exchange
from fedrec.server.scoring import encoder_of_models, shared_weights
from fedrec.strategies.validation import VALIDATE, Reached, ValidateBody, layout_of, reached

Options = Mapping[str, tuple[Candidate, ...]]
Choice = tuple[list[Chosen], tuple[float, ...]]
"""What was chosen, and what each mix of arm `fused` reached, if that was measured."""


def choose_noised(exchange: Exchange, options: Options, tried: Models, scored: Sequence[Candidate]) -> Choice:
    """One candidate of each recommender: where noise leaves open which is the best, the first in the configuration.

    tried: candidates with weights that were fitted on training rows. scored: those of them that are compared.
    """
    if not scored:
        return [best(several, {}) for several in options.values()], ()
    found = _ask(exchange, {one.label: tried[one.label] for one in scored})
    headline = {one.label: mean for one, mean in zip(scored, found.means, strict=True)}
    chosen = [best(several, headline, found.margin) for several in options.values()]
    exchange.events.emit(
        "validation",
        round=exchange.round,
        metric=exchange.holdout.headline,
        scores=headline,
        users=round(found.users),
        margin=found.margin,
        told_apart={choice.candidate.label: choice.told_apart for choice in chosen if choice.scores},
    )
    return chosen, ()


def fitted_of(candidates: Sequence[Candidate], tried: Models) -> Models:
    """The chosen candidates with the weights by which they were chosen."""
    fitted = {(one.model, str(one.params)): weights for one, weights in tried.values()}
    return {one.label: (one, fitted[one.model, str(one.params)]) for one in candidates}


def _ask(exchange: Exchange, models: Models) -> Reached:
    spending = exchange.spending
    if spending is None:
        raise ConfigError("Nothing was planned for validation with noise; it needs [privacy].")
    terms = NoiseTerms(placement=spending.placement, sharers=spending.sharers, multipliers=(spending.validation,))
    body = ValidateBody(
        round=exchange.next_round(),
        phase="choose",
        capacity=exchange.capacity,
        holdout=exchange.holdout,
        encoder=EncoderSpec.of(encoder_of_models(models)),
        candidates=len(models),
        models=tuple(specs_of(models)),
        noise=terms,
    )
    arrays = shared_weights("federated", models)
    return reached(exchange.ask(VALIDATE, body, arrays, layout_of(len(models)), f"score {len(models)} with noise"))
