"""Content vectors rotated and scaled so that every direction counts alike: what two items share by chance, such as a
word that every other title has, no longer makes them near.

A content vector is made of fields, of which an item may lack some. A field that is not known of an item is all zero and
has to say nothing, also after the mean is taken away. So a field is centred in proportion to its length in the item:
f - |f| m, where m is the least-squares fit of f on |f|. That takes no more than second moments of the vector (f, |f|),
the lengths of the fields behind the vector itself: one sum, over a catalogue or over users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrec.data.histories import IntArray
from fedrec.errors import ModelError
from fedrec.models.protocols import AnyArray, Float64Array

NOTHING = 1e-9  # a variance below this share of the largest is 0 but for rounding
ITEMS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class Whitening:
    """widths: (num_fields,) coordinates of each field. mean: (d,). basis: (d, rank)."""

    widths: IntArray
    mean: Float64Array
    basis: Float64Array

    def __post_init__(self) -> None:
        width = int(self.widths.sum())
        if self.mean.shape != (width,) or self.basis.ndim != 2 or len(self.basis) != width:
            raise ModelError(
                f"Expected a mean and a basis for {width} coordinates, got {self.mean.shape} and {self.basis.shape}."
            )

    def apply(self, content: AnyArray) -> Float64Array:
        """(num_items, rank) vectors of `content` (num_items, d); zero where nothing is known of an item. Their mean
        squared length is 1 over what the whitening was made from."""
        if content.ndim != 2 or content.shape[1] != len(self.mean):
            raise ModelError(f"Expected content vectors of {len(self.mean)} coordinates, got shape {content.shape}.")
        whitened = np.empty((len(content), self.basis.shape[1]))
        for start in range(0, len(content), ITEMS_AT_A_TIME):
            part = content[start : start + ITEMS_AT_A_TIME].astype(np.float64)
            lengths = np.repeat(field_lengths(part, self.widths), self.widths, axis=1)
            whitened[start : start + ITEMS_AT_A_TIME] = (part - lengths * self.mean) @ self.basis
        return whitened


def field_lengths(content: AnyArray, widths: IntArray) -> Float64Array:
    """(num_items, num_fields) L2 norm of each field of content vectors (num_items, d); 0 where it is not known."""
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    squares: Float64Array = np.add.reduceat(content.astype(np.float64) ** 2, starts, axis=1)
    return np.sqrt(squares)


def with_lengths(content: AnyArray, widths: IntArray) -> Float64Array:
    """(num_items, d + num_fields) content vectors, each with the lengths of its fields behind it."""
    return np.hstack([content.astype(np.float64), field_lengths(content, widths)])


def second_moment(content: AnyArray, widths: IntArray) -> Float64Array:
    """(d + num_fields, d + num_fields) sum over items of the outer product of `with_lengths`."""
    order = int(widths.sum()) + len(widths)
    moment = np.zeros((order, order))
    for start in range(0, len(content), ITEMS_AT_A_TIME):
        part = with_lengths(content[start : start + ITEMS_AT_A_TIME], widths)
        moment += part.T @ part
    return moment


def whitening_of(moment: Float64Array, widths: IntArray, rank: int, least: float = 0.0) -> Whitening:
    """The whitening onto the `rank` strongest directions of what `second_moment` summed, in any scale.

    There are fewer if the content varies in fewer. least: variances up to this are left out, as noise can make them.
    """
    width = int(widths.sum())
    lengths = width + np.repeat(np.arange(len(widths)), widths)  # for each coordinate, where its field's length stands
    energy = moment.diagonal()
    mean = moment[np.arange(width), lengths] / np.where(energy[lengths] > 0, energy[lengths], 1.0)
    crossed = mean[:, None] * moment[np.ix_(lengths, np.arange(width))]
    both = mean[:, None] * mean * moment[np.ix_(lengths, lengths)]
    values, vectors = np.linalg.eigh(moment[:width, :width] - crossed - crossed.T + both)
    kept = np.flatnonzero(values > max(NOTHING * values[-1], least))[::-1][:rank]
    known = max(float(energy[width:].sum()), 0.0)  # items, where vectors have length 1
    basis = vectors[:, kept] * np.sqrt(known / (max(len(kept), 1) * values[kept]))
    return Whitening(widths, mean, basis)


def unit_rows(rows: Float64Array) -> Float64Array:
    """Rows (n, d) of length 1; zero rows stay zero."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    near_one = rows / np.where(largest > 0, largest, 1.0)  # so that no square is too small to be a number
    norms = np.linalg.norm(near_one, axis=1, keepdims=True)
    scaled: Float64Array = near_one / np.where(norms > 0, norms, 1.0)
    return scaled
