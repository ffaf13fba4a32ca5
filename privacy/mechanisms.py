"""What was done to a sum, as data: the kind of noise, how much, and how much one user can change.

Two data sets are neighbours if one has one user more than the other: all of that user's rows at one tenant. So the
sensitivity is the bound of one user's part, which the `Block` states. Accounting is elsewhere (`accountant`), and a
record of a kind that is not known here is refused, never skipped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from fedrec.errors import ProtocolError

UNIT = "user"
NEIGHBOURS = "add or remove one user (all rows of one shopper at one tenant)"


@dataclass(frozen=True)
class Gaussian:
    """Normal noise on a sum. l2: one user's part. std: of the noise, in the same unit."""

    l2: float
    std: float

    kind: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        _check(self, self.l2, self.std)

    def repeated(self, times: int) -> Gaussian:
        """The same for a user who is in the sum `times` times."""
        return Gaussian(times * self.l2, self.std)


@dataclass(frozen=True)
class Skellam:
    """Symmetric Skellam noise on a sum of integers. l1, l2: one user's part after rounding. variance: of the noise that
    is sure to be in the sum."""

    l1: float
    l2: float
    variance: float

    kind: ClassVar[str] = "skellam"

    def __post_init__(self) -> None:
        _check(self, self.l1, self.l2, self.variance)
        if not self.l1 >= self.l2 * (1 - 1e-9):
            raise ProtocolError(f"Expected l1={self.l1:g} >= l2={self.l2:g}, as for every vector.")

    def repeated(self, times: int) -> Skellam:
        """The same for a user who is in the sum `times` times."""
        return Skellam(times * self.l1, times * self.l2, self.variance)


@dataclass(frozen=True)
class SampledGaussian:
    """`steps` sums in a row, each over users who were drawn with chance `rate` and independently, each with normal
    noise of `multiplier` times one user's part."""

    rate: float
    multiplier: float
    steps: int

    kind: ClassVar[str] = "sampled-gaussian"

    def __post_init__(self) -> None:
        _check(self, self.rate, self.multiplier, self.steps)
        if self.rate > 1 or type(self.steps) is not int:
            raise ProtocolError(f"Expected rate={self.rate} <= 1 and a whole number steps={self.steps}.")


@dataclass(frozen=True)
class SampledSkellam:
    """Skellam noise on one sum of integers over users who were drawn with chance `rate` and independently; the other
    numbers are those of `Skellam`."""

    rate: float
    l1: float
    l2: float
    variance: float

    kind: ClassVar[str] = "sampled-skellam"
    steps: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check(self, self.rate, self.l1, self.l2, self.variance)
        if self.rate > 1:
            raise ProtocolError(f"Expected rate={self.rate} <= 1.")
        _ = self.unsampled

    @property
    def unsampled(self) -> Skellam:
        """What it is for a user who is known to be in the sum."""
        return Skellam(self.l1, self.l2, self.variance)

    def repeated(self, times: int) -> SampledSkellam:
        """The same for a user who may be drawn at `times` tenants: with this chance by one of them at least, and then
        with no more than all their bounds."""
        chance = 1.0 if self.rate == 1 else -math.expm1(times * math.log1p(-self.rate))
        return SampledSkellam(chance, times * self.l1, times * self.l2, self.variance)


OfSum = Gaussian | Skellam
Sampled = SampledGaussian | SampledSkellam
Mechanism = OfSum | Sampled
_KINDS: dict[str, type[Mechanism]] = {kind.kind: kind for kind in (Gaussian, Skellam, SampledGaussian, SampledSkellam)}


def sampled(mechanism: OfSum, rate: float) -> Mechanism:
    """`mechanism` on a sum over users who were drawn with chance `rate`; 1 is everyone."""
    if rate == 1:
        return mechanism
    if isinstance(mechanism, Skellam):
        return SampledSkellam(rate, mechanism.l1, mechanism.l2, mechanism.variance)
    return SampledGaussian(rate, mechanism.std / mechanism.l2, 1)


def as_record(mechanism: Mechanism) -> dict[str, Any]:
    """The mechanism as JSON-able data."""
    return {"kind": mechanism.kind, **asdict(mechanism)}


def from_record(record: Mapping[str, Any]) -> Mechanism:
    """The mechanism that `as_record` wrote. Raises ProtocolError for an unknown kind or a wrong value."""
    fields = dict(record)
    kind = _KINDS.get(str(fields.pop("kind", "")))
    if kind is None:
        raise ProtocolError(f"Expected a mechanism of kind {' or '.join(_KINDS)}, got {record.get('kind')!r}.")
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in fields.values()):
        raise ProtocolError(f"Expected the numbers of a {kind.kind} mechanism, got {fields}.")
    try:
        return kind(**fields)
    except TypeError as error:
        raise ProtocolError(f"Expected the fields of a {kind.kind} mechanism, got {sorted(fields)}.") from error


def _check(mechanism: Mechanism, *values: float) -> None:
    if not all(0 < value < math.inf for value in values):
        raise ProtocolError(f"Expected all numbers of a mechanism to be finite and > 0, got {mechanism}.")
