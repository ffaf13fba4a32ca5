"""Statistics as parameters and arrays. What arrives comes from a peer, so it is checked before it is used."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from fedrec.errors import ConfigError, ContributionError, ProtocolError
from fedrec.models.protocols import AnyArray, Params

T = TypeVar("T")


def to_wire(statistic: Any) -> tuple[Params, dict[str, AnyArray]]:
    """The fields of a frozen dataclass, arrays apart from the rest."""
    values = {field.name: getattr(statistic, field.name) for field in fields(statistic)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    return {name: value for name, value in values.items() if name not in arrays}, arrays


def from_wire(kind: type[T], params: Mapping[str, object], arrays: Mapping[str, AnyArray]) -> T:
    """The statistic of class `kind` that `to_wire` took apart. Raises ProtocolError for anything else."""
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(typing.cast(Any, kind))]
    given = {**params, **arrays}
    if sorted(given) != sorted(names) or len(given) != len(params) + len(arrays):
        raise ProtocolError(f"Expected {names} for the statistic {kind.__name__}, got {sorted(given)}.")
    for name in names:
        if not _fits(given[name], hints[name]):
            raise ProtocolError(f"Expected {name} of {kind.__name__} to be {hints[name]}, got {type(given[name])}.")
    try:
        return kind(**given)
    except (ConfigError, ContributionError) as error:
        raise ProtocolError(f"The statistic {kind.__name__} is out of range: {error}") from error


def _fits(value: object, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if typing.get_origin(hint) is np.ndarray:
        return isinstance(value, np.ndarray)
    return isinstance(value, hint)
