"""A card says which fields of the content help."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.content import ContentCard, HashedEncoder, content_card
from fedrec.content.card import FieldCard
from fedrec.content.features import catalogue_features
from fedrec.data.catalogue import Catalogue
from fedrec.data.histories import Histories
from fedrec.models import ItemFeatures, pooled_sum
from fedrec.rng import derive

NUM_ITEMS, NUM_USERS = 60, 200
WORDS = derive(1, "words").choice(["ada", "bee", "cog", "dew", "elm", "fig"], NUM_ITEMS)
CATALOGUE = Catalogue(
    tuple(map(str, range(NUM_ITEMS))),
    tuple(map(str, WORDS)),
    tuple((f"kind {i % 3}",) if i < 45 else () for i in range(NUM_ITEMS)),
    np.full(NUM_ITEMS, np.nan),
)
ITEMS = catalogue_features(CATALOGUE)


def one_kind_each() -> Histories:
    """Users keep to a category, and take any word."""
    rng = derive(2, "users")
    rows = [rng.choice(np.arange(user % 3, 45, 3), size=4, replace=False).tolist() for user in range(NUM_USERS)]
    return Histories.from_lists(rows, NUM_ITEMS)


@pytest.fixture(scope="module")
def card() -> ContentCard:
    return content_card(ITEMS, pooled_sum([one_kind_each()]))


def test_the_field_by_which_users_choose_helps_and_the_others_do_not(card: ContentCard) -> None:
    """Words say nothing: their relevance is the mean of 200 values of deviation below 1/2, so 3 standard errors above
    chance come up once in 700 draws, and never under this seed."""
    text, category, price, year = card.fields
    assert card.useful == ("category",)
    assert category.relevance > 0.85  # ahead of the other two kinds, level with its own
    assert category.spread == pytest.approx(0.0, abs=1e-6)
    assert text.relevance == pytest.approx(0.5, abs=0.1)
    assert (price.relevance, year.users) == (0.5, 0.0)


def test_it_says_how_much_is_known_and_how_much_it_varies(card: ContentCard) -> None:
    text, category, price, _ = card.fields
    assert [text.known, category.known, price.known] == [1.0, 0.75, 0.0]
    hashed = HashedEncoder().keeping(["category"]).encode(CATALOGUE)[:45].astype(np.float64)
    assert category.variety == pytest.approx(1 - float((hashed.mean(axis=0) ** 2).sum()), abs=1e-6)
    assert price.variety == 0.0


def test_it_prints_as_a_table(card: ContentCard) -> None:
    lines = str(card).splitlines()
    assert lines[0] == f"content of 60 items, encoder {HashedEncoder().identity}"
    assert lines[1].split() == ["field", "known", "variety", "users", "relevance", "spread", "helps"]
    assert [line.split()[0] for line in lines[2:]] == ["text", "category", "price", "year"]
    assert lines[3].split()[-1] == "yes"


def test_what_helps_can_be_kept(card: ContentCard) -> None:
    assert [field.name for field in HashedEncoder().keeping(card.useful).fields] == ["category"]


def test_chance_is_left_behind_by_three_standard_errors() -> None:
    assert not FieldCard("text", 1.0, 1.0, users=100.0, relevance=0.649, spread=0.5).helps
    assert FieldCard("text", 1.0, 1.0, users=100.0, relevance=0.651, spread=0.5).helps
    assert not FieldCard("text", 1.0, 1.0, users=-4.0, relevance=0.9, spread=0.5).helps  # noise


def test_without_content_there_are_no_fields() -> None:
    assert content_card(ItemFeatures(3), pooled_sum([Histories.from_lists([[0]], 3)])).fields == ()
