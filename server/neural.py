"""Neural recommenders of a configuration, trained over the federation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fedrec.config import Arm, Config
from fedrec.errors import ConfigError
from fedrec.messages import AnyArray, Params, Phase
from fedrec.models import ItemFeatures, Weights
from fedrec.models.protocols import Scoring
from fedrec.server.exchange import Exchange
from fedrec.server.warm_start import AT_RANDOM, FirstWeights

if TYPE_CHECKING:
    from fedrec.server.training import FederatedTraining


def train_weights(
    exchange: Exchange,
    model: Scoring,
    items: ItemFeatures,
    counts: AnyArray,
    phase: Phase,
    folder: Path,
    start: FirstWeights = AT_RANDOM,
) -> Weights:
    """Shared and public weights of a neural recommender. A run that was interrupted is taken up where it was."""
    from fedrec.models.neural.protocol import public_weights, run_weight  # torch, for runs that use it
    from fedrec.server.training import run_name, train_federated

    training = replace(training_of(exchange.config), warm_start=start.fitted_by)
    first = dict(start.arrays)
    shared = train_federated(exchange, cast(Any, model), items, training, phase, folder, resume=True, start=first)
    run = run_weight(run_name(exchange, cast(Any, model), training, phase, items)) if model.private else {}
    return shared | public_weights(items, counts) | run


def training_of(config: Config) -> FederatedTraining:
    """What happens between the first weights and the last. Raises ConfigError for a wrong key or value."""
    from fedrec.models.neural.plan import LocalTraining  # torch, for runs that use it
    from fedrec.server.training import FederatedTraining

    configured = config.training
    local: dict[str, Any] = dict(configured.local)
    try:
        plan = LocalTraining(**local)
    except TypeError as error:
        raise ConfigError(f"training.local: {error}.") from error
    parameters: Params = dict(configured.parameters)
    server = (configured.optimizer, parameters, configured.schedule)
    return FederatedTraining(configured.rounds, *server, configured.cohort, local=plan)


def own_plan(arm: Arm, config: Config) -> Params | None:
    """The plan of a client that trains without others, from the beginning or from federated weights; None where an arm
    trains nothing."""
    training = config.training
    if arm == "local":
        return {**training.local, "epochs": training.alone_epochs, "steps": None, **training.alone}
    if arm == "tuned":
        rate: Params = {"learning_rate": training.tuning_learning_rate, "schedule": "constant", "warmup_steps": 0}
        return {**training.local, **training.alone, **rate, "epochs": training.tuning_epochs, "steps": None}
    return None
