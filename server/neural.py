"""Neural recommenders of a configuration, trained over the federation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.messages import AnyArray, Params, Phase
from fedrec.models import ItemFeatures, Weights
from fedrec.models.protocols import Scoring
from fedrec.server.exchange import Exchange


def train_weights(
    exchange: Exchange, model: Scoring, items: ItemFeatures, counts: AnyArray, phase: Phase, folder: Path
) -> Weights:
    """Shared and public weights of a neural recommender. A run that was interrupted is taken up where it was."""
    from fedrec.models.neural.plan import LocalTraining  # torch, for runs that use it
    from fedrec.models.neural.protocol import public_weights
    from fedrec.server.training import FederatedTraining, train_federated

    configured = exchange.config.training
    local: dict[str, Any] = dict(configured.local)
    try:
        plan = LocalTraining(**local)
    except TypeError as error:
        raise ConfigError(f"training.local: {error}.") from error
    parameters: Params = dict(configured.parameters)
    training = FederatedTraining(configured.rounds, configured.optimizer, parameters, configured.cohort, local=plan)
    shared = train_federated(exchange, cast(Any, model), items, training, phase, folder, resume=True)
    return shared | public_weights(items, counts)


def alone_plan(config: Config) -> Params:
    """The plan of a client that trains without others."""
    return {**config.training.local, "epochs": config.training.alone_epochs}
