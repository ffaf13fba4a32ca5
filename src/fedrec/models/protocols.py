"""What a statistic and a closed-form recommender are. Everything else in this package is one or the other.

A statistic is the client's side: a public description of a sum, and the pure function from a client's
histories to its bounded contribution. A recommender is the server's side: it asks for statistics until it is
fitted, and turns each released total into weights. Several recommenders can so share one sum, and one release
of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fedrec.contribution import Contribution, Layout, Total
from fedrec.data.histories import Histories, IntArray
from fedrec.errors import ModelError

AnyArray = NDArray[Any]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Weights = Mapping[str, AnyArray]
"""Named arrays: the whole state of a recommender, fitted or on its way. Never changed in place."""

Params = dict[str, bool | int | float | str | None]
"""Hyper-parameters, or the parameters of a statistic, in the form in which they cross the wire."""


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """What is publicly known of the items.

    num_items: length of the catalogue. content: (num_items, d) vectors of a public encoder, or None.
    """

    num_items: int
    content: Float32Array | None = None

    def __post_init__(self) -> None:
        if self.num_items < 1:
            raise ModelError(f"Expected num_items={self.num_items} >= 1; give a catalogue with items.")
        if self.content is not None and (self.content.ndim != 2 or len(self.content) != self.num_items):
            raise ModelError(
                f"Expected content vectors of shape ({self.num_items}, d), got {self.content.shape}; "
                "encode the same catalogue."
            )


@dataclass(frozen=True, eq=False)
class Attribution:
    """Why an item has its score: `base`, which no history changes, and the share of each item of the history.

    items: (m,) int64 distinct positions. shares: (m,) float64. `base + shares.sum()` is the score.
    """

    base: float
    items: IntArray
    shares: Float64Array


class Statistic(Protocol):
    """A sum that a client can contribute to. A frozen dataclass; public; the same for every client."""

    name: ClassVar[str]

    @property
    def key(self) -> str:
        """Equal keys ask for the same sum, so it is released once."""
        ...

    def layout(self) -> Layout:
        """The blocks of a contribution, each with its bound per user."""
        ...

    def contribute(self, histories: Histories) -> Contribution:
        """Client side, pure: this client's part of the sum. Raises ContributionError for another
        catalogue."""
        ...

    def to_wire(self) -> tuple[Params, dict[str, AnyArray]]:
        """Parameters (JSON-able) and public arrays from which `from_wire` makes an equal statistic."""
        ...


@runtime_checkable
class Scoring(Protocol):
    """A recommender that has its weights, however it came by them. A frozen dataclass of hyper-parameters."""

    name: ClassVar[str]
    uses_content: ClassVar[bool]

    @property
    def shared(self) -> tuple[str, ...]:
        """Names of weights that make up the released model."""
        ...

    @property
    def private(self) -> tuple[str, ...]:
        """Names of weights that a tenant makes from its own histories and keeps."""
        ...

    def scores(self, weights: Weights, histories: Histories) -> Float32Array | Float64Array:
        """See `ClosedForm.scores`."""
        ...

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """See `ClosedForm.attribution`."""
        ...


@runtime_checkable
class ClosedForm(Protocol):
    """A recommender fitted by sums. A frozen dataclass of hyper-parameters; all methods are pure.

    shared: names of weights that make up the released model. private: names of weights that a tenant makes
    from its own histories and keeps. uses_content: whether `begin` needs content vectors.
    """

    name: ClassVar[str]
    shared: ClassVar[tuple[str, ...]]
    private: ClassVar[tuple[str, ...]]
    uses_content: ClassVar[bool]

    def begin(self, items: ItemFeatures) -> Weights:
        """Weights before the first sum. Raises CatalogueTooLarge if a statistic would not fit."""
        ...

    def next_statistic(self, weights: Weights) -> Statistic | None:
        """The sum needed next; None when fitted."""
        ...

    def absorb(self, weights: Weights, total: Total) -> Weights:
        """Server side: weights after the sum that `next_statistic(weights)` asked for."""
        ...

    def scores(self, weights: Weights, histories: Histories) -> Float32Array | Float64Array:
        """(num_users, num_items) higher is better; an empty history gets a row of equal or popularity
        scores."""
        ...

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """Exact shares of the score of `item` for the one user of `history`."""
        ...


@runtime_checkable
class Localised(Protocol):
    """A recommender with private weights."""

    def localise(self, weights: Weights, histories: Histories) -> Weights:
        """Client side: `weights` with the private ones made from this tenant's histories. They never leave
        it."""
        ...


def parameters_of(algorithm: Scoring) -> Params:
    """All hyper-parameters, from which `create` makes an equal recommender."""
    return asdict(cast(Any, algorithm))
