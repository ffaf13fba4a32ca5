"""Public terms that every instruction states: the limits of a sum, what is held out, and how that is ranked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fedrec.config import Section
from fedrec.metrics import RankingProtocol


class Capacity(Section):
    """Public upper limits from which the number of bits, and so the absence of overflow, follows."""

    max_clients: int = Field(ge=1)
    max_users: int = Field(ge=1)


class Holdout(Section):
    """What the client holds out of its own rows, how the others fade, and how it ranks; see `EvaluationConfig` and
    `FreshnessConfig`."""

    rule: Literal["leave-last-out", "time"]
    starts: tuple[int, int] | None
    exclude_seen: bool
    ks: tuple[int, ...]
    bootstrap: int
    headline: str
    seed: int
    half_life_s: float | None = Field(default=None, gt=0)
    as_of: int | None = None


def ranking_protocol(holdout: Holdout) -> RankingProtocol:
    """How both sides rank and lay out the sums."""
    return RankingProtocol(
        ks=holdout.ks, exclude_seen=holdout.exclude_seen, num_bootstrap=holdout.bootstrap, seed=holdout.seed
    )
