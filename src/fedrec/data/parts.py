"""What a dataset is made of, between the place it is read from or written to and `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fedrec.data.arrays import IntArray, frozen_ints
from fedrec.data.catalogue import Catalogue
from fedrec.data.interactions import Interactions
from fedrec.errors import DataError


@dataclass(frozen=True, eq=False)
class Labels:
    """One text label per event, such as the store of a purchase.

    names: the possible labels. codes: (num_events,) int64 positions in `names`, read-only.
    """

    names: tuple[str, ...]
    codes: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", frozen_ints(self.codes))
        if len(self.codes) and not (self.codes.min() >= 0 and self.codes.max() < len(self.names)):
            raise DataError(
                f"labels have codes {self.codes.min()} to {self.codes.max()} for {len(self.names)} names",
                cure="give positions in the list of names",
            )

    def take(self, events: IntArray) -> Labels:
        """The labels of `events`."""
        return Labels(self.names, self.codes[events])


class Parts(NamedTuple):
    """The fields of a `Dataset`, in its order."""

    name: str
    interactions: Interactions
    catalogue: Catalogue
    user_attributes: Mapping[str, tuple[str, ...]]
    event_attributes: Mapping[str, Labels]
