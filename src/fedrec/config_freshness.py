"""The part of a configuration that is about time: how events fade, and which run this one follows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
DAY_S = 86_400


class FreshnessConfig(BaseModel):
    """What a run makes of the age of events, and of the run before it; see docs/deploy.md, "Fresh data".

    half_life_days: an event loses half of its weight in every sum each so many days; None: all weigh alike. as_of: the
    public moment, unix seconds, up to which ages are counted. A platform writes its own clock into a run that does not
    say; a simulation takes the newest of all events.
    after: the name of a finished run that this one follows: its hyper-parameters are taken, its weights are where
    training begins, for `rounds` rounds (None: a fifth of training.rounds), nothing is held out and no test is read.
    drift: whether a run that follows another one measures first how far the data went from what that one saw.
    divergence: the least Jensen-Shannon divergence, in bits, that is called a drift, however sure it is. At less than
    0.007 less than a tenth of all choices moved, by Pinsker's inequality: JS >= d^2 / (2 ln 2) for a share d.
    false_alarms: the chance that an alarm of each kind is raised though nothing changed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    half_life_days: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    as_of: int | None = Field(default=None, ge=0, le=1 << 40)
    after: str | None = Field(default=None, pattern=RUN_NAME, max_length=80)
    rounds: int | None = Field(default=None, ge=1)
    drift: bool = True
    divergence: float = Field(default=0.007, ge=0, le=1)
    false_alarms: float = Field(default=0.01, ge=0.0001, le=0.5)

    @model_validator(mode="after")
    def _has_a_moment(self) -> FreshnessConfig:
        if self.after is not None and self.as_of is None:
            raise ValueError("a run that follows another one needs as_of, the moment up to which it takes events")
        return self

    @property
    def half_life_s(self) -> float | None:
        """The half-life in seconds."""
        return None if self.half_life_days is None else self.half_life_days * DAY_S

    def at(self, as_of: int) -> FreshnessConfig:
        """The same with its moment, unless it has one."""
        return self if self.as_of is not None else self.model_copy(update={"as_of": as_of})


def check_freshness(freshness: FreshnessConfig, privacy: Any) -> None:
    """Raises ValueError where the moment would be taken from private rows."""
    if privacy is not None and freshness.half_life_days is not None and freshness.as_of is None:
        raise ValueError(
            "freshness: a moment that is taken from the rows is a release that nobody accounts for; with [privacy] "
            "give as_of in unix seconds"
        )
