"""What is not known of an item says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.content import HashedEncoder, Modality
from fedrec.content.encoder import ITEMS_AT_A_TIME, fused
from fedrec.content.features import catalogue_features
from fedrec.data.catalogue import Catalogue
from fedrec.errors import ModelError
from fedrec.models import ItemFeatures
from fedrec.models.protocols import Field


def catalogue(size: int) -> Catalogue:
    text = tuple(f"thing {i % 7} of {1950 + i % 50}" if i % 3 else None for i in range(size))
    return Catalogue(tuple(map(str, range(size))), text, (("a",),) * size, np.arange(size) * 1.0)


def test_a_missing_field_is_masked_and_the_others_keep_their_proportions() -> None:
    words = Modality.of("words", np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]), 1.0)
    price = Modality.of("price", np.array([[2.0], [7.0], [0.0]]), 0.5)
    assert words.present.tolist() == [True, False, False]
    expected = np.array([[0.6, 0.8, 0.5], [0, 0, 1.25**0.5], [0, 0, 0]]) / 1.25**0.5
    np.testing.assert_allclose(fused([words, price]), expected)


def test_a_large_catalogue_is_encoded_part_by_part_to_the_same_vectors() -> None:
    whole = catalogue(ITEMS_AT_A_TIME + 5)
    last = np.arange(ITEMS_AT_A_TIME - 2, ITEMS_AT_A_TIME + 5)
    np.testing.assert_array_equal(HashedEncoder().encode(whole)[last], HashedEncoder().encode(whole.subset(last)))


def test_features_name_their_fields_and_their_encoder() -> None:
    encoder = HashedEncoder()
    features = catalogue_features(catalogue(20), encoder)
    assert features.encoder == encoder.identity
    assert features.widths.tolist() == [384, 112, 16, 32]
    assert [field.name for field in features.fields] == ["text", "category", "price", "year"]


def test_equal_catalogues_share_their_features_and_changed_ones_do_not() -> None:
    first = catalogue_features(catalogue(20))
    assert catalogue_features(catalogue(20)) is first
    changed = catalogue(20)
    repriced = Catalogue(changed.item_ids, changed.text, changed.categories, changed.prices + 1)
    assert catalogue_features(repriced) is not first
    assert catalogue_features(catalogue(20), HashedEncoder(price_weight=1.0)) is not first


def test_fields_that_do_not_cover_the_vectors_are_refused() -> None:
    with pytest.raises(ModelError, match="Expected fields of 3 coordinates together"):
        ItemFeatures(2, np.ones((2, 3), np.float32), (Field("text", 2),))


def test_what_is_known_of_which_item_is_data() -> None:
    items = ItemFeatures(
        3, np.array([[1, 0, 0], [0, 0, 2], [0, 0, 0]], np.float32), (Field("text", 2), Field("age", 1))
    )
    assert items.slices == {"text": slice(0, 2), "age": slice(2, 3)}
    np.testing.assert_array_equal(items.present, [[True, False], [False, True], [False, False]])
    whole = catalogue_features(catalogue(5), HashedEncoder())
    assert list(whole.slices) == [field.name for field in HashedEncoder().fields]
    np.testing.assert_array_equal(ItemFeatures(2).present, [[False], [False]])
    with pytest.raises(ModelError, match="fields of different names"):
        ItemFeatures(1, np.ones((1, 2), np.float32), (Field("image", 1), Field("image", 1)))
