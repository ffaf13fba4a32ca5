"""How much of a run is done, and how long the rest may take: an estimate from the events so far.

The unit of work is one sum over all rows. The factors below were read off runs on two cores; a wrong one makes the
estimate wrong for a while, since it is corrected by the pace that is measured. Rounds of training are counted apart and
have a pace of their own. What a resumed run need not do again is done, but tells nothing about the pace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
FUSED_SCORING = 4.0  # of several recommenders at once
CHOICE = 0.3  # arm `personal`, which ranks nothing
ALONE = 0.3  # of a pooled fit, for each tenant that fits by itself
MASKING = 0.4  # of a round, for each tenant that masks its vector
EPOCH = 30.0  # of training, over all rows
CERTAIN_SHARE = 0.02  # before so much is done there is no estimate
LONG_ROUND = 5.0
REHEARSAL_ITEMS = 96  # more than any default rank


@dataclass(frozen=True)
class Amount:
    """Work of the two kinds: units of sums and scores, and rounds of training."""

    units: float = 0.0
    rounds: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.units + other.units, self.rounds + other.rounds)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.units - other.units, self.rounds - other.rounds)

    def at_least(self, other: Amount) -> Amount:
        """The larger one of each kind."""
        return Amount(max(self.units, other.units), max(self.rounds, other.rounds))


class Plan:
    """What a configuration will take. tenants: known once the rows are loaded."""

    def __init__(self, config: Config) -> None:
        self._federation, self._training, self.tenants = config.federation, config.training, 1
        self._steps = _steps(config.models)
        neural = [several for several in map(candidates_of, config.models) if _is_trained(several[0])]
        self._candidates, self._trained = sum(map(len, neural)), len(neural)

    @property
    def epochs(self) -> float:
        """Of a round of training."""
        return float(self._training.local.get("epochs") or 1)

    def choosing(self, federated: bool) -> Amount:
        """Until the candidates were compared on validation."""
        units = (self._steps + SCORING) * self._factor(federated)
        if federated and {"tuned", "personal"} <= set(self._federation.arms):
            units += self.weight("score tuned", federated)
        if federated and "fused" in self._federation.arms:
            units += self.weight("score fused", federated)
        return Amount(units, self._training.rounds * self._candidates)

    def pooled(self) -> Amount:
        """All that happens before the federation."""
        if "pooled" not in self._federation.arms:
            return Amount()
        return self.choosing(federated=False) + self._final(federated=False) + Amount(SCORING)

    def total(self) -> Amount:
        """The whole run."""
        scores = sum(self.weight(f"score {arm}", federated=True) for arm in self._federation.arms)
        return self.pooled() + self.choosing(federated=True) + self._final(federated=True) + Amount(scores)

    def weight(self, action: str, federated: bool) -> float:
        """Units of one sum or score."""
        factor = self._factor(federated)
        if action == "score local":
            epochs = self._training.alone_epochs * (self._candidates + self._trained)
            return factor + ALONE * self.tenants * 2 * (self._steps + SCORING) + EPOCH * epochs
        if action == "score floor":
            return FLOOR_SCORING * factor
        if action == "score personal":
            return CHOICE * factor
        if action == "score tuned":
            return SCORING * factor + EPOCH * self._training.tuning_epochs * self._trained if self._trained else 0.0
        if action == "score fused":
            return FUSED_SCORING * factor
        return (SCORING if action.startswith("score") else 1.0) * factor

    def _final(self, federated: bool) -> Amount:
        return Amount(self._steps * self._factor(federated), self._training.rounds * self._trained)

    def _factor(self, federated: bool) -> float:
        """How much more a round is if each tenant masks what it sends."""
        return 1 + MASKING * self.tenants * (federated and self._federation.secure_aggregation)


class Work:
    """The work of one run; fed with its events."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock = Plan(config), clock
        self._nodes, self._federated = 1, False
        self._done, self._here = Amount(), Amount()  # of the run, and of it since this process began
        self._round, self._within = Amount(), 0.0  # the present one, and which share of its clients has answered
        self._begun = self._round_begun = clock()
        self._training_s = 0.0

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        kind = event["event"]
        if kind == "loaded":
            self._plan.tenants, self._begun = int(event["tenants"]), self._clock()
        elif kind == "stage-start":
            self._federated = event["stage"] == "federation"
        elif kind == "stage-end" and event["stage"] == "pooled":
            self._done = self._done.at_least(self._plan.pooled())
        elif kind == "resumed":
            self._done += Amount(rounds=int(event["step"]))
        elif kind == "chosen":
            self._chosen(event["kept"])
        elif kind == "round-start":
            self._begin(event)
        elif kind == "reply":
            self._within = int(event["done"]) / self._nodes
        elif kind in ("round-end", "round-discarded"):
            self._end()

    @property
    def share(self) -> float:
        """What is done of everything, between 0 and 1."""
        return min(1.0, self._in_units(self._now(self._done)) / self._in_units(self._plan.total()))

    def remaining_s(self) -> float | None:
        """Seconds that the rest may take; None as long as nothing can be said: sums tell little about training."""
        worked, left = self._now(self._here), self._plan.total() - self._now(self._done)
        if self.share < CERTAIN_SHARE or not self._in_units(worked) or (left.rounds >= 1 and not worked.rounds):
            return None
        unit, training = self._paces(worked)
        return max(0.0, left.units) * unit + max(0.0, left.rounds) * training

    def _begin(self, event: Event) -> None:
        self._nodes, self._within, self._round_begun = max(1, int(event["nodes"])), 0.0, self._clock()
        trains = "training" in event
        weight = self._plan.weight(str(event["action"]), self._federated)
        self._round = Amount(rounds=1) if trains else Amount(weight)

    def _end(self) -> None:
        if self._round.rounds:
            self._training_s += self._clock() - self._round_begun
        self._done, self._here = self._done + self._round, self._here + self._round
        self._round, self._within = Amount(), 0.0

    def _chosen(self, kept: Sequence[str]) -> None:
        """The choice is made, now or before an interruption; so were the arms in `kept`."""
        before = self._plan.pooled() if self._federated else Amount()
        scores = sum(self._plan.weight(f"score {arm}", self._federated) for arm in kept)
        chosen = before + self._plan.choosing(self._federated)
        self._done = self._done.at_least(chosen) + Amount(scores)

    def _now(self, done: Amount) -> Amount:
        """With the part of the present round that is answered."""
        return done + Amount(self._within * self._round.units, self._within * self._round.rounds)

    def _in_units(self, amount: Amount) -> float:
        return amount.units + amount.rounds * EPOCH * self._plan.epochs

    def _paces(self, worked: Amount) -> tuple[float, float]:
        """Seconds for a unit, of the present round if it is long, else of the whole run, else as training tells it;
        and for a round of training."""
        now = self._clock()
        training_s = self._training_s + (now - self._round_begun if self._round.rounds else 0.0)
        if self._round.units > LONG_ROUND and self._within > 0.1:
            unit = (now - self._round_begun) / (self._within * self._round.units)
        elif worked.units:
            unit = (now - self._begun - training_s) / worked.units
        else:
            unit = training_s / self._in_units(worked)
        return unit, training_s / worked.rounds if worked.rounds else 0.0


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


def _is_trained(candidate: Candidate) -> bool:
    return candidate.is_federated and not isinstance(candidate.algorithm, ClosedForm)
