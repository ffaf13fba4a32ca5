"""What recommenders that know items by their content share: the weights that hold the items' whitened vectors, and how
other items come to have such vectors, too."""

from __future__ import annotations

import numpy as np

from fedrec.data.histories import IntArray
from fedrec.errors import ModelError
from fedrec.models.content_whitening import Whitening, second_moment, whitening_of
from fedrec.models.protocols import ENCODER, AnyArray, EncoderId, Float32Array, Float64Array, ItemFeatures, Weights

WHITENING = ("widths", "mean", "basis")
"""Weights from which `whitening_in` makes the whitening; with `ENCODER`, all that new items need."""
SHARED = ("num_items", "popularity", "item_vectors", ENCODER, *WHITENING)


def content_of(items: ItemFeatures, model: str) -> Float32Array:
    """The content vectors. Raises ModelError if there are none."""
    if items.content is None or not items.content.shape[1]:
        raise ModelError(
            f"{model} needs content vectors; give ItemFeatures(num_items, content), for example from "
            "fedrec.content.HashedEncoder().encode(catalogue), or name an encoder in the [content] of a configuration."
        )
    return items.content.astype(np.float32)


def named(items: ItemFeatures) -> dict[str, AnyArray]:
    """The weights that say how long the catalogue is, and which encoder described it."""
    encoder = {} if items.encoder is None else items.encoder.as_weight()
    return {"num_items": np.array(items.num_items), **encoder}


def of_catalogue(content: Float32Array, widths: IntArray, rank: int) -> dict[str, AnyArray]:
    """The weights `WHITENING` from a public catalogue alone."""
    return weights_of(whitening_of(second_moment(content, widths), widths, rank))


def weights_of(whitening: Whitening) -> dict[str, AnyArray]:
    """A whitening as weights."""
    return {"widths": whitening.widths, "mean": whitening.mean, "basis": whitening.basis}


def whitening_in(weights: Weights) -> Whitening:
    """The whitening that `weights_of` took apart."""
    return Whitening(weights["widths"], weights["mean"], weights["basis"])


def over(weights: Weights, items: ItemFeatures, popularity: Float64Array, model: str) -> tuple[Weights, Float64Array]:
    """`weights` for other items, but for `item_vectors`, and the whitened content (num_items, rank) to make them from.

    Raises ModelError if the items were described by another encoder than those that the model was fitted on.
    """
    content, fitted = content_of(items, model), EncoderId.of(weights)
    if items.encoder != fitted or not np.array_equal(items.widths, weights["widths"]):
        raise ModelError(
            f"{model} was fitted on content of the encoder {fitted}, the new items are described by {items.encoder}; "
            "encode them as the others were, or fit the model again."
        )
    counts = np.asarray(popularity, np.float64)
    if counts.shape != (items.num_items,):
        raise ModelError(f"Expected the popularity of {items.num_items} items, got shape {counts.shape}.")
    changed = {"num_items": np.array(items.num_items), "popularity": counts}
    return {**weights, **changed}, whitening_in(weights).apply(content)
