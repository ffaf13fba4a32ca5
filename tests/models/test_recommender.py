"""The notebook's view: external ids, lists, explanations, and models on disk."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fedrec.content import HashedEncoder
from fedrec.data.dataset import Dataset
from fedrec.errors import ConfigError, ModelError, NotFitted, UnknownItem, UnknownUser
from fedrec.models import ALS, EASE, ContentKNN, Popularity, Recommendation, Recommender, UserKNN, load

EVENTS = [
    ("ann", "jam"), ("ann", "tea"), ("ann", "milk"),
    ("bob", "tea"), ("bob", "milk"), ("bob", "bread"),
    ("cat", "jam"), ("cat", "bread"),
    ("dan", "milk"), ("dan", "tea"),
    ("eve", "salt"),
]  # fmt: skip
FRAME = pa.table(
    {
        "user_id": [user for user, _ in EVENTS],
        "item_id": [item for _, item in EVENTS],
        "timestamp": list(range(len(EVENTS))),
    }
)
CATALOGUE = pa.table(
    {
        "item_id": ["jam", "tea", "milk", "bread", "salt", "salve"],
        "text": ["strawberry jam", "green tea", "fresh milk", "rye bread", "sea salt", None],
    }
)


@pytest.fixture
def shop() -> Dataset:
    return Dataset.from_frame(FRAME, catalogue=CATALOGUE)


@pytest.fixture
def ease(shop: Dataset) -> Recommender:
    return EASE(l2=0.5, half_life=None, window=None).fit(shop)


def names(lists: list[Recommendation]) -> list[str]:
    return [item for item, _ in lists]


def test_seen_items_are_not_recommended_unless_asked_for(ease: Recommender) -> None:
    assert set(names(ease.recommend("ann"))) == {"bread", "salt", "salve"}
    assert set(names(ease.recommend("ann", exclude_seen=False))) == set(ease.item_ids)


def test_best_come_first_and_at_most_n(ease: Recommender) -> None:
    everything = ease.recommend("dan", n=6, exclude_seen=False)
    assert [r.score for r in everything] == sorted((r.score for r in everything), reverse=True)
    assert ease.recommend("dan", n=2, exclude_seen=False) == everything[:2]


def test_ties_are_broken_by_popularity_then_position(shop: Dataset) -> None:
    recommender = Popularity().fit(shop)
    # tea and milk have three users, jam and bread two, salt one, salve none
    assert names(recommender.recommend("eve", n=6, exclude_seen=False)) == [
        "tea", "milk", "jam", "bread", "salt", "salve"
    ]  # fmt: skip
    zero = Recommender(
        EASE(), {**EASE().fit(shop).weights, "item_weights": np.zeros((6, 6), np.float32)}, shop.catalogue.item_ids
    )
    assert names(zero.recommend_to_items(["jam"], n=2)) == ["tea", "milk"]


def test_candidates_limit_what_is_ranked(ease: Recommender) -> None:
    assert set(names(ease.recommend("ann", candidates=["salt", "bread", "tea"]))) == {"salt", "bread"}


def test_many_users_get_the_lists_that_each_would_get(ease: Recommender) -> None:
    lists = ease.recommend_many(n=3)
    assert set(lists) == {"ann", "bob", "cat", "dan", "eve"}
    for user, ranked in lists.items():
        assert names(ranked) == names(ease.recommend(user, n=3))


def test_a_visitor_gets_the_list_of_a_user_with_the_same_history(ease: Recommender) -> None:
    assert ease.recommend_to_items(["jam", "tea", "milk"]) == ease.recommend("ann")


def test_a_visitor_without_history_gets_the_popular_items(ease: Recommender) -> None:
    assert names(ease.recommend_to_items([], n=2)) == ["tea", "milk"]


def test_similar_items_leave_out_the_item_itself(ease: Recommender) -> None:
    similar = names(ease.similar("tea"))
    assert similar[0] == "milk"
    assert "tea" not in similar


def test_explanation_names_the_items_behind_the_score(ease: Recommender) -> None:
    why = ease.explain("ann", "bread")
    score = {r.item_id: r.score for r in ease.recommend("ann")}["bread"]
    assert why.score == pytest.approx(score, rel=1e-5)
    assert why.base + sum(share for _, share in why.shares) == pytest.approx(why.score)
    assert {item for item, _ in why.shares} == {"jam", "tea", "milk"}
    assert ease.explain(["jam", "tea", "milk"], "bread") == why


def test_popularity_is_explained_by_its_count(shop: Dataset) -> None:
    why = Popularity().fit(shop).explain("ann", "tea")
    assert (why.score, why.base, why.shares) == (3.0, 3.0, ())


def test_content_is_encoded_where_it_is_used(shop: Dataset) -> None:
    recommender = ContentKNN().fit(shop)
    assert recommender.weights["basis"].shape == (544, 4)  # five described items, less their mean
    small = ContentKNN(rank=3).fit(shop, encoder=HashedEncoder(text_size=8).keeping(["text"]))
    assert small.weights["basis"].shape == (8, 3)
    assert np.isfinite([r.score for r in recommender.recommend("ann")]).all()


def test_integer_ids_are_the_ids_of_their_text() -> None:
    frame = pa.table({"user_id": [1, 1, 2], "item_id": [10, 20, 10], "timestamp": [0, 1, 2]})
    recommender = EASE().fit(Dataset.from_frame(frame))
    assert recommender.recommend(2) == recommender.recommend("2")
    assert recommender.explain(2, 20) == recommender.explain("2", "20")


def test_unknown_ids_are_answered_with_the_nearest(ease: Recommender) -> None:
    with pytest.raises(UnknownUser, match="no user 'anne' among 5; did you mean 'ann'"):
        ease.recommend("anne")
    with pytest.raises(UnknownItem, match="no item 'salz' among 6; did you mean 'salt'"):
        ease.similar("salz")
    with pytest.raises(UnknownItem, match="ids look like 'jam'"):
        ease.explain("ann", "0123456789")


def test_lists_of_no_length_are_refused(ease: Recommender) -> None:
    with pytest.raises(ConfigError, match="n=0 >= 1"):
        ease.recommend("ann", n=0)


def test_saved_model_knows_items_but_no_users(ease: Recommender, tmp_path: Path) -> None:
    ease.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.recommend_to_items(["jam"]) == ease.recommend_to_items(["jam"])
    with pytest.raises(UnknownUser, match="has no users"):
        loaded.recommend("ann")
    for path in (tmp_path / "model").rglob("*"):
        assert not path.is_file() or b"ann" not in path.read_bytes()


def test_attached_users_get_their_lists_again(ease: Recommender, shop: Dataset, tmp_path: Path) -> None:
    ease.save(tmp_path)
    assert load(tmp_path).attach(shop).recommend_many() == ease.recommend_many()
    with pytest.raises(ModelError, match="use one catalogue"):
        load(tmp_path).attach(Dataset.from_frame(FRAME))


def test_private_weights_are_saved_only_on_request(shop: Dataset, tmp_path: Path) -> None:
    recommender = UserKNN().fit(shop)
    recommender.save(tmp_path / "shared")
    with pytest.raises(NotFitted, match="user_items, user_starts"):
        load(tmp_path / "shared").recommend_to_items(["jam"])
    recommender.save(tmp_path / "private", include_private=True)
    assert load(tmp_path / "private").recommend_many() == recommender.recommend_many()
    assert stat.S_IMODE((tmp_path / "private" / "private").stat().st_mode) == 0o700


def test_saving_again_replaces_the_model_and_leaves_no_other_file(shop: Dataset, tmp_path: Path) -> None:
    UserKNN().fit(shop).save(tmp_path, include_private=True)
    ALS(rank=2, sweeps=1).fit(shop).save(tmp_path)
    assert load(tmp_path).algorithm == ALS(rank=2, sweeps=1)
    kinds = sorted(path.name.split("-")[0] for path in tmp_path.rglob("*") if path.is_file())
    assert kinds == ["items", "model.json", "weights"]


def test_there_is_no_model_in_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model in"):
        load(tmp_path)


def test_another_schema_version_is_refused(ease: Recommender, tmp_path: Path) -> None:
    ease.save(tmp_path)
    manifest = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**manifest, "schema_version": 2}))
    with pytest.raises(ModelError, match="has schema version 2; this fedrec reads version 1"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["model.json", "weights", "items"])
def test_every_damaged_file_is_refused(ease: Recommender, tmp_path: Path, kind: str) -> None:
    ease.save(tmp_path)
    (path,) = tmp_path.glob(f"{kind}*")
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"\xff" + whole[1:], whole + b"x"):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match="is damaged.*save the model again"):
            load(tmp_path)
    path.unlink()
    with pytest.raises(ModelError):
        load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "eas"},
        {"parameters": {"l2": -1.0}},
        {"parameters": {"depth": 3}},
        {"weights": {"name": "../weights-0123456789abcdef.safetensors", "sha256": "0" * 64}},
        {"weights": None},
        {"surprise": 1},
    ],
)
def test_a_manifest_that_says_something_impossible_is_refused(
    ease: Recommender, tmp_path: Path, change: dict[str, object]
) -> None:
    ease.save(tmp_path)
    manifest = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(ModelError):
        load(tmp_path)


def test_weights_of_another_catalogue_are_refused(ease: Recommender) -> None:
    with pytest.raises(NotFitted, match="Expected fitted weights for 2 items"):
        Recommender(ease.algorithm, ease.weights, ("jam", "tea"))
