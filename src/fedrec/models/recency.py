"""How much each event of a user's own history counts when items are scored: the newer, the more.

This happens where the history is, at scoring time. It changes nothing that is released and costs no privacy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrec.data.histories import CsrMatrix, Histories
from fedrec.models import validate
from fedrec.models.distinct import is_newest


@dataclass(frozen=True)
class Recency:
    """Weight 0.5 ** (age / half_life) for the newest `window` events, age 0 being the newest; 0 before them.

    half_life: in events; None weights all alike. window: None is the whole history.
    """

    half_life: float | None = None
    window: int | None = None

    def __post_init__(self) -> None:
        if self.half_life is not None:
            validate.positive("half_life", self.half_life)
        validate.optional_whole("window", self.window)

    def profiles(self, histories: Histories) -> CsrMatrix:
        """(num_users, num_items) float64 CSR of event weights; an item that occurs again has its newest
        weight."""
        recent = histories if self.window is None else histories.newest(self.window)
        mask, ages = is_newest(recent), recent.ages
        kept = recent.keep(mask)
        weights = np.ones(kept.num_events) if self.half_life is None else 0.5 ** (ages[mask] / self.half_life)
        return kept.weighted(weights)
