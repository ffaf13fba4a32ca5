from __future__ import annotations

import numpy as np
import pytest

from fedrec.content import HashedEncoder, ItemEncoder
from fedrec.data.catalogue import Catalogue
from fedrec.errors import ConfigError, ModelError
from fedrec.models import ContentKNN, ItemFeatures

NAN = float("nan")
CATALOGUE = Catalogue(
    ("a", "b", "c", "d", "e", "f"),
    ("Red wool scarf", "Scarves of red wool", "Garden hose", None, None, None),
    (("clothing",), ("clothing",), ("garden", "tools"), ("clothing",), (), ()),
    np.array([20.0, 22.0, 500.0, NAN, 21.0, NAN]),
)


def cosines(encoder: ItemEncoder) -> np.ndarray:
    vectors = encoder.encode(CATALOGUE)
    return vectors @ vectors.T


def test_vectors_have_unit_length_and_zero_where_nothing_is_known() -> None:
    vectors = HashedEncoder().encode(CATALOGUE)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 1, 0], rtol=1e-6)


def test_alike_items_are_nearer_than_others() -> None:
    cosine = cosines(HashedEncoder())
    assert cosine[0, 1] > 0.7
    assert cosine[0, 1] > cosine[0, 2] + 0.5
    assert cosine[0, 3] > cosine[2, 3] + 0.3  # one category in common, none in common


def test_what_is_missing_is_left_out() -> None:
    vectors = HashedEncoder(text_size=8, category_size=8, price_size=4).encode(CATALOGUE)
    assert not vectors[3, :8].any()
    assert vectors[3, 8:16].any()
    assert not vectors[3, 16:].any()
    assert not vectors[4, :16].any()
    assert np.linalg.norm(vectors[4, 16:]) == pytest.approx(1.0)


def test_near_prices_are_alike_and_far_ones_are_not() -> None:
    prices = np.array([10.0, 11.0, 1000.0, 0.0, 0.01])
    catalogue = Catalogue(tuple("vwxyz"), (None,) * 5, ((),) * 5, prices)
    vectors = HashedEncoder().encode(catalogue)
    assert vectors[0] @ vectors[1] > 0.9
    assert vectors[0] @ vectors[2] == pytest.approx(0.0)
    assert vectors[3] @ vectors[4] == pytest.approx(1.0)


def test_an_item_has_the_same_vector_in_every_catalogue() -> None:
    together = HashedEncoder().encode(CATALOGUE)
    alone = HashedEncoder().encode(CATALOGUE.subset([2]))
    np.testing.assert_array_equal(alone[0], together[2])


def test_vectors_are_the_same_on_every_machine() -> None:
    vector = HashedEncoder(text_size=6, category_size=4, price_size=2, year_size=2).encode(CATALOGUE)[2]
    expected = [-0.387808, -0.303891, 0.0, 0.387808, -0.101297, -0.202594]  # words and letters
    expected += [0.544331, -0.272166, 0.272166, 0.0]  # garden, tools
    expected += [0.158955, 0.292992]  # 500.00
    expected += [0.0, 0.0]  # no year
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_digest_changes_with_every_setting() -> None:
    encoders = [HashedEncoder(), HashedEncoder(text_size=383), HashedEncoder(price_weight=0.6)]
    assert len({encoder.digest for encoder in encoders}) == 3
    assert HashedEncoder().digest == HashedEncoder().digest


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="text_size=0 >= 1"):
        HashedEncoder(text_size=0)
    with pytest.raises(ConfigError, match="Expected price_weight=-1 >= 0"):
        HashedEncoder(price_weight=-1)
    with pytest.raises(ConfigError, match="every field of the encoder is left out"):
        HashedEncoder(text_weight=0, category_weight=0, price_weight=0, year_weight=0)


def test_near_years_are_alike_and_the_last_one_counts() -> None:
    text = ("Jaws (1975)", "Rocky (1976)", "2001: A Space Odyssey (1968)", "THX 1138", "Screws 51999", None)
    catalogue = Catalogue(tuple("uvwxyz"), text, ((),) * 6, np.full(6, NAN))
    years = HashedEncoder().keeping(["year"]).encode(catalogue)
    assert years.shape == (6, 32)
    assert years[0] @ years[1] == pytest.approx(0.98, abs=0.01)
    assert years[0, 15] == pytest.approx(1.0)  # 1975 = 1900 + 15 * 5
    assert years[2] @ years[0] < years[1] @ years[0]
    assert years[2, [13, 14]] == pytest.approx(np.array([2, 3]) / 13**0.5)  # 1968 is 2/5 of 1965, 3/5 of 1970
    assert not years[3:].any()


def test_a_field_that_is_left_out_takes_no_coordinates() -> None:
    encoder = HashedEncoder().keeping(["category", "text"])
    assert [field.name for field in encoder.fields] == ["text", "category"]
    assert encoder.encode(CATALOGUE).shape == (6, 384 + 112)
    assert encoder.digest != HashedEncoder().digest


def test_content_knn_without_content_says_what_to_do() -> None:
    with pytest.raises(ModelError, match="HashedEncoder"):
        ContentKNN().begin(ItemFeatures(3))
