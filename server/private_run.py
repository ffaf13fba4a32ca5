"""What differs in a run with differential privacy: the noise is planned first, and a choice on validation has some.

What there is to choose from is fitted on training rows, compared by one noised release, and kept as it is: to release
the sums again with the validation rows would halve each one's budget, and add an event to each user's many. Metric sums
carry no noise. They are asked for in simulations only, outside of the claim, and never to choose anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from fedrec.config import Arm, Config, ModelConfig
from fedrec.config_privacy import PrivacyConfig
from fedrec.errors import ConfigError
from fedrec.models import ClosedForm, ItemFeatures
from fedrec.models.registry import ALGORITHMS
from fedrec.privacy.budget import Search, spending_of, steps_of
from fedrec.privacy.expectation import expected
from fedrec.server.choosing import Candidate, Chosen
from fedrec.server.exchange import Exchange

COMPARABLE: tuple[Arm, ...] = ("floor", "local", "federated", "pooled")
"""The arms that need no choice on validation."""

BOUNDS: dict[str, bool | int] = {"max_items_per_user": 100, "unit_norm": True}
"""What one user can change in a private run, where the configuration does not say: the newest items only, and no user
more than another. Public, and the same for all data."""

Options = Mapping[str, tuple[Candidate, ...]]


@dataclass(frozen=True)
class Tuning:
    """A search that a run is one trial of. model: the recommender that is tuned, the only one that is scored. trials:
    how many the budget is for. fits: how often its sums are released, once if all trials share them. shared: the folder
    of those that they share."""

    model: str
    trials: int
    fits: int
    shared: Path

    @property
    def search(self) -> Search:
        """What the whole search releases."""
        return Search(self.trials, self.fits, self.trials)


def compared(options: Options, tuning: Tuning | None = None) -> tuple[Candidate, ...]:
    """The candidates that validation is asked for: of recommenders that the configuration leaves open, or of the one
    that is tuned. Each tenant chooses for itself what stays with it."""
    open_ = [
        several for name, several in options.items() if (len(several) > 1 if tuning is None else name == tuning.model)
    ]
    return tuple(candidate for several in open_ for candidate in several if candidate.is_federated)


def bounded(config: Config, models: Sequence[ModelConfig]) -> Sequence[ModelConfig]:
    """Recommenders as configured; in a private run with BOUNDS where they have them and the configuration does not, and
    not personal where the stated users are too few for that."""
    privacy = config.privacy
    if privacy is None:
        return models
    filled = BOUNDS if _are_enough(privacy, config.federation.min_tenants) else BOUNDS | {"personal": False}
    return [_bounded(model, filled) for model in models]


def _are_enough(privacy: PrivacyConfig, tenants: int) -> bool:
    if privacy.users is None:
        return True
    sharers = {"distributed": tenants - privacy.colluding, "local": 1}.get(privacy.placement, tenants)
    return expected(privacy.users, privacy.epsilon, privacy.delta).is_personal((tenants / sharers) ** 0.5)


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


def plan_privacy(exchange: Exchange, items: ItemFeatures, options: Options, tuning: Tuning | None = None) -> None:
    """Plan the noise of a run with [privacy]; nothing happens without. Raises ConfigError for what has no noise."""
    if exchange.config.privacy is None:
        return
    trained, scored = check_private(exchange.config, options), compared(options, tuning)
    _check_comparable(scored)
    closed = closed_forms(options)
    search = tuning.search if tuning is not None else Search(validations=1 if scored else 0)
    exchange.spending = spending_of(exchange.config, closed, items, trained, search)
    if exchange.spending is not None:
        spending = exchange.spending
        exchange.events.emit(
            "privacy",
            placement=spending.placement,
            sharers=spending.sharers,
            multiplier=spending.multiplier,
            weight=spending.weight,
            candidates=len(scored),
            **({} if spending.step is None else {"step": spending.step}),
        )


def closed_forms(options: Options) -> dict[str, ClosedForm]:
    """All candidates that are fitted by sums over the tenants, by label."""
    federated = [candidate for several in options.values() for candidate in several if candidate.is_federated]
    return {c.label: c.algorithm for c in federated if isinstance(c.algorithm, ClosedForm)}


def _bounded(model: ModelConfig, filled: Mapping[str, bool | int]) -> ModelConfig:
    known = {field.name for field in fields(cast(Any, ALGORITHMS[model.name]))} if model.name in ALGORITHMS else set()
    open_ = {name: value for name, value in filled.items() if name in known and name not in model.parameters}
    return ModelConfig.model_validate({"name": model.name, **open_, **model.parameters})


def _check_comparable(scored: Sequence[Candidate]) -> None:
    """Raises ConfigError for candidates of which validation would say more than noise covers."""
    kept = [candidate for candidate in scored if candidate.algorithm.private]
    if kept:
        raise ConfigError(
            f"'{kept[0].model}' keeps weights at each tenant, through which one user changes what others are shown; "
            "with [privacy] give it one value of each hyper-parameter, or residual = 'shared' or 'none'."
        )


def scored_arms(config: Config, arms: Sequence[Arm]) -> list[Arm]:
    """The arms whose metrics are asked for: of a private run those that need no choice, and only in a simulation."""
    if config.privacy is None:
        return list(arms)
    return [arm for arm in arms if arm in COMPARABLE and config.privacy.evaluation == "simulation"]


def first_personal(chosen: Sequence[Chosen], floor: str) -> str:
    """The recommender that serves tenants where nothing was measured: the first of the configuration but the floor."""
    labels = [choice.candidate.label for choice in chosen if choice.candidate.is_federated]
    return next((label for label in labels if label != floor), floor)
