"""The section `[tune]` of a configuration: what `fedrec tune` searches, and how often validation was used before.

[tune.space]
"training.local.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
"models.sasrec.dim" = [32, 64]
"""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

KEY = re.compile(r"(training|training\.local|training\.parameters|models\.[^.]+)\.[^.]+")
FORMS = "training.<key>, training.local.<key>, training.parameters.<key> or models.<recommender>.<key>"


class Range(BaseModel):
    """All values between two bounds, both included: whole numbers if both bounds are. log: each order of magnitude is
    as likely as any other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ascending(self) -> Range:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"expected low={self.low} < high={self.high}, both finite")
        if self.log and self.low <= 0:
            raise ValueError(f"expected low={self.low} > 0 under log=true")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Choice = tuple[bool | int | float | str, ...]
"""Values to choose from."""
Values = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choice, Tag("choice")],
    Discriminator(lambda given: "choice" if isinstance(given, list | tuple) else "range"),
]
Space = dict[str, Range | Choice]
"""Key of a configuration -> what it may be."""


class TuneConfig(BaseModel):
    """space: what is searched; empty is the default of the recommender. evaluations: how often validation has been
    asked to find the values of this configuration; `fedrec tune` writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: dict[str, Values] = {}
    evaluations: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _searchable(self) -> TuneConfig:
        for key, values in self.space.items():
            if not KEY.fullmatch(key):
                raise ValueError(f"space: expected '{key}' to be {FORMS}")
            if values == ():
                raise ValueError(f"space: '{key}' has no value to choose from")
        return self
