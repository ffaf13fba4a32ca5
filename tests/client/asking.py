"""Instructions to train, as a server would send them to the tenants of these tests, and what refusing them must not do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from fedrec.client.local_training import train_reply
from fedrec.client.store import TenantStore
from fedrec.errors import Refusal
from fedrec.messages import Capacity, instruction
from fedrec.models.neural import NeuralModel
from fedrec.server.exchange import holdout_of
from fedrec.strategies.local_updates import TRAIN, TrainBody
from tests.federation import config_of


def train_body(model: NeuralModel, /, **changes: Any) -> TrainBody:
    """Of the first of five rounds, after the choice."""
    given = {
        "round": 1,
        "rounds": 5,
        "phase": "final",
        "capacity": Capacity(max_clients=4, max_users=1000),
        "holdout": holdout_of(config_of()),
        "run": "0" * 16,
        "model": model.name,
        "params": asdict(model),
        "content": False,
    }
    return TrainBody(**(given | changes))


def train_message(body: TrainBody, arrays: Mapping[str, np.ndarray]) -> Message:
    return Message(instruction(body, arrays), dst_node_id=1, message_type=TRAIN)


def refused_unread(monkeypatch: pytest.MonkeyPatch, message: Message, store: TenantStore) -> str:
    """Why the tenant declines; no row may be read for that."""
    monkeypatch.setattr(TenantStore, "dataset", lambda self: pytest.fail("rows were read"))
    with pytest.raises(Refusal) as refused:
        train_reply(message, store)
    return refused.value.reason
