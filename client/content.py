"""The items as the tenant's own copy of the public catalogue describes them, by the encoder that a run agreed on."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

from flwr.app import Message

from fedrec.client.store import TenantStore
from fedrec.content.encoder import ItemEncoder
from fedrec.content.features import catalogue_features
from fedrec.content.registry import encoder_named
from fedrec.content.vectors import IMAGE, WithVectors, kept_vectors
from fedrec.messages import AnyArray, Body, EncoderSpec, read_instruction
from fedrec.models import ItemFeatures

B = TypeVar("B", bound=Body)


def read_for(message: Message, kind: type[B], store: TenantStore) -> tuple[B, dict[str, AnyArray]]:
    """Body and arrays of an instruction to a tenant, see `read_instruction`."""
    return read_instruction(message, kind, lambda encoder: agreed(store, encoder))


def features_of(store: TenantStore, encoder: EncoderSpec | None) -> ItemFeatures:
    """The items of the tenant's catalogue; without an encoder nothing is known of them.

    Raises Refusal if the tenant's encoder is another one, ModelError if it is not installed.
    """
    return _features(store, store.version, encoder)


def agreed(store: TenantStore, encoder: EncoderSpec) -> ItemEncoder:
    """The tenant's encoder of that name, with the tenant's own images if it is one that sees images.

    Raises Refusal if there is none, or if it gives other vectors.
    """
    base, plus, field = encoder.name.partition("+")
    images = kept_vectors(store.folder) if plus and field == IMAGE else None
    return encoder.agreed(() if images is None else (WithVectors(encoder_named(base), images),))


@lru_cache(maxsize=64)
def _features(store: TenantStore, version: int, encoder: EncoderSpec | None) -> ItemFeatures:
    dataset = store.dataset()
    if encoder is None:
        return ItemFeatures(dataset.num_items)
    return catalogue_features(dataset.catalogue, agreed(store, encoder))
