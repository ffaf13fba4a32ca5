"""Checks of hyper-parameters, all in one voice."""

from __future__ import annotations

import math

from fedrec.errors import ConfigError


def whole(name: str, value: object, at_least: int = 1) -> None:
    """Refuse anything but an int >= `at_least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ConfigError(f"Expected a whole number {name}={value!r} >= {at_least}.")


def optional_whole(name: str, value: object) -> None:
    """As `whole`; None passes."""
    if value is not None:
        whole(name, value)


def boolean(name: str, value: object) -> None:
    """Refuse anything but True and False."""
    if not isinstance(value, bool):
        raise ConfigError(f"Expected {name}={value!r} to be true or false.")


def positive(name: str, value: object) -> None:
    """Refuse anything but a finite number > 0."""
    if not _number(name, value) > 0:
        raise ConfigError(f"Expected {name}={value} > 0.")


def within(name: str, value: object, low: float, high: float) -> None:
    """Refuse anything but a number from `low` to `high`."""
    if not low <= _number(name, value) <= high:
        raise ConfigError(f"Expected {name}={value} from {low:g} to {high:g}.")


def not_negative(name: str, value: object) -> None:
    """Refuse anything but a finite number >= 0."""
    if not _number(name, value) >= 0:
        raise ConfigError(f"Expected {name}={value} >= 0.")


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse anything not in `allowed`."""
    if value not in allowed:
        raise ConfigError(f"Expected {name}={value!r} to be one of {', '.join(allowed)}.")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"Expected {name}={value!r} to be a finite number.")
    return value
