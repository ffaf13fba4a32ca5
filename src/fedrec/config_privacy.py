"""The part of a configuration that is about differential privacy, and what it does not go together with."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

Placement = Literal["distributed", "local", "central-for-comparison"]
"""Where noise is made; see `fedrec.privacy.policy`."""


class PrivacyConfig(BaseModel):
    """What the run may cost a user in differential privacy; see docs/privacy.md. Each tenant has limits of its own.

    epsilon, delta: of all releases of the run together, for one user (all rows of one shopper at one tenant).
    placement: where the noise is made. colluding: tenants that may tell their share of the noise to the server; the
    noise of federation.min_tenants less these is what is counted on. users: how many take part in all, a public number
    and about right; where they are too few for the noise, content-PCA asks for nothing personal, and the popularity
    list that it is then has all of the budget. evaluation: "simulation" adds up metrics without
    noise, which no claim covers; a real tenant refuses that.
    sample_rate, clip_norm: of recommenders that are trained by gradients, the chance that a user is in a step and the
    L2 bound of a user's gradient there. How much noise that takes follows from epsilon, delta and the steps of the run.
    clip_quantile: the share of users whose gradients the bound should leave as they are; it begins at clip_norm and
    follows a noised vote of the users. None keeps it fixed. Distributed noise only.
    devices: each client is one user. What a round of training changed is bounded as a whole, by clip_norm, and the
    server draws the clients of a round with chance training.cohort. trusted_sampling: the clients take its word for
    that, and count on it in what they are charged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(gt=0, le=1000)
    delta: float = Field(gt=0, lt=0.1)
    unit: Literal["user"] = "user"
    placement: Placement = "distributed"
    colluding: int = Field(default=1, ge=0)
    users: int | None = Field(default=None, ge=1)
    evaluation: Literal["none", "simulation"] = "none"
    sample_rate: float = Field(default=0.1, gt=0, le=1)
    clip_norm: float = Field(default=0.5, gt=0)
    clip_quantile: float | None = Field(default=None, gt=0, lt=1)
    devices: bool = False
    trusted_sampling: bool = False


class Held(Protocol):
    """What is held out; see `EvaluationConfig`."""

    @property
    def holdout(self) -> str: ...
    @property
    def starts(self) -> tuple[int, int] | None: ...


class Taking(Protocol):
    """Who takes part; see `FederationConfig`."""

    @property
    def secure_aggregation(self) -> bool: ...
    @property
    def min_tenants(self) -> int: ...
    @property
    def max_users_per_tenant(self) -> int: ...


def check_privacy(privacy: PrivacyConfig, evaluation: Held, federation: Taking) -> None:
    """Raises ValueError for what would break the claim."""
    if evaluation.holdout == "time" and evaluation.starts is None:
        raise ValueError(
            "evaluation: moments that are taken from the rows are a release that nobody accounts for; with [privacy] "
            "give starts = [validation, test] in unix seconds"
        )
    if privacy.placement != "distributed":
        if privacy.clip_quantile is not None:
            raise ValueError("privacy: clip_quantile needs placement = 'distributed', whose sums hold the users' votes")
        if privacy.devices:
            raise ValueError("privacy: devices needs placement = 'distributed'; all noise on one user leaves nothing")
        return
    if privacy.trusted_sampling and not privacy.devices:
        raise ValueError("privacy: trusted_sampling is about devices; tenants draw their users themselves")
    if privacy.devices and federation.max_users_per_tenant != 1:
        raise ValueError("privacy: devices = true: a client is one user; set federation.max_users_per_tenant to 1")
    if not federation.secure_aggregation:
        raise ValueError(
            "privacy: placement = 'distributed' hides each tenant's part under masks; switch on "
            "federation.secure_aggregation, or take placement = 'local'"
        )
    if federation.min_tenants <= privacy.colluding:
        raise ValueError("privacy: colluding must be fewer than federation.min_tenants, or nobody's noise counts")
