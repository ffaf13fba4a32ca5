"""What a statistic and a closed-form recommender are. Everything else in this package is one or the other.

A statistic is the client's side: a public description of a sum, and the pure function from a client's
histories to its bounded contribution. A recommender is the server's side: it asks for statistics until it is
fitted, and turns each released total into weights. Several recommenders can so share one sum, and one release
of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, cast, runtime_checkable

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


ENCODER = "encoder"
"""Name of the weight that says which encoder the content vectors of a model came from."""


@dataclass(frozen=True)
class EncoderId:
    """Which encoder made content vectors: equal ones give equal vectors for equal descriptions."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name} {self.digest}"

    def as_weight(self) -> dict[str, AnyArray]:
        """The weight `ENCODER`, with which a model carries this wherever it goes."""
        return {ENCODER: np.frombuffer(str(self).encode(), np.uint8).copy()}

    @staticmethod
    def of(weights: Mapping[str, AnyArray]) -> EncoderId | None:
        """What `as_weight` wrote; None for a model that says nothing of an encoder."""
        if ENCODER not in weights:
            return None
        name, _, digest = weights[ENCODER].astype(np.uint8).tobytes().decode(errors="replace").partition(" ")
        return EncoderId(name, digest)


class Field(NamedTuple):
    """One part of a content vector, such as the text, and how many coordinates it has."""

    name: str
    width: int


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """What is publicly known of the items.

    num_items: length of the catalogue. content: (num_items, d) vectors of a public encoder, or None. fields: the
    parts of a content vector, side by side; one that is all zero is not known of the item. () is one part. encoder:
    which one made the vectors.
    """

    num_items: int
    content: Float32Array | None = None
    fields: tuple[Field, ...] = ()
    encoder: EncoderId | None = None

    def __post_init__(self) -> None:
        if self.num_items < 1:
            raise ModelError(f"Expected num_items={self.num_items} >= 1; give a catalogue with items.")
        if self.content is not None and (self.content.ndim != 2 or len(self.content) != self.num_items):
            raise ModelError(
                f"Expected content vectors of shape ({self.num_items}, d), got {self.content.shape}; "
                "encode the same catalogue."
            )
        width = 0 if self.content is None else self.content.shape[1]
        if self.fields and sum(field.width for field in self.fields) != width:
            raise ModelError(f"Expected fields of {width} coordinates together, got {self.fields}.")
        if len({field.name for field in self.fields}) < len(self.fields):
            raise ModelError(f"Expected fields of different names, got {self.fields}; rename a file of vectors.")

    @property
    def slices(self) -> dict[str, slice]:
        """Where each part of a content vector is, by name."""
        stops = np.cumsum(self.widths).tolist()
        names = [field.name for field in self.fields] or ["content"]
        return {name: slice(start, stop) for name, start, stop in zip(names, [0, *stops], stops, strict=False)}

    @property
    def present(self) -> NDArray[np.bool_]:
        """(num_items, num_fields) which parts are known of which item."""
        if self.content is None:
            return np.zeros((self.num_items, 1), np.bool_)
        return np.stack([self.content[:, part].any(axis=1) for part in self.slices.values()], axis=1)

    @property
    def widths(self) -> IntArray:
        """(num_fields,) coordinates of each part of a content vector."""
        if self.fields:
            return np.array([field.width for field in self.fields], dtype=np.int64)
        return np.array([0 if self.content is None else self.content.shape[1]], dtype=np.int64)


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
class Extendable(Protocol):
    """A recommender that knows items by their content, so that it can take on others."""

    def over(self, weights: Weights, items: ItemFeatures, popularity: Float64Array) -> Weights:
        """Fitted weights for another catalogue. popularity: (num_items,) of its items, 0 for new ones. Raises
        ModelError if the content comes from another encoder."""
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
