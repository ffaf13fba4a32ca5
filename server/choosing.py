"""Hyper-parameters that a configuration leaves open are chosen on validation, by a federated metric sum."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from fedrec.config import ModelConfig
from fedrec.config_training import Value
from fedrec.errors import ConfigError
from fedrec.messages import Params
from fedrec.models import Localised, create, parameters_of
from fedrec.models.protocols import Scoring

WORDS = {"residual"}
"""Hyper-parameters of which "none" is one of the values."""


@dataclass(frozen=True)
class Candidate:
    """One recommender with one choice of its hyper-parameters."""

    label: str
    model: str
    params: Params

    @property
    def algorithm(self) -> Scoring:
        """The recommender itself."""
        return create(self.model, self.params)

    @property
    def is_federated(self) -> bool:
        """Whether anything of it is learnt together; else each tenant makes it from its own rows."""
        return not isinstance(self.algorithm, Localised)


@dataclass(frozen=True)
class Chosen:
    """The best candidate of a recommender, and what each candidate reached on validation. margin: scores that differ
    by less were held to be equal, since noise is on them."""

    candidate: Candidate
    scores: tuple[tuple[Params, float], ...]
    margin: float = 0.0

    @property
    def validation(self) -> float:
        """What the best candidate reached."""
        return max(score for _, score in self.scores)

    @property
    def told_apart(self) -> bool:
        """Whether the candidate is the only one within the margin of the best."""
        return sum(score >= self.validation - self.margin for _, score in self.scores) == 1


def candidates_of(model: ModelConfig) -> tuple[Candidate, ...]:
    """Every combination of the listed values, in the order of the configuration. Raises ConfigError for a wrong one."""
    lists = {key: value if isinstance(value, list) else [value] for key, value in model.parameters.items()}
    empty = [key for key, values in lists.items() if not values]
    if empty:
        raise ConfigError(f"models.{model.name}.{empty[0]}: expected at least one value to choose from, got [].")
    options = [
        parameters_of(create(model.name, {key: _value(key, v) for key, v in zip(lists, values, strict=True)}))
        for values in itertools.product(*lists.values())
    ]
    if len(options) == 1:
        return (Candidate(model.name, model.name, options[0]),)
    return tuple(Candidate(f"{model.name}:{index}", model.name, params) for index, params in enumerate(options))


def best(options: Sequence[Candidate], headline: dict[str, float], margin: float = 0.0) -> Chosen:
    """The candidate with the highest validation score; the earliest of those within `margin` of it, or the first if
    none was scored."""
    scored = [option for option in options if option.label in headline]
    least = max((headline[option.label] for option in scored), default=0.0) - margin
    top = next((option for option in scored if headline[option.label] >= least), options[0])
    settled = bool(scored) or len(options) == 1  # else each tenant chooses for itself
    final = Candidate(top.model, top.model, top.params if settled else {})
    reached = tuple((option.params, headline[option.label]) for option in scored)
    return Chosen(final, reached, margin if scored else 0.0)


def winner(chosen: Sequence[Chosen]) -> Candidate | None:
    """The recommender that did best on validation, the earlier of equals; None if none was scored there."""
    scored = [choice for choice in chosen if choice.scores]
    return max(scored, key=lambda choice: choice.validation).candidate if scored else None


def _value(key: str, value: Value) -> Value | None:
    """TOML has no null; the text "none" stands for it, but where it is a value itself."""
    return None if value == "none" and key not in WORDS else value
