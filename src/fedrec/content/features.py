"""What every party derives from the public catalogue, in the same way."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from fedrec.content.encoder import ItemEncoder
from fedrec.content.hashed import HashedEncoder
from fedrec.data.catalogue import Catalogue
from fedrec.models.protocols import EncoderId, ItemFeatures

REMEMBERED = 4
_remembered: OrderedDict[tuple[str, EncoderId, str], ItemFeatures] = OrderedDict()


def catalogue_features(catalogue: Catalogue, encoder: ItemEncoder | None = None) -> ItemFeatures:
    """Content vectors of `encoder`, or of the default one. Those of the last few catalogues are remembered, by what
    the catalogues say: tenants of one simulation mostly have the same, each in its own folder."""
    chosen = encoder or HashedEncoder()
    key = _fingerprint(catalogue), chosen.identity, chosen.own
    if key not in _remembered:
        content = chosen.encode(catalogue)
        content.flags.writeable = False
        _remembered[key] = ItemFeatures(catalogue.num_items, content, chosen.fields, chosen.identity)
    _remembered.move_to_end(key)
    while len(_remembered) > REMEMBERED:
        _remembered.popitem(last=False)
    return _remembered[key]


def _fingerprint(catalogue: Catalogue) -> str:
    state = hashlib.blake2b(catalogue.prices.tobytes(), digest_size=16)
    for item in zip(catalogue.item_ids, catalogue.text, catalogue.categories, strict=True):
        state.update(repr(item).encode())
    return state.hexdigest()
