"""Which recommenders enter an arm, and what clients are told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedrec.config import ARMS, Arm
from fedrec.messages import AnyArray, ModelSpec
from fedrec.metrics import Summary
from fedrec.models import ClosedForm, Popularity, Weights
from fedrec.server.choosing import Candidate, Chosen, winner
from fedrec.server.exchange import Exchange
from fedrec.server.fusing import parts_of, score_fused
from fedrec.server.scoring import score_arm
from fedrec.server.store import load_models

POPULARITY = Popularity.name
Models = dict[str, tuple[Candidate, Weights]]


@dataclass(frozen=True, eq=False)
class Entrants:
    """All that the arms of a run are made of.

    chosen: one candidate of each recommender. options: all candidates, among which a tenant that is alone chooses for
    itself. models: the federated ones of `chosen`, fitted. pooled: the folder of a run on all rows in one place.
    agreed: see `measure_mixes`.
    """

    chosen: Sequence[Chosen]
    options: Mapping[str, tuple[Candidate, ...]]
    models: Models
    pooled: Path | None = None
    agreed: tuple[float, ...] = ()

    def sent(self, arm: Arm) -> Models:
        """The recommenders whose weights clients are sent. Only neural ones can be tuned."""
        match arm:
            case "floor":
                return {POPULARITY: self.models[POPULARITY]}
            case "federated":
                return self.models
            case "tuned":
                return _neural(self.models)
            case "fused" if self.agreed:
                return {part.label: self.models[part.label] for part in parts_of(self.chosen)}
            case "pooled" if self.pooled is not None:
                return load_models(self.pooled / "models")
            case _:
                return {}

    def specs(self, arm: Arm) -> list[ModelSpec]:
        """What clients are told; nothing if nobody enters the arm."""
        final = [choice.candidate for choice in self.chosen]
        if arm == "local":  # each tenant chooses for itself: its own arm is as strong as it can be
            return [_spec(candidate, *self.options[candidate.model]) for candidate in final]
        if arm == "personal":  # led by the recommender that a tenant gets from the federation
            first = winner(self.chosen)
            return [] if first is None else [_spec(c, c) for c in (first, *(c for c in final if c != first))]
        return specs_of(self.sent(arm))

    def scored(self, exchange: Exchange, arm: Arm, counts: AnyArray) -> dict[str, Summary]:
        """Label -> what an arm does for all tenants' test users."""
        if arm == "fused":
            return score_fused(exchange, self.sent(arm), self.options, self.agreed, counts)
        return score_arm(exchange, arm, self.specs(arm), self.sent(arm), counts, "final")


def specs_of(models: Models) -> list[ModelSpec]:
    """Models with fixed hyper-parameters."""
    return [_spec(candidate, candidate) for candidate, _ in models.values()]


def in_order(arms: Sequence[Arm]) -> list[Arm]:
    """Arms in the order in which they are scored."""
    return [arm for arm in ARMS if arm in arms]


def measure_tuning(exchange: Exchange, chosen: Sequence[Chosen], tried: Models, counts: AnyArray) -> None:
    """Let each tenant see on its validation what tuning does for it, if it is to choose by that.

    tried: all candidates, fitted on training rows.
    """
    if not {"tuned", "personal"} <= set(exchange.config.federation.arms):
        return
    fitted = {(c.model, str(c.params)): weights for c, weights in tried.values()}
    final = [c for choice in chosen if (c := choice.candidate).is_federated]
    models = _neural({c.label: (c, fitted[c.model, str(c.params)]) for c in final})
    if models:
        score_arm(exchange, "tuned", specs_of(models), models, counts, "choose")


def _neural(models: Models) -> Models:
    return {label: (c, w) for label, (c, w) in models.items() if not isinstance(c.algorithm, ClosedForm)}


def _spec(candidate: Candidate, *options: Candidate) -> ModelSpec:
    return ModelSpec(label=candidate.label, name=candidate.model, candidates=tuple(one.params for one in options))
