"""What a neural recommender is: frozen hyper-parameters that build a network, and weights as named arrays.

Which weights are shared and which stay with a tenant follows from `residual` and is said nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError, NotFitted
from fedrec.models import scoring, validate
from fedrec.models.neural.items import FUSIONS, RESIDUALS, ContentDim, ItemVectors, seen_only
from fedrec.models.neural.network import Network, put_arrays
from fedrec.models.protocols import ENCODER, AnyArray, Attribution, Float32Array, ItemFeatures, Weights

Objective = Literal["next", "rest"]
"""What is learnt from a history: each event from those before it, or all events after a random moment from those
before that moment."""

USERS_AT_A_TIME = 256
TOWER, RESIDUAL = "items.tower.weight", "items.residual.weight"
CONTENT, WIDTHS, POPULARITY = "content", "widths", "popularity"
"""Weights that are no parameters: the public content vectors, the widths of their fields, the items' counts."""
RUN = "run"
"""Of a model with private parameters: which rounds of training tenants kept theirs of, as 8 bytes."""


class NeuralModel(Protocol):
    """A frozen dataclass of hyper-parameters. Gives its implementations everything but `build`."""

    name: ClassVar[str]
    objective: ClassVar[Objective]
    uses_content: ClassVar[bool] = True

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        ...

    @property
    def max_length(self) -> int:
        """So many newest events of a history are used."""
        ...

    @property
    def residual(self) -> str:
        """One of `fedrec.models.neural.items.RESIDUALS`."""
        ...

    @property
    def fusion(self) -> str:
        """One of `fedrec.models.neural.items.FUSIONS`."""
        ...

    def build(self, num_items: int, content_dim: ContentDim, seed: int) -> Network:
        """A network with parameters drawn from `seed`; content_dim 0 is without content."""
        ...

    @property
    def private(self) -> tuple[str, ...]:
        """Parameters that never leave a tenant."""
        return (RESIDUAL,) if self.residual == "private" else ()

    @property
    def shared(self) -> tuple[str, ...]:
        """All other parameters, and the public weights: what a released model is made of."""
        bare: list[str] = []
        for content_dim in (0, 1):
            if content_dim or self.residual != "none":
                bare += self.build(1, content_dim, 0).state_dict()
        names = [name for name in dict.fromkeys(bare) if name not in self.private]
        fields = (WIDTHS,) if self.fusion == "gate" else ()
        return (*names, CONTENT, *fields, POPULARITY, ENCODER, *((RUN,) if self.private else ()))

    def scores(self, weights: Weights, histories: Histories) -> Float32Array:
        """(num_users, num_items) inner products; users without history get the items' popularity."""
        scoring.need(weights, (POPULARITY,), self.name)
        scoring.check_catalogue(weights, histories)
        network, content = restored(self, weights)
        return network_scores(network, content, histories, self.max_length, weights[POPULARITY])

    def attribution(self, weights: Weights, history: Histories, item: int) -> Attribution:
        """Refused: a neural score is no sum over events."""
        raise ModelError(f"{self.name} cannot split a score over the events of a history; explain with a linear model.")


def restored(model: NeuralModel, weights: Weights) -> tuple[Network, Tensor | None]:
    """The network that `weights` describe, ready to score, and the content of the items.

    Without the private weights, which a released model does not have, items are described by their content alone; so
    are items that have content and that nobody has had.
    Raises NotFitted if there is no content either, or other weights are missing.
    """
    content = weights.get(CONTENT)
    network = model.build(len(weights[POPULARITY]), _content_dim(model, weights), 0)
    state = network.state_dict()
    elsewhere = [name for name in model.private if name not in weights]
    if elsewhere and content is None:
        raise NotFitted(
            f"What {model.name} knows of items are private weights of each tenant, and the items have no content; "
            "recommend for a tenant that trained it, or train it with residual='shared'."
        )
    scoring.need(weights, set(state) - set(elsewhere), model.name)
    zeros = {name: np.zeros(tuple(state[name].shape), np.float32) for name in elsewhere}
    arrays = zeros | {name: weights[name] for name in state if name not in zeros}
    if content is not None and RESIDUAL in arrays:
        arrays[RESIDUAL] = seen_only(arrays[RESIDUAL], weights[POPULARITY])
    put_arrays(network, arrays)
    return network.eval(), tensor_of(content)


