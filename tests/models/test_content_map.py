"""Items that nobody has had are recommended by what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedrec.content import HashedEncoder
from fedrec.content.features import catalogue_features
from fedrec.contribution import Total
from fedrec.data.catalogue import Catalogue
from fedrec.data.dataset import Dataset
from fedrec.data.histories import Histories
from fedrec.errors import ModelError
from fedrec.models import EASE, ContentKNN, ContentMap, ItemFeatures, Statistic, Weights, fit, load, pooled_sum
from fedrec.models.protocols import EncoderId
from fedrec.rng import derive

ENCODER = HashedEncoder().keeping(["text"])
NAMES = ("red tea", "green tea", "black tea", "tea cup", "china cup", "lawn hose", "lawn rake", "garden rake", "rake")
GROUPS = ([0, 1, 2, 3], [3, 4], [5, 6, 7, 8])
OFF = {"half_life": None, "window": None}


def catalogue(names: tuple[str, ...]) -> Catalogue:
    return Catalogue(names, names, ((),) * len(names), np.full(len(names), np.nan))


def histories(num_items: int, num_users: int = 60) -> Histories:
    """Each user keeps to one group; nobody has item 8."""
    rng = derive(3, "groups")
    rows = [rng.permutation([i for i in GROUPS[user % 3] if i != 8])[:2].tolist() for user in range(num_users)]
    return Histories.from_lists(rows, num_items)


ITEMS = catalogue_features(catalogue(NAMES), ENCODER)
USERS = histories(len(NAMES))


def map_slowly(weights: Weights, rows: Histories, shrinkage: float, l2: float) -> np.ndarray:
    """The formula of the module's docstring, user by user."""
    vectors = weights["item_vectors"].astype(np.float64)
    order = vectors.shape[1]
    together = np.zeros((order, order))
    for user in range(rows.num_users):
        profile = sum(vectors[item] for item in set(rows.row(user).tolist()))
        together += np.outer(profile, profile) / (profile @ profile)
    had = vectors[sorted(set(rows.items.tolist()))]
    agreed = np.linalg.inv(together + shrinkage * np.trace(together) / order * np.eye(order)) @ together
    return agreed @ np.linalg.inv(had.T @ had + l2 * np.eye(order))


def test_the_map_is_that_of_the_formula() -> None:
    weights = fit(ContentMap(rank=5, shrinkage=0.7, l2=0.2, **OFF), ITEMS, pooled_sum([USERS]))
    np.testing.assert_allclose(weights["map"], map_slowly(weights, USERS, 0.7, 0.2), atol=1e-5)


@pytest.mark.parametrize("model", [ContentMap(rank=6, **OFF), ContentMap(rank=6, whitening="users", **OFF)])
def test_an_item_that_nobody_had_is_recommended_to_those_who_like_such(model: ContentMap) -> None:
    scores = model.scores(fit(model, ITEMS, pooled_sum([USERS])), Histories.from_lists([[5, 6], [0, 1]], len(NAMES)))
    assert scores[0, 8] > scores[0, :5].max()
    assert scores[1, 8] < scores[1, :3].min()


def test_what_goes_together_is_learnt_and_not_only_what_is_alike() -> None:
    """Nothing in 'rake' is in 'lawn hose', but who has the one has rakes."""
    hose = Histories.from_lists([[5]], len(NAMES))
    learnt, alike = ContentMap(rank=6, **OFF), ContentKNN(rank=6, **OFF)
    shares = []
    for model in (learnt, alike):
        scores = model.scores(fit(model, ITEMS, pooled_sum([USERS])), hose)[0]
        shares.append(float(scores[8] / scores[5]))
    assert shares[0] > shares[1] + 0.1


def noised(std: float) -> Weights:
    def total(statistic: Statistic) -> Total:
        exact = pooled_sum([USERS])(statistic)
        drawn = {n: v + derive(7, statistic.name).normal(0, std, v.shape) for n, v in exact.values.items()}
        return replace(exact, values=drawn, noise=dict.fromkeys(exact.values, std))

    return fit(ContentMap(rank=6, whitening="users", **OFF), ITEMS, total)


def test_noise_that_drowns_everything_leaves_a_finite_model() -> None:
    model, weights = ContentMap(rank=6, whitening="users", **OFF), noised(1e6)
    assert np.isfinite(model.scores(weights, USERS)).all()
    assert (weights["popularity"] >= 0).all()
    assert np.abs(weights["map"]).max() <= 1.0 / ContentMap().l2


def test_a_catalogue_without_any_description_can_be_fitted() -> None:
    items = ItemFeatures(4, np.zeros((4, 3), np.float32))
    rows = Histories.from_lists([[0, 1], [1]], 4)
    for model in (ContentMap(), ContentKNN()):
        assert np.isfinite(model.scores(fit(model, items, pooled_sum([rows])), rows)).all()


def shop() -> Dataset:
    users = [f"u{user}" for user in USERS.rows]
    frame = {"user_id": users, "item_id": [NAMES[i] for i in USERS.items], "timestamp": list(range(len(users)))}
    return Dataset.from_frame(frame, {"item_id": list(NAMES), "text": list(NAMES)})


def test_a_recommender_takes_on_items_that_came_after_it_was_fitted(tmp_path) -> None:
    ContentMap(**OFF).fit(shop()).save(tmp_path)
    loaded = load(tmp_path)
    larger = loaded.over(catalogue(("lawn mower", *NAMES, "mint tea")))
    assert larger.recommend_to_items(["lawn hose", "lawn rake"], n=1, candidates=["lawn mower", "mint tea"])[0][0] == (
        "lawn mower"
    )
    before = dict(loaded.recommend_to_items(["rake"], n=99))
    after = dict(larger.recommend_to_items(["rake"], n=99))
    assert {item: after[item] for item in before} == pytest.approx(before, rel=1e-4, abs=1e-6)
    assert larger.weights["popularity"][[0, -1]].tolist() == [0, 0]


def test_items_described_by_another_encoder_are_refused_and_both_are_named(tmp_path) -> None:
    fitted = ContentKNN().fit(shop())
    other = HashedEncoder(text_size=100)
    both = f"encoder {HashedEncoder().identity}, the new items are described by {other.identity}"
    with pytest.raises(ModelError, match=both):
        fitted.over(catalogue(NAMES), other)


def test_a_recommender_by_ids_takes_on_no_items() -> None:
    with pytest.raises(ModelError, match="ease knows items by their ids"):
        EASE().fit(shop()).over(catalogue(NAMES))


def test_a_saved_model_names_its_encoder(tmp_path) -> None:
    ContentMap().fit(shop(), ENCODER).save(tmp_path / "map")
    assert load(tmp_path / "map").encoder == ENCODER.identity
    manifest = tmp_path / "map" / "model.json"
    assert str(ENCODER.identity) in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(ENCODER.digest, HashedEncoder().digest))
    with pytest.raises(ModelError, match="is damaged: it names the encoder hashed"):
        load(tmp_path / "map")
    EASE().fit(shop()).save(tmp_path / "ease")
    assert load(tmp_path / "ease").encoder is None


def test_an_encoder_survives_being_a_weight() -> None:
    encoder = EncoderId("hashed+photos", "00ff")
    assert EncoderId.of(encoder.as_weight()) == encoder
    assert EncoderId.of({}) is None
