"""The part of a configuration that is about training neural recommenders."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

WarmStart = Literal["none", "als", "pca"]
"""Nothing, or a closed form that has a vector for each item."""

Value = bool | int | float | str
"""One hyper-parameter."""


POOLED_NORM = 1000.0
"""Bound on the update of one client with all rows: far beyond any, since a clipped ceiling would be none."""


class TrainingConfig(BaseModel):
    """How neural recommenders are trained.

    schedule: of the server's learning rate. warm_start: the closed form from whose item factors the residuals of neural
    recommenders begin (the run's own, or one that is fitted for it). warm_tower: the content tower begins there, too,
    at the ridge regression of those factors onto the content, and the residuals at what it leaves. local: a client's
    part of a round, see `fedrec.models.neural.plan.LocalTraining`. alone: what is different where a client trains
    without others, for `alone_epochs`; so also in arm `tuned`, with which a tenant fits the federated weights to its
    own rows for `tuning_epochs` at `tuning_learning_rate`. pooled: what is different further where all rows are in one
    place.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(default=10, ge=1)
    optimizer: str = "fedavg"
    parameters: dict[str, Value] = {}
    schedule: str = "constant"
    warm_start: WarmStart = "none"
    warm_tower: bool = False
    cohort: float = Field(default=1.0, gt=0, le=1)
    alone_epochs: int = Field(default=10, ge=1)
    tuning_epochs: int = Field(default=3, ge=1)
    tuning_learning_rate: float = Field(default=3e-4, gt=0)
    local: dict[str, Value] = {}
    alone: dict[str, Value] = {}
    pooled: dict[str, Value] = {}

    def in_one_place(self) -> TrainingConfig:
        """The training of arm `pooled`: one round."""
        unbounded: dict[str, Value] = {"epochs": self.alone_epochs, "update_norm": POOLED_NORM}
        local = {**self.local, **unbounded, **self.alone, **self.pooled}
        local.pop("steps", None)
        server = {"optimizer": "fedavg", "parameters": {}, "schedule": "constant", "cohort": 1.0}
        return self.model_copy(update={**server, "rounds": 1, "local": local})
