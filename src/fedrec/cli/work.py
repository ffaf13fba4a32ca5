"""How much of a run is done, and how long the rest may take: an estimate from the events so far.

The unit of work is one sum over all rows. The factors below were read off runs on two cores; a wrong one makes the
estimate wrong for a while, since it is corrected by the pace that is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from fedrec.config import Config, ModelConfig
from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.errors import FedrecError
from fedrec.models import ClosedForm, ItemFeatures, fit, pooled_sum
from fedrec.models.protocols import Statistic
from fedrec.server.choosing import Candidate, candidates_of
from fedrec.server.events import Event

SCORING = 2.5
FLOOR_SCORING = 0.8
ALONE = 0.3  # of a pooled fit, for each tenant that fits by itself
MASKING = 0.4  # of a round, for each tenant that masks its vector
CERTAIN_SHARE = 0.02  # before so much is done there is no estimate
LONG_ROUND = 5.0
REHEARSAL_ITEMS = 96  # more than any default rank


class Work:
    """The work of one run; fed with its events."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._federation, self._clock = config.federation, clock
        self._steps = 2.0 * (_steps(config.models) + SCORING)  # choose, then fit for good: what a pooled run does
        self._tenants, self._nodes, self._federated = 1, 1, False
        self._done, self._round, self._within = 0.0, 0.0, 0.0
        self._begun = self._round_begun = clock()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        kind = event["event"]
        if kind == "loaded":
            self._tenants, self._begun = int(event["tenants"]), self._clock()
        elif kind == "stage-start":
            self._federated = event["stage"] == "federation"
        elif kind == "round-start":
            self._nodes, self._within = max(1, int(event["nodes"])), 0.0
            self._round, self._round_begun = self._weight(str(event["action"]), self._federated), self._clock()
        elif kind == "reply":
            self._within = int(event["done"]) / self._nodes
        elif kind == "round-end":
            self._done, self._round, self._within = self._done + self._round, 0.0, 0.0

    @property
    def share(self) -> float:
        """What is done of everything, between 0 and 1."""
        return min(1.0, (self._done + self._within * self._round) / self._total)

    def remaining_s(self) -> float | None:
        """Seconds that the rest may take; None as long as nothing can be said."""
        if self.share < CERTAIN_SHARE:
            return None
        left = self._total - self._done - self._within * self._round
        return max(0.0, left * self._pace())

    @property
    def _total(self) -> float:
        arms = self._federation.arms
        scores = sum(self._weight(f"score {arm}", federated=True) for arm in arms)
        choosing = (self._steps - SCORING) * self._factor(federated=True)
        return choosing + scores + self._steps * ("pooled" in arms)

    def _weight(self, action: str, federated: bool) -> float:
        factor = self._factor(federated)
        if action == "score local":
            return factor + ALONE * self._tenants * self._steps
        if action == "score floor":
            return FLOOR_SCORING * factor
        return (SCORING if action.startswith("score") else 1.0) * factor

    def _factor(self, federated: bool) -> float:
        """How much more a round is if each tenant masks what it sends."""
        return 1 + MASKING * self._tenants * (federated and self._federation.secure_aggregation)

    def _pace(self) -> float:
        """Seconds for a unit: of the present round if it is long, else of the whole run."""
        now = self._clock()
        if self._round > LONG_ROUND and self._within > 0.1:
            return (now - self._round_begun) / (self._within * self._round)
        return (now - self._begun) / (self._done + self._within * self._round)


def _steps(models: Sequence[ModelConfig]) -> int:
    """Rounds of sums that fitting takes: those of the recommender that needs most, since all travel together."""
    return max(_rounds(candidates_of(model)[0]) for model in models)


def _rounds(candidate: Candidate) -> int:
    """Counted in a rehearsal on two users; 1 where that is too small for the recommender."""
    if not isinstance(candidate.algorithm, ClosedForm):
        return 1
    rows = Histories(np.array([0, 3, 5]), np.array([0, 1, 2, 1, 3]), REHEARSAL_ITEMS)
    total, rounds = pooled_sum([rows]), 0

    def counted(statistic: Statistic) -> Total:
        nonlocal rounds
        rounds += 1
        return total(statistic)

    try:
        fit(candidate.algorithm, ItemFeatures(REHEARSAL_ITEMS, np.eye(REHEARSAL_ITEMS, dtype=np.float32)), counted)
    except FedrecError:
        return 1
    return rounds
