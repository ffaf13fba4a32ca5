"""External ids and their positions; an unknown one is answered with its nearest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np

from fedrec.data.histories import IntArray
from fedrec.errors import UnknownItem, UnknownUser

MAX_SEARCHED = 20_000  # ids compared for a hint: beyond, the search would take seconds


class Ids:
    """Positions of `ids`; `kind`, "item" or "user", is named in errors."""

    def __init__(self, kind: str, ids: tuple[str, ...]) -> None:
        self._kind, self._ids = kind, ids
        self._positions = {known: position for position, known in enumerate(ids)}

    def positions(self, wanted: Iterable[str | int]) -> IntArray:
        """(num_wanted,) positions. Raises UnknownItem or UnknownUser."""
        return np.array([self._position(str(one)) for one in wanted], dtype=np.int64)

    def _position(self, wanted: str) -> int:
        position = self._positions.get(wanted)
        if position is None:
            error = UnknownItem if self._kind == "item" else UnknownUser
            raise error(f"There is no {self._kind} '{wanted}' among {len(self._ids)}{self._hint(wanted)}")
        return position

    def _hint(self, wanted: str) -> str:
        near = difflib.get_close_matches(wanted, self._ids, n=3) if len(self._ids) <= MAX_SEARCHED else []
        if near:
            return "; did you mean " + " or ".join(f"'{one}'" for one in near) + "?"
        return f"; ids look like '{self._ids[0]}'." if self._ids else "."
