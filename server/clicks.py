"""Models of clicks over a federation: rounds of training, and one secure sum that says how good they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from fedrec.messages import AnyArray, Phase
from fedrec.models import ItemFeatures
from fedrec.models.ctr import ClickProtocol, ClickSums, WideDeep
from fedrec.server.exchange import Exchange
from fedrec.server.training import FederatedTraining, train_federated
from fedrec.strategies.clicks import CLICKS, ClickBody, click_params


def train_clicks(
    exchange: Exchange, model: WideDeep, training: FederatedTraining, phase: Phase, folder: Path
) -> dict[str, AnyArray]:
    """The weights after all rounds; see `train_federated`. A run that was interrupted is taken up where it was."""
    nothing = ItemFeatures(1)  # features are hashed: the weights depend on no catalogue
    return train_federated(exchange, cast(Any, model), nothing, training, phase, folder, resume=True)


def measure_clicks(
    exchange: Exchange, model: WideDeep, arrays: Mapping[str, AnyArray], phase: Phase, protocol: ClickProtocol
) -> ClickSums:
    """How well the held-out events of all tenants are predicted: those for validation, or in the end those of the test,
    which can be read once. Raises RoundFailed below the quorum."""
    body = ClickBody(
        round=exchange.next_round(),
        phase=phase,
        capacity=exchange.capacity,
        holdout=exchange.holdout,
        params=click_params(model),
        measures=click_params(protocol),
    )
    return ClickSums.from_total(
        exchange.ask(CLICKS, body, arrays, protocol.layout(), f"measure {model.name}"), protocol
    )
