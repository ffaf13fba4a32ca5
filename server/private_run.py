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
from fedrec.privacy.budget import spending_of, steps_of
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


def check_private(config: Config, options: Options) -> int:
    """How many recommenders of a run with [privacy] are trained by gradients. Raises ConfigError if they cannot be."""
    gradient = [c.label for several in options.values() for c in several if not isinstance(c.algorithm, ClosedForm)]
    if config.privacy is None or not gradient:
        return 0
    from fedrec.models.losses import FULL_SOFTMAX, SAMPLED  # torch, for runs that use it

    if config.privacy.placement == "central-for-comparison":
        raise ConfigError(
            f"'{gradient[0]}' is trained by gradients, and each of its steps has noise that tenants make; set "
            "privacy.placement to 'local' or 'distributed', or leave the recommender out."
        )
    if config.privacy.devices:
        _check_stateless(config, options, gradient)
        return len(gradient)
    steps, loss = steps_of(config), config.training.local.get("loss", FULL_SOFTMAX)
    if loss not in SAMPLED:
        raise ConfigError(
            f"Under loss='{loss}' each user has a gradient for the whole catalogue; with [privacy] set "
            f"training.local.loss to one of {', '.join(SAMPLED)}."
        )
    if "patience" in config.training.local:
        raise ConfigError(f"With [privacy] a round is its {steps} steps; leave training.local.patience out.")
    if config.privacy.placement == "distributed":
        from fedrec.models.neural.plan import LocalTraining
        from fedrec.strategies.summed_steps import check_one_step

        values: dict[str, Any] = dict(config.training.local)
        check_one_step(LocalTraining(**values))
        _check_stateless(config, options, gradient)
    return len(gradient)


def _check_stateless(config: Config, options: Options, gradient: Sequence[str]) -> None:
    """Raises ConfigError for training in which a client keeps something from one round to the next."""
    if config.training.local.get("keep_moments"):
        raise ConfigError("With placement = 'distributed' clients keep nothing; leave training.local.keep_moments out.")
    trained = [candidate for several in options.values() for candidate in several if candidate.label in gradient]
    kept = [candidate.label for candidate in trained if getattr(candidate.algorithm, "private", ())]
    if kept:
        raise ConfigError(
            f"'{kept[0]}' keeps weights at each tenant that have no noise, and what users did would reach later rounds "
            "through them; with placement = 'distributed' set residual = 'shared' or 'none'."
        )


def plan_privacy(exchange: Exchange, items: ItemFeatures, options: Options) -> None:
    """Plan the noise of a run with [privacy]; nothing happens without. Raises ConfigError for what has no noise."""
    if exchange.config.privacy is None:
        return
    trained = check_private(exchange.config, options)
    federated = [candidate for several in options.values() for candidate in several if candidate.is_federated]
    closed = {c.label: c.algorithm for c in federated if isinstance(c.algorithm, ClosedForm)}
    exchange.spending = spending_of(exchange.config, closed, items, trained)
    if exchange.spending is not None:
        spending = exchange.spending
        exchange.events.emit(
            "privacy",
            placement=spending.placement,
            sharers=spending.sharers,
            multiplier=spending.multiplier,
            weight=spending.weight,
            **({} if spending.step is None else {"step": spending.step}),
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
