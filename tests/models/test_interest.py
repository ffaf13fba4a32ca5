"""Recommendations for what somebody says, without any history."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fedrec.content import HashedEncoder
from fedrec.data.dataset import Dataset
from fedrec.errors import ConfigError, ModelError
from fedrec.models import EASE, ContentKNN, ContentMap, Popularity, Recommender
from fedrec.models.interest import Interest, by_content, with_interest

SMALL = HashedEncoder(text_size=96, category_size=32, price_size=2, year_size=8)
TITLES = {
    "a": ("Red rocket (1984)", ["Sci-Fi"]),
    "b": ("Blue rocket (1985)", ["Sci-Fi", "War"]),
    "c": ("Wedding bells (1994)", ["Romance"]),
    "d": ("Paris wedding (1996)", ["Romance", "Comedy"]),
    "e": ("Laughing cat (1995)", ["Comedy"]),
}


@pytest.fixture
def films() -> Dataset:
    rows = [("u", "a"), ("u", "b"), ("v", "c"), ("v", "d"), ("w", "d"), ("w", "e"), ("x", "d")]
    users, items = zip(*rows, strict=True)
    events = pa.table({"user_id": users, "item_id": items, "timestamp": list(range(len(rows)))})
    texts, categories = zip(*TITLES.values(), strict=True)
    return Dataset.from_frame(events, pa.table({"item_id": list(TITLES), "text": texts, "categories": categories}))


def first(recommender: Recommender, films: Dataset, said: str, *items: str) -> str:
    interest = Interest.parse(said, films.catalogue)
    listed = with_interest(recommender, films.catalogue, interest, SMALL).recommend_to_items([interest.item_id, *items])
    assert interest.item_id not in [item for item, _ in listed]
    return listed[0].item_id


def test_names_of_categories_are_told_from_words(films: Dataset) -> None:
    interest = Interest.parse(" sci-fi, big rockets ,, 1980s, SCI-FI", films.catalogue)
    assert interest == Interest("sci-fi, big rockets, 1980s, SCI-FI", "big rockets, 1980s", ("Sci-Fi",))


@pytest.mark.parametrize("model", [ContentKNN(), ContentMap()])
@pytest.mark.parametrize(("said", "expected"), [("romance, wedding", "cd"), ("sci-fi, 1980s", "ab"), ("cat", "e")])
def test_what_is_like_the_words_comes_first(films: Dataset, model, said, expected) -> None:
    assert first(model.fit(films, SMALL), films, said) in expected


def test_the_interest_is_encoded_as_an_item_of_that_description_would_be(films: Dataset) -> None:
    interest = Interest.parse("Comedy, Laughing cat (1995)", films.catalogue)
    vectors = with_interest(ContentMap().fit(films, SMALL), films.catalogue, interest, SMALL).weights["item_vectors"]
    np.testing.assert_allclose(vectors[-1], vectors[4], atol=1e-6)  # that is how "e" is described


def test_the_interest_stands_before_what_was_had_and_is_older(films: Dataset) -> None:
    interest = Interest.parse("romance", films.catalogue)
    here = with_interest(ContentKNN(half_life=1.0).fit(films, SMALL), films.catalogue, interest, SMALL)

    def scores(*history: str) -> dict[str, float]:
        return dict(here.recommend_to_items(history, exclude_seen=False))

    both, said, had = scores(interest.item_id, "a"), scores(interest.item_id), scores("a")
    for item in "bcde":
        assert both[item] == pytest.approx(had[item] + 0.5 * said[item], abs=1e-5)


def test_a_model_of_ids_is_answered_for_by_content_and_keeps_the_popularity(films: Dataset) -> None:
    ease = EASE().fit(films)
    with pytest.raises(ModelError, match="ease knows items by their ids"):
        first(ease, films, "romance")
    stand_in = by_content(ease, films.catalogue, SMALL)
    assert first(stand_in, films, "romance, wedding") in "cd"
    assert [item for item, _ in stand_in.recommend_to_items([], 2)] == [
        item for item, _ in Popularity().fit(films).recommend_to_items([], 2)
    ]


@pytest.mark.parametrize("said", ["", " , "])
def test_nothing_said_is_an_error_that_names_categories(films: Dataset, said: str) -> None:
    with pytest.raises(ConfigError, match="such as Sci-Fi, War, Romance, Comedy, got an empty interest"):
        Interest.parse(said, films.catalogue)


def test_what_the_encoder_cannot_read_is_an_error(films: Dataset) -> None:
    by_category = SMALL.keeping(["category"])
    knn = ContentKNN().fit(films, by_category)
    with pytest.raises(ConfigError, match="makes nothing of 'rockets'; name categories such as Sci-Fi"):
        with_interest(knn, films.catalogue, Interest.parse("rockets", films.catalogue), by_category)


def test_another_encoder_than_the_models_is_refused(films: Dataset) -> None:
    interest = Interest.parse("romance", films.catalogue)
    with pytest.raises(ModelError, match="encode them as the others were"):
        with_interest(ContentMap().fit(films, SMALL), films.catalogue, interest, HashedEncoder())
