"""How good probabilities of clicks are: AUC, log-loss and calibration from one bounded sum over users.

Each user's held-out events weigh one together, whatever their number, and are counted by label and by predicted
probability in fixed public bins. AUC needs only the order, so the counts give it but for pairs within one bin, which
count as ties; half their share is the most that it can be wrong by, and stands beside it as its margin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedrec.contribution import Block, Contribution, Layout, Total
from fedrec.data.arrays import BoolArray, IntArray
from fedrec.errors import ConfigError, DataError
from fedrec.models import validate
from fedrec.models.protocols import Float64Array

RESOLUTION = 2.0**-24
"""Every event's part is rounded down to this grid, so a sum does not depend on who has which users."""


@dataclass(frozen=True)
class ClickProtocol:
    """Public, and the same for every client of one evaluation.

    bins: of equal width on [0, 1]. groups: of bins, for the reliability table and the calibration error; `bins` is a
    multiple of it. largest_loss: no event counts more, in nats.
    """

    bins: int = 1000
    groups: int = 10
    largest_loss: float = 16.0

    def __post_init__(self) -> None:
        for name in ("bins", "groups"):
            validate.whole(name, getattr(self, name))
        validate.positive("largest_loss", self.largest_loss)
        if self.bins % self.groups:
            raise ConfigError(f"Expected bins={self.bins} to be a multiple of groups={self.groups}.")

    def layout(self) -> Layout:
        """The blocks and what one user can add to each.

        users: (1,). counts: (2, bins) weight of the events without and with a click. predicted: (bins,) the same times
        the predicted probability. loss: (1,) weighted log-loss.
        """
        return Layout(
            (
                Block("users", (1,), 1.0, exact=True),
                Block("counts", (2, self.bins), 1.0, resolution=RESOLUTION, exact=True),
                Block("predicted", (self.bins,), 1.0, resolution=RESOLUTION, exact=True),
                Block("loss", (1,), self.largest_loss, resolution=RESOLUTION, exact=True),
            )
        )


@dataclass(frozen=True, eq=False)
class ClickSums:
    """Sums over users by block name, shaped as in `ClickProtocol.layout`; two clients' sums add up to those of both."""

    protocol: ClickProtocol
    values: Mapping[str, Float64Array]

    @staticmethod
    def of(users: IntArray, clicked: BoolArray, probabilities: Float64Array, protocol: ClickProtocol) -> ClickSums:
        """The sums of one client. All three arguments are (num_events,); `users` says whose event it is.

        Raises DataError if a probability is not in [0, 1].
        """
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise DataError("a predicted probability is not in [0, 1]", cure="give probabilities, not scores")
        _, whose, number = np.unique(users, return_inverse=True, return_counts=True)
        weights = _down(1.0 / number[whose])
        places = np.minimum((probabilities * protocol.bins).astype(np.int64), protocol.bins - 1)
        cells = places + protocol.bins * clicked
        chance = np.maximum(np.where(clicked, probabilities, 1 - probabilities), math.exp(-protocol.largest_loss))
        values = {
            "users": np.array([float(len(number))]),
            "counts": np.bincount(cells, weights, 2 * protocol.bins).reshape(2, protocol.bins),
            "predicted": np.bincount(places, _down(weights * probabilities), protocol.bins),
            "loss": np.array([_down(weights * -np.log(chance)).sum()]),
        }
        return ClickSums(protocol, values)

    @staticmethod
    def from_total(total: Total, protocol: ClickProtocol) -> ClickSums:
        """The sums of all clients, from a released total."""
        return ClickSums(protocol, dict(total.values))

    def contribution(self) -> Contribution:
        """The same as a bounded contribution to a federated sum."""
        return Contribution(self.protocol.layout(), self.values, round(float(self.values["users"][0])))

    def figures(self) -> ClickFigures:
        """What the sums say. Raises DataError if there is no event."""
        counts, predicted = self.values["counts"], self.values["predicted"]
        total = float(counts.sum())
        if not total > 0:
            raise DataError("no user has a held-out event", cure="hold out fewer events, or give longer histories")
        auc, margin = _auc(counts[0], counts[1])
        groups = [_grouped(values, self.protocol.groups) for values in (counts.sum(0), predicted, counts[1])]
        return ClickFigures(
            users=round(float(self.values["users"][0])),
            base_rate=float(counts[1].sum()) / total,
            predicted_rate=float(predicted.sum()) / total,
            auc=auc,
            auc_margin=margin,
            log_loss=float(self.values["loss"][0]) / total,
            calibration_error=float(np.abs(groups[2] - groups[1]).sum()) / total,
            reliability=_reliability(*groups),
        )


