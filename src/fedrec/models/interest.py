"""Someone without a history who says what is wanted: words and categories, read as the description of one more item.

The model's own encoder makes a vector of the description, as it does of an item's, and the vector stands in the place
of the first event of a history. What is had later comes after it, and soon counts for more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fedrec.data.catalogue import Catalogue
from fedrec.errors import ConfigError, ModelError
from fedrec.models.content_knn import ContentKNN
from fedrec.models.protocols import Extendable, ItemFeatures
from fedrec.models.recommender import Recommender

if TYPE_CHECKING:
    from fedrec.content import ItemEncoder

EXAMPLES = 5  # categories that an error names


@dataclass(frozen=True)
class Interest:
    """What someone asks for. categories: as the catalogue spells them. text: the rest of the words, or None."""

    said: str
    text: str | None
    categories: tuple[str, ...]

    @staticmethod
    def parse(said: str, catalogue: Catalogue) -> Interest:
        """Phrases separated by commas: the names of categories, in any case, and words as titles have them.

        Raises ConfigError if nothing is said.
        """
        spelt = {name.casefold(): name for names in catalogue.categories for name in names}
        phrases = [phrase.strip() for phrase in said.split(",") if phrase.strip()]
        if not phrases:
            raise ConfigError(f"Expected words or categories{_examples(catalogue)}, got an empty interest.")
        words = [phrase for phrase in phrases if phrase.casefold() not in spelt]
        categories = [spelt[phrase.casefold()] for phrase in phrases if phrase.casefold() in spelt]
        return Interest(", ".join(phrases), ", ".join(words) or None, tuple(dict.fromkeys(categories)))

    @property
    def item_id(self) -> str:
        """Under which it stands in a history."""
        return f"interest: {self.said}"

    def described(self) -> Catalogue:
        """The interest as a catalogue of one item."""
        return Catalogue((self.item_id,), (self.text,), (self.categories,), np.array([np.nan]))


def with_interest(
    recommender: Recommender, catalogue: Catalogue, interest: Interest, encoder: ItemEncoder | None = None
) -> Recommender:
    """The recommender with `interest` as one more item, for `recommend_to_items([interest.item_id, ...])`.

    catalogue: of the recommender's items. encoder: by default the one that the recommender was fitted with.

    Raises:
        ModelError: the recommender knows items by their ids only, or was fitted with another encoder.
        ConfigError: the encoder makes nothing of what was said.
    """
    algorithm = recommender.algorithm
    if not isinstance(algorithm, Extendable):
        raise ModelError(f"{algorithm.name} knows items by their ids; ask content_map or content_knn, or `by_content`.")
    features = _features(recommender, catalogue, interest, encoder)
    popularity = np.append(recommender.weights["popularity"], 0.0)
    weights = algorithm.over(recommender.weights, features, popularity)
    return Recommender(algorithm, weights, (*recommender.item_ids, interest.item_id))


def by_content(recommender: Recommender, catalogue: Catalogue, encoder: ItemEncoder | None = None) -> Recommender:
    """Content-kNN in the place of a recommender that knows items by their ids: it needs no training, and keeps the
    popularity that the tenants have released, which ranks for those of whom nothing is known."""
    from fedrec.content.features import catalogue_features

    knn = ContentKNN()
    weights = {
        **knn.begin(catalogue_features(catalogue, encoder)),
        "popularity": np.asarray(recommender.weights["popularity"], np.float64),
    }
    return Recommender(knn, weights, recommender.item_ids)


def _features(
    recommender: Recommender, catalogue: Catalogue, interest: Interest, encoder: ItemEncoder | None
) -> ItemFeatures:
    """The content of the catalogue, which is remembered, and behind it that of the interest."""
    from fedrec.content.features import catalogue_features
    from fedrec.content.registry import encoder_named

    chosen = encoder or (encoder_named(recommender.encoder.name) if recommender.encoder else None)
    known, stated = catalogue_features(catalogue, chosen), catalogue_features(interest.described(), chosen)
    assert known.content is not None  # an encoder always gives vectors
    assert stated.content is not None
    if not stated.content.any():
        raise ConfigError(
            f"The encoder {stated.encoder} makes nothing of '{interest.said}'; name categories{_examples(catalogue)} "
            "or words that titles have."
        )
    return replace(known, num_items=known.num_items + 1, content=np.vstack([known.content, stated.content]))


def _examples(catalogue: Catalogue) -> str:
    names = dict.fromkeys(name for several in catalogue.categories for name in several)
    return f" such as {', '.join(list(names)[:EXAMPLES])}" if names else ""
