"""A tenant that had no part in the training: its items by id or by content, its users from their own histories."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fedrec.content import HashedEncoder
from fedrec.data import Histories
from fedrec.data.dataset import Dataset
from fedrec.errors import ModelError
from fedrec.models import EASE, ContentKNN, ContentMap, Markov, Popularity, Recommender, load
from fedrec.models.new_tenant import for_tenant

SMALL = HashedEncoder(text_size=64, category_size=2, price_size=2, year_size=2)
TEXTS = {
    "jam": "strawberry jam",
    "tea": "green tea",
    "milk": "fresh milk",
    "bread": "rye bread",
    "cocoa": "green cocoa",
}
THEIRS = {"ann": ["jam", "tea", "milk"], "bob": ["tea", "milk", "bread"], "cat": ["jam", "bread"]}
OURS = {"zoe": ["tea", "cocoa"], "yan": ["cocoa"], "xia": ["milk", "tea"]}


def shop(rows: dict[str, list[str]], items: list[str]) -> Dataset:
    users = [user for user, had in rows.items() for _ in had]
    had = [item for several in rows.values() for item in several]
    events = pa.table({"user_id": users, "item_id": had, "timestamp": list(range(len(had)))})
    return Dataset.from_frame(events, pa.table({"item_id": items, "text": [TEXTS[item] for item in items]}))


@pytest.fixture
def theirs() -> Dataset:
    return shop(THEIRS, ["jam", "tea", "milk", "bread"])


@pytest.fixture
def ours() -> Dataset:
    """Another order, no bread, and cocoa that nobody there has heard of."""
    return shop(OURS, ["cocoa", "milk", "tea", "jam"])


@pytest.mark.parametrize("model", [EASE(l2=0.5), Markov(), Popularity()])
def test_known_items_have_the_scores_that_they_have_where_the_model_was_trained(model, theirs, ours) -> None:
    trained = model.fit(theirs)
    here = for_tenant(trained, ours)
    for item, score in here.recommend("xia", 5, exclude_seen=False):
        there = dict(trained.recommend_to_items(["milk", "tea"], 5, exclude_seen=False))
        assert score == pytest.approx(there[item])


def test_an_item_without_a_known_id_is_read_past_and_never_recommended(theirs, ours) -> None:
    trained = EASE(l2=0.5).fit(theirs)
    here = for_tenant(trained, ours)
    known = {item for item, _ in here.recommend("xia", 5, exclude_seen=False)}
    assert known == {"jam", "tea", "milk"}
    assert here.recommend("zoe", 2) == [
        one for one in trained.recommend_to_items(["tea"], 3) if one.item_id != "bread"
    ]  # zoe had cocoa last
    everyone = [item for item, _ in here.recommend("yan", 5)]
    assert everyone == ["milk", "tea", "jam"]  # yan had nothing that is known: what most have, ties by position


def test_scores_of_unknown_items_are_below_all_others(theirs, ours) -> None:
    here = for_tenant(EASE(l2=0.5).fit(theirs), ours)
    scores = here.algorithm.scores(here.weights, ours.histories())
    assert np.isneginf(scores[:, 0]).all()
    assert np.isfinite(scores[:, 1:]).all()


def test_shares_of_a_history_add_up_to_the_score_and_name_the_tenants_items(theirs, ours) -> None:
    trained = EASE(l2=0.5).fit(theirs)
    here = for_tenant(trained, ours)
    why = here.explain("xia", "jam")
    assert [share.item_id for share in why.shares] == [
        share.item_id for share in trained.explain(["milk", "tea"], "jam").shares
    ]
    assert why.score == pytest.approx(dict(here.recommend("xia", 5))["jam"])
    with pytest.raises(ModelError, match="trained without this item"):
        here.explain("xia", "cocoa")


def test_a_model_of_content_takes_on_the_whole_catalogue(theirs, ours) -> None:
    for model in (ContentKNN(), ContentMap()):
        here = for_tenant(model.fit(theirs, SMALL), ours, SMALL)
        assert {item for item, _ in here.recommend("xia", 5)} == {"cocoa", "jam"}
    vectors = here.weights["item_vectors"]
    assert vectors[0].any()  # cocoa is described, so it has a vector


def test_the_same_catalogue_needs_no_translation(theirs) -> None:
    trained = EASE(l2=0.5).fit(theirs)
    assert for_tenant(trained, theirs).algorithm is trained.algorithm


def test_another_encoder_is_refused(theirs, ours) -> None:
    trained = ContentMap().fit(theirs, SMALL)
    with pytest.raises(ModelError, match="fitted on content of the encoder hashed"):
        for_tenant(trained, ours)
    for_tenant(trained, ours, SMALL)


def test_a_tenant_without_a_single_known_id_is_told_what_to_use(theirs) -> None:
    other = shop({"zoe": ["cocoa"]}, ["cocoa"])
    with pytest.raises(ModelError, match="such as 'jam', and the tenant has none of them; use content_map"):
        for_tenant(EASE().fit(theirs), other)


def test_a_saved_model_serves_as_the_one_in_memory(theirs, ours, tmp_path) -> None:
    trained = EASE(l2=0.5).fit(theirs)
    trained.save(tmp_path / "ease")
    saved: Recommender = load(tmp_path / "ease")
    assert for_tenant(saved, ours).recommend("xia") == for_tenant(trained, ours).recommend("xia")


def test_an_empty_history_gets_what_most_users_have(theirs, ours) -> None:
    here = for_tenant(EASE(l2=0.5).fit(theirs), ours)
    nobody = Histories.from_lists([[]], ours.num_items)
    assert here.algorithm.scores(here.weights, nobody).tolist() == [[-np.inf, 2.0, 2.0, 2.0]]