@dataclass(frozen=True)
class Reliability:
    """One group of predictions. share: of all events. predicted: their mean probability. clicked: what came true."""

    low: float
    high: float
    share: float
    predicted: float
    clicked: float


@dataclass(frozen=True)
class ClickFigures:
    """AUC is None where all labels are the same. reliability: the groups that hold an event.

    auc_margin: how far the AUC of the events can be from `auc`, because bins are finite. calibration_error: the mean
    distance of predicted and true rate over the groups, weighted by their share (ECE).
    """

    users: int
    base_rate: float
    predicted_rate: float
    auc: float | None
    auc_margin: float
    log_loss: float
    calibration_error: float
    reliability: tuple[Reliability, ...]

    @property
    def base_log_loss(self) -> float:
        """Log-loss of the best constant prediction, the base rate, in nats."""
        rates = (self.base_rate, 1 - self.base_rate)
        return -sum(rate * math.log(rate) for rate in rates if rate > 0)

    def text(self) -> str:
        """A short report."""
        auc = "none, all labels are the same" if self.auc is None else f"{self.auc:.4f} (+-{self.auc_margin:.4f})"
        lines = [
            f"users              {self.users}",
            f"AUC                {auc}",
            f"log-loss           {self.log_loss:.4f} (always the base rate: {self.base_log_loss:.4f})",
            f"calibration error  {self.calibration_error:.4f}",
            f"clicks             {self.base_rate:.4f} (predicted {self.predicted_rate:.4f})",
            "",
            "predicted     share    mean     clicked",
        ]
        return "\n".join(lines + [_line(group) for group in self.reliability])


def _line(group: Reliability) -> str:
    return f"{group.low:.2f} - {group.high:.2f}   {group.share:.4f}   {group.predicted:.4f}   {group.clicked:.4f}"


def _down(values: Float64Array) -> Float64Array:
    """Rounded down to the grid: what users add stays within its bound."""
    return np.floor(values / RESOLUTION) * RESOLUTION


def _auc(passed: Float64Array, clicked: Float64Array) -> tuple[float | None, float]:
    """Probability that a click has the higher bin, ties half, and half the share of pairs that tie."""
    pairs = float(passed.sum() * clicked.sum())
    if not pairs > 0:
        return None, 0.0
    below = np.cumsum(passed) - passed
    tied = float((clicked * passed).sum())
    return (float((clicked * below).sum()) + tied / 2) / pairs, tied / 2 / pairs


def _grouped(values: Float64Array, groups: int) -> Float64Array:
    """(groups,) sums of neighbouring bins."""
    summed: Float64Array = values.reshape(groups, -1).sum(1)
    return summed


def _reliability(total: Float64Array, predicted: Float64Array, clicked: Float64Array) -> tuple[Reliability, ...]:
    width, there = 1 / len(total), np.flatnonzero(total > 0)
    return tuple(
        Reliability(
            low=float(group * width),
            high=float((group + 1) * width),
            share=float(total[group] / total.sum()),
            predicted=float(predicted[group] / total[group]),
            clicked=float(clicked[group] / total[group]),
        )
        for group in there
    )
