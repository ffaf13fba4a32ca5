"""One measured figure and the bar that it has to reach."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from fedrec.errors import ConfigError

Direction = Literal[">=", "<=", "+-"]
ROUNDING = 1e-12


@dataclass(frozen=True)
class Bar:
    """What a figure must reach: at least or at most `value`, or `value` up to `tolerance` to both sides."""

    direction: Direction
    value: float
    tolerance: float = 0.0

    def met(self, measured: float) -> bool:
        """Whether `measured` reaches the bar; NaN never does."""
        if self.direction == ">=":
            return measured >= self.value
        if self.direction == "<=":
            return measured <= self.value
        return abs(measured - self.value) <= self.tolerance + ROUNDING

    def __str__(self) -> str:
        if self.direction == "+-":
            return f"{self.value:g} +- {self.tolerance:g}"
        return f"{self.direction} {self.value:g}"

    @staticmethod
    def parse(text: str) -> Bar:
        """The bar that was written with `str`. Raises ConfigError for any other text."""
        number = r"([-+.0-9e]+)"
        if found := re.fullmatch(rf"(>=|<=) {number}", text):
            return Bar(">=" if found[1] == ">=" else "<=", float(found[2]))
        if found := re.fullmatch(rf"{number} \+- {number}", text):
            return Bar("+-", float(found[1]), float(found[2]))
        raise ConfigError(f"Expected a bar such as '>= 0.5', '<= 3' or '0.5 +- 0.1', got {text!r}.")


def at_least(value: float) -> Bar:
    """The figure must not be smaller."""
    return Bar(">=", value)


def at_most(value: float) -> Bar:
    """The figure must not be larger."""
    return Bar("<=", value)


def within(value: float, tolerance: float) -> Bar:
    """The figure must be `value`, up to `tolerance`."""
    return Bar("+-", value, tolerance)


@dataclass(frozen=True)
class Row:
    """A figure as it was measured. `seeds` are those that it was averaged over; () if none plays a part.

    Raises:
        ConfigError: the value is NaN or infinite, which is a failed measurement and not a figure.
    """

    figure: str
    value: float
    unit: str
    bar: Bar | None = None
    seeds: tuple[int, ...] = ()
    note: str | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ConfigError(f"Expected '{self.figure}' to be a finite number, got {self.value}.")

    @property
    def met(self) -> bool | None:
        """Whether the bar was reached; None without one."""
        return None if self.bar is None else self.bar.met(self.value)

    def as_json(self) -> dict[str, Any]:
        """The row as it stands in a result file."""
        row = {
            "figure": self.figure,
            "value": float(f"{self.value:.6g}"),
            "unit": self.unit,
            "bar": None if self.bar is None else str(self.bar),
            "met": self.met,
            "seeds": list(self.seeds),
        }
        return row if self.note is None else {**row, "note": self.note}
