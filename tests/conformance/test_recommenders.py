"""What every closed-form recommender promises. A new one joins by one line in `CASES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.errors import ConfigError, ModelError, NotFitted
from fedrec.models import (
    ALGORITHMS,
    ALS,
    EASE,
    PCA,
    ClosedForm,
    ContentFactors,
    ContentKNN,
    ContentMap,
    ContentPCA,
    ItemFeatures,
    ItemKNN,
    Markov,
    Popularity,
    Recommender,
    Statistic,
    UserKNN,
    Weights,
    create,
    fit,
    load,
    localised,
    parameters_of,
    pooled_sum,
)
from fedrec.models.statistics import STATISTICS
from fedrec.privacy.fixed_point import add, plan
from fedrec.rng import derive

NUM_ITEMS = 12

CASES: list[ClosedForm] = [
    Popularity(),
    Markov(),
    Markov(half_life=None, window=None, max_items_per_user=3),
    ItemKNN(neighbours=5),
    UserKNN(neighbours=6),
    EASE(l2=2.0),
    EASE(l2=2.0, half_life=None, window=None, max_items_per_user=4),
    PCA(rank=4),
    PCA(rank=4, method="subspace", rounds=12, oversample=4),
    ALS(rank=3, sweeps=3, l2=1.0, alpha=4.0),
    ALS(rank=3, sweeps=3, l2=1.0, alpha=4.0, half_life=2.0),
    ContentKNN(),
    ContentFactors(rank=3),
    ContentFactors("pca", rank=4, half_life=None, window=None, max_items_per_user=3),
    ContentMap(rank=4),
    ContentPCA(rank=4),
    ContentPCA(rank=4, content_rank=2, half_life=None, window=None, max_items_per_user=3, unit_norm=False),
    ContentMap(rank=4, whitening="users", half_life=None, window=None, max_items_per_user=3),
]
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("popularity", {"max_items_per_user": 0}, r"Expected a whole number max_items_per_user=0 >= 1\."),
    ("markov", {"shrinkage": 0.0}, r"Expected shrinkage=0\.0 > 0\."),
    ("markov", {"window": 1.5}, r"Expected a whole number window=1\.5 >= 1\."),
    ("item_knn", {"neighbours": 0}, r"Expected a whole number neighbours=0 >= 1\."),
    ("item_knn", {"shrinkage": -1.0}, r"Expected shrinkage=-1\.0 >= 0\."),
    ("user_knn", {"neighbours": True}, r"Expected a whole number neighbours=True >= 1\."),
    ("ease", {"l2": -1}, r"Expected l2=-1 > 0\."),
    ("ease", {"l2": float("nan")}, r"Expected l2=nan to be a finite number\."),
    ("ease", {"l2": "300"}, r"Expected l2='300' to be a finite number\."),
    ("ease", {"half_life": 0.0}, r"Expected half_life=0\.0 > 0\."),
    ("ease", {"catalogue_limit": -3}, r"Expected a whole number catalogue_limit=-3 >= 1\."),
    ("pca", {"rank": 0}, r"Expected a whole number rank=0 >= 1\."),
    ("pca", {"method": "magic"}, r"Expected method='magic' to be one of gram, subspace\."),
    ("als", {"clip_norm": 0}, r"Expected clip_norm=0 > 0\."),
    ("als", {"seed": -1}, r"Expected a whole number seed=-1 >= 0\."),
    ("content_map", {"whitening": "nobody"}, r"Expected whitening='nobody' to be one of catalogue, users\."),
    ("content_pca", {"content_rank": 0}, r"Expected a whole number content_rank=0 >= 1\."),
    ("content_pca", {"unit_norm": 1}, r"Expected unit_norm=1 to be true or false\."),
    ("content_map", {"bias": 0.0}, r"Expected bias=0\.0 > 0\."),
    ("content_factors", {"base": "ease"}, r"Expected base='ease' to be one of als, pca\."),
    ("content_factors", {"rank": 0}, r"Expected a whole number rank=0 >= 1\."),
    ("content_knn", {"half_life": "long"}, r"Expected half_life='long' to be a finite number\."),
]


def label(case: ClosedForm) -> str:
    changed = [f"{key}={value}" for key, value in vars(case).items() if value != getattr(type(case), key, None)]
    return f"{case.name}({', '.join(changed)})"


def histories(seed: int, num_users: int = 25) -> Histories:
    """Random histories with repeats; the last user has none."""
    rng = derive(seed, "histories")
    preference = rng.random((3, NUM_ITEMS)) ** 3
    rows = []
    for user in range(num_users - 1):
        weights = preference[user % 3] / preference[user % 3].sum()
        rows.append(rng.choice(NUM_ITEMS, size=int(rng.integers(2, 12)), p=weights).tolist())
    return Histories.from_lists([*rows, []], NUM_ITEMS)


ITEMS = ItemFeatures(NUM_ITEMS, derive(0, "content").standard_normal((NUM_ITEMS, 5)).astype(np.float32))
CLIENTS = [histories(1), histories(2, num_users=9)]
EVERYONE = Histories.from_lists([c.row(u).tolist() for c in CLIENTS for u in range(c.num_users)], NUM_ITEMS)


def fitted(case: ClosedForm) -> Weights:
    return localised(case, fit(case, ITEMS, pooled_sum([EVERYONE])), EVERYONE)


def federated_sum(clients: list[Histories]) -> Callable[[Statistic], Total]:
    """The way a statistic really goes: over the wire, into fixed point, added up as words."""

    def total(statistic: Statistic) -> Total:
        received = STATISTICS[statistic.name].from_wire(*statistic.to_wire())
        encoding = plan(received.layout(), max_clients=2, max_users_per_client=100)
        first, second = (encoding.encode(received.contribute(client)) for client in clients)
        return Total(statistic.layout(), encoding.decode(add(first, second)), len(clients))

    return total


every_case = pytest.mark.parametrize("case", CASES, ids=label)


def test_every_registered_algorithm_is_a_case() -> None:
    assert {case.name for case in CASES} == set(ALGORITHMS)


@every_case
def test_scores_have_one_finite_row_per_user_and_one_column_per_item(case: ClosedForm) -> None:
    scores = case.scores(fitted(case), EVERYONE)
    assert scores.shape == (EVERYONE.num_users, NUM_ITEMS)
    assert np.isfinite(scores).all()


@every_case
def test_federated_fit_equals_pooled_fit(case: ClosedForm) -> None:
    weights = fit(case, ITEMS, federated_sum(CLIENTS))
    federated = case.scores(localised(case, weights, EVERYONE), EVERYONE)
    np.testing.assert_allclose(federated, case.scores(fitted(case), EVERYONE), rtol=1e-4, atol=1e-4)


@every_case
def test_shared_weights_do_not_depend_on_how_users_are_spread_over_clients(case: ClosedForm) -> None:
    split, together = fit(case, ITEMS, pooled_sum(CLIENTS)), fit(case, ITEMS, pooled_sum([EVERYONE]))
    assert set(split) == set(together)
    np.testing.assert_allclose(split["popularity"], together["popularity"])


@every_case
def test_users_without_history_get_the_popular_items(case: ClosedForm) -> None:
    weights = fitted(case)
    scores = case.scores(weights, Histories.from_lists([[], [3, 4], []], NUM_ITEMS))
    np.testing.assert_allclose(scores[0], weights["popularity"])
    np.testing.assert_array_equal(scores[0], scores[2])


@every_case
def test_scores_of_a_user_do_not_depend_on_the_other_users_asked_for(case: ClosedForm) -> None:
    weights = fitted(case)
    alone = case.scores(weights, EVERYONE.select(np.array([4])))
    np.testing.assert_allclose(alone[0], case.scores(weights, EVERYONE)[4], rtol=1e-5, atol=1e-6)


@every_case
def test_a_user_who_is_not_in_the_fit_can_be_scored(case: ClosedForm) -> None:
    scores = case.scores(fitted(case), Histories.from_lists([[11, 0, 5, 0]], NUM_ITEMS))
    assert len(np.unique(scores)) > 1


@every_case
def test_attribution_sums_to_the_score(case: ClosedForm) -> None:
    weights = fitted(case)
    for history in ([2, 5, 2, 7], [9], []):
        one = Histories.from_lists([history], NUM_ITEMS)
        scores = case.scores(weights, one)[0]
        for item in range(NUM_ITEMS):
            why = case.attribution(weights, one, item)
            assert why.base + why.shares.sum() == pytest.approx(float(scores[item]), rel=1e-4, abs=1e-5)
            assert set(why.items.tolist()) <= set(history)


@every_case
def test_shared_and_private_names_cover_all_weights(case: ClosedForm) -> None:
    assert not set(case.shared) & set(case.private)
    assert set(fit(case, ITEMS, pooled_sum([EVERYONE]))) <= set(case.shared)
    assert set(fitted(case)) <= {*case.shared, *case.private}
    assert set(case.private) <= set(fitted(case))
    assert set(case.begin(ITEMS)) <= set(case.shared)


@every_case
def test_absorbing_changes_no_weights_in_place(case: ClosedForm) -> None:
    weights = case.begin(ITEMS)
    while (statistic := case.next_statistic(weights)) is not None:
        before = {name: np.array(value) for name, value in weights.items()}
        total = pooled_sum([EVERYONE])(statistic)
        totals_before = {name: value.copy() for name, value in total.values.items()}
        after = case.absorb(weights, total)
        for name, value in before.items():
            np.testing.assert_array_equal(weights[name], value)
        for name, value in totals_before.items():
            np.testing.assert_array_equal(total.values[name], value)
        weights = after


@every_case
def test_saved_and_loaded_recommender_has_identical_scores(case: ClosedForm, tmp_path: Path) -> None:
    ids = tuple(f"item-{i}" for i in range(NUM_ITEMS))
    weights = fitted(case)
    Recommender(case, weights, ids, ("one",), EVERYONE.select(np.array([0]))).save(tmp_path, include_private=True)
    loaded = load(tmp_path)
    assert loaded.algorithm == case
    assert tuple(loaded.item_ids) == ids
    np.testing.assert_array_equal(loaded.algorithm.scores(loaded.weights, EVERYONE), case.scores(weights, EVERYONE))


@every_case
def test_parameters_make_an_equal_algorithm(case: ClosedForm) -> None:
    assert create(case.name, parameters_of(case)) == case


@every_case
def test_unfitted_weights_are_refused(case: ClosedForm) -> None:
    with pytest.raises(NotFitted, match="fit it first"):
        case.scores({"num_items": np.array(NUM_ITEMS)}, EVERYONE)


@every_case
def test_histories_over_another_catalogue_are_refused(case: ClosedForm) -> None:
    with pytest.raises(ModelError, match="use one catalogue"):
        case.scores(fitted(case), Histories.from_lists([[0]], NUM_ITEMS + 1))


@pytest.mark.parametrize(("name", "parameters", "message"), WRONG)
def test_wrong_hyper_parameters_are_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(name, parameters)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ease'"):
        create("easy", {})
    with pytest.raises(ConfigError, match="ease has no hyper-parameter 'half_live'; did you mean 'half_life'"):
        create("ease", {"half_live": 3.0})
