from __future__ import annotations

import numpy as np

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models import (
    ALS,
    EASE,
    PCA,
    ClosedForm,
    ItemFeatures,
    ItemKNN,
    Popularity,
    Statistic,
    UserKNN,
    fit,
    fit_all,
    localised,
    needed,
    pooled_sum,
)

HISTORIES = Histories.from_lists([[0, 1, 2], [1, 2, 3], [0, 3], [2]], 4)
ITEMS = ItemFeatures(4)


def test_models_fitted_together_ask_for_each_sum_once() -> None:
    asked: list[str] = []

    def counting(statistic: Statistic) -> Total:
        asked.append(statistic.name)
        return pooled_sum([HISTORIES])(statistic)

    algorithms: dict[str, ClosedForm] = {
        "ease": EASE(),
        "stronger": EASE(l2=900.0),
        "knn": ItemKNN(),
        "pca": PCA(rank=2),
        "popular": Popularity(),
        "als": ALS(rank=2, sweeps=2),
        "als, recent": ALS(rank=2, sweeps=2, half_life=3.0),
    }
    together = fit_all(algorithms, ITEMS, counting)
    assert sorted(asked) == ["als_sweep", "als_sweep", "item_counts", "item_gram"]
    for label, algorithm in algorithms.items():
        alone = fit(algorithm, ITEMS, pooled_sum([HISTORIES]))
        for name, value in alone.items():
            np.testing.assert_array_equal(together[label][name], value)


def test_nothing_is_needed_once_fitted() -> None:
    algorithms: dict[str, ClosedForm] = {"ease": EASE(), "popular": Popularity()}
    assert set(needed(algorithms, {label: a.begin(ITEMS) for label, a in algorithms.items()})) == set(algorithms)
    assert needed(algorithms, fit_all(algorithms, ITEMS, pooled_sum([HISTORIES]))) == {}


def test_pooled_sum_adds_clients_up_without_changing_their_contributions() -> None:
    statistic = Popularity().next_statistic({"num_items": np.array(4)})
    assert statistic is not None
    total = pooled_sum([HISTORIES, HISTORIES])(statistic)
    assert total.values["counts"].tolist() == [4, 4, 6, 4]
    assert total.num_clients == 2


def test_only_user_knn_has_private_weights() -> None:
    shared = fit(UserKNN(), ITEMS, pooled_sum([HISTORIES]))
    assert set(localised(UserKNN(), shared, HISTORIES)) - set(shared) == {"user_starts", "user_items"}
    weights = fit(EASE(), ITEMS, pooled_sum([HISTORIES]))
    assert localised(EASE(), weights, HISTORIES) is weights
