"""What differs in a run with differential privacy: the noise is planned first, and nothing is chosen on validation.

Metric sums carry no noise. They are asked for in simulations only, outside of the claim, and never to choose anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from fedrec.config import Arm, Config, ModelConfig
from fedrec.errors import ConfigError
from fedrec.models import ClosedForm, ItemFeatures
from fedrec.models.registry import ALGORITHMS
from fedrec.privacy.budget import spending_of
from fedrec.server.choosing import Candidate, Chosen
from fedrec.server.exchange import Exchange

COMPARABLE: tuple[Arm, ...] = ("floor", "local", "federated", "pooled")
"""The arms that need no choice on validation."""

BOUNDS: dict[str, bool | int] = {"max_items_per_user": 100, "unit_norm": True}
"""What one user can change in a private run, where the configuration does not say: the newest items only, and no user
more than another. Public, and the same for all data."""

Options = Mapping[str, tuple[Candidate, ...]]


def bounded(config: Config, models: Sequence[ModelConfig]) -> Sequence[ModelConfig]:
    """Recommenders as configured; in a private run with BOUNDS where they have them and the configuration does not."""
    return models if config.privacy is None else [_bounded(model) for model in models]


def check_private(config: Config, options: Options) -> None:
    """Raises ConfigError if a run with [privacy] has a recommender for which there is no noise."""
    gradient = [c.label for several in options.values() for c in several if not isinstance(c.algorithm, ClosedForm)]
    if config.privacy is not None and gradient:
        raise ConfigError(
            f"[privacy] covers recommenders that are fitted by sums; '{gradient[0]}' is trained by gradients. Leave it "
            "out, or leave out [privacy]."
        )


def plan_privacy(exchange: Exchange, items: ItemFeatures, options: Options) -> None:
    """Plan the noise of a run with [privacy]; nothing happens without. Raises ConfigError for what has no noise yet."""
    if exchange.config.privacy is None:
        return
    check_private(exchange.config, options)
    federated = [candidate for several in options.values() for candidate in several if candidate.is_federated]
    closed = {c.label: c.algorithm for c in federated if isinstance(c.algorithm, ClosedForm)}
    exchange.spending = spending_of(exchange.config, closed, items)
    if exchange.spending is not None:
        spending = exchange.spending
        exchange.events.emit(
            "privacy",
            placement=spending.placement,
            sharers=spending.sharers,
            multiplier=spending.multiplier,
            weight=spending.weight,
        )


def _bounded(model: ModelConfig) -> ModelConfig:
    known = {field.name for field in fields(cast(Any, ALGORITHMS[model.name]))} if model.name in ALGORITHMS else set()
    open_ = {name: value for name, value in BOUNDS.items() if name in known and name not in model.parameters}
    return ModelConfig.model_validate({"name": model.name, **open_, **model.parameters})


def settled(options: Options) -> list[Chosen]:
    """Each recommender with its only candidate: the configuration gave one value of each hyper-parameter."""
    return [Chosen(several[0], ()) for several in options.values()]


def scored_arms(config: Config, arms: Sequence[Arm]) -> list[Arm]:
    """The arms whose metrics are asked for: of a private run those that need no choice, and only in a simulation."""
    if config.privacy is None:
        return list(arms)
    return [arm for arm in arms if arm in COMPARABLE and config.privacy.evaluation == "simulation"]


def first_personal(chosen: Sequence[Chosen], floor: str) -> str:
    """The recommender that serves tenants where nothing was measured: the first of the configuration but the floor."""
    labels = [choice.candidate.label for choice in chosen if choice.candidate.is_federated]
    return next((label for label in labels if label != floor), floor)