def _content_dim(model: NeuralModel, weights: Weights) -> ContentDim:
    """What the network was built with."""
    if CONTENT not in weights:
        return 0
    if model.fusion == "sum":
        return int(weights[CONTENT].shape[1])
    scoring.need(weights, (WIDTHS,), model.name)
    return [int(width) for width in weights[WIDTHS]]


def tensor_of(content: AnyArray | None) -> Tensor | None:
    """Content vectors as a network takes them."""
    return None if content is None else torch.from_numpy(np.array(content, np.float32))


def public_weights(items: ItemFeatures, counts: AnyArray) -> dict[str, AnyArray]:
    """The weights that are no parameters. counts: (num_items,)."""
    encoder = {} if items.encoder is None else items.encoder.as_weight()
    weights: dict[str, AnyArray] = {POPULARITY: np.asarray(counts, np.float64)}
    return weights if items.content is None else {CONTENT: items.content, WIDTHS: items.widths, **encoder, **weights}


def run_weight(run: str) -> dict[str, AnyArray]:
    """The weight `RUN`. run: 16 hexadecimal digits."""
    return {RUN: np.frombuffer(bytes.fromhex(run), np.uint8).copy()}


def run_of(weights: Weights) -> str | None:
    """What `run_weight` wrote; None for weights without it. Raises ModelError if it is something else."""
    if RUN not in weights:
        return None
    value = weights[RUN]
    if value.dtype != np.uint8 or value.shape != (8,):
        raise ModelError(f"Expected '{RUN}' to be 8 bytes, got {value.dtype} {value.shape}; train the model anew.")
    return bytes(value).hex()


@torch.no_grad()
def network_scores(
    network: Network, content: Tensor | None, histories: Histories, max_length: int, popularity: AnyArray
) -> Float32Array:
    """(num_users, num_items) scores; users without history get `popularity` (num_items,)."""
    network.eval()
    vectors = network.item_vectors(content, torch.arange(histories.num_items))
    scores = np.empty((histories.num_users, histories.num_items), np.float32)
    for users in _of_like_length(histories):
        part = histories.select(users).newest(max_length)
        lengths = torch.from_numpy(part.lengths)
        ids, _ = padded(part)
        scores[users] = network.score(network.encode(vectors[ids], lengths), vectors).numpy()
    scores[histories.lengths == 0] = popularity
    return scores


def padded(histories: Histories) -> tuple[Tensor, Tensor]:
    """(num_users, longest) items, oldest first, 0 where a row has ended, and the mask of what is there."""
    places = np.arange(int(histories.lengths.max(initial=0)))
    mask = places < histories.lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = histories.items
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _of_like_length(histories: Histories) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Users with a history, in groups that need little padding."""
    order = np.argsort(histories.lengths, kind="stable")
    order = order[histories.lengths[order] > 0]
    for start in range(0, len(order), USERS_AT_A_TIME):
        yield order[start : start + USERS_AT_A_TIME]


def check_common(model: NeuralModel) -> None:
    """Refuse wrong hyper-parameters that all neural recommenders have."""
    validate.whole("dim", model.dim)
    validate.whole("max_length", model.max_length)
    validate.one_of("residual", model.residual, RESIDUALS)
    validate.one_of("fusion", model.fusion, FUSIONS)


def item_side(model: NeuralModel, num_items: int, content_dim: ContentDim) -> ItemVectors:
    """The item side that every neural recommender has."""
    return ItemVectors(num_items, model.dim, content_dim, model.residual, model.fusion)


def check_rate(name: str, value: float) -> None:
    """Refuse a share that is not in [0, 1)."""
    validate.not_negative(name, value)
    if value >= 1:
        raise ConfigError(f"Expected {name}={value} < 1.")


def check_halved(name: str, width: int, layers: int) -> None:
    """Refuse a width that `layers` layers, each half as wide as the one before, do not divide."""
    if width % 2 ** (layers - 1):
        raise ConfigError(f"Expected {name}={width} to be a multiple of {2 ** (layers - 1)}, to be halved by layers.")
