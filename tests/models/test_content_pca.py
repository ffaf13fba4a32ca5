"""PCA of a noisy Gram: better than guessing with noise, and a popularity list where it could only guess."""

from __future__ import annotations

import numpy as np

from fedrec.contribution import Total
from fedrec.data.histories import Histories
from fedrec.models import ContentPCA, ItemFeatures, Statistic, Weights, fit, noisy
from fedrec.models.fitting import pooled_sum
from fedrec.models.protocols import Float32Array
from fedrec.rng import derive

NUM_ITEMS, GROUPS = 60, 3
MODEL = ContentPCA(rank=8, content_rank=4)


def world() -> tuple[ItemFeatures, Histories]:
    """Users who take items of one of three kinds, which the content tells apart; item 0 of each kind is popular."""
    rng = derive(3, "world")
    kinds = np.arange(NUM_ITEMS) % GROUPS
    rows = []
    for user in range(600):
        chances = (kinds == user % GROUPS) / (1.0 + np.arange(NUM_ITEMS) // GROUPS)
        rows.append(rng.choice(NUM_ITEMS, size=8, replace=False, p=chances / chances.sum()).tolist())
    content: Float32Array = np.eye(GROUPS, dtype=np.float32)[kinds]
    return ItemFeatures(NUM_ITEMS, content), Histories.from_lists(rows, NUM_ITEMS)


ITEMS, ROWS = world()


def fitted(std: float, seed: int = 0) -> Weights:
    rng = derive(seed, "noise")
    exact = pooled_sum([ROWS])

    def noised(statistic: Statistic) -> Total:
        total = exact(statistic)
        values = {name: value + rng.normal(0.0, std, value.shape) for name, value in total.values.items()}
        return Total(total.layout, values, 1, dict.fromkeys(values, std))

    return fit(MODEL, ITEMS, noised if std else exact)


def right_kind(weights: Weights) -> float:
    """How often the best new item is of the kind of the history."""
    history = Histories.from_lists([[kind, kind + GROUPS] for kind in range(GROUPS)], NUM_ITEMS)
    scores = MODEL.scores(weights, history).copy()
    for kind in range(GROUPS):
        scores[kind, [kind, kind + GROUPS]] = -np.inf
    return float((scores.argmax(axis=1) % GROUPS == np.arange(GROUPS)).mean())


def test_without_noise_it_recommends_what_goes_together() -> None:
    assert right_kind(fitted(0.0)) == 1.0


def test_with_noise_that_hides_every_single_pair_it_still_does() -> None:
    """Noise of 4 on pairs that few users have: a pair seen by 20 users counts 20 / 6 = 3.3."""
    assert right_kind(fitted(4.0)) == 1.0


def test_where_noise_is_all_there_is_everyone_gets_the_noisy_popularity() -> None:
    weights = fitted(2000.0)
    assert weights["item_vectors"].shape == (NUM_ITEMS, 0)
    assert (weights["popularity"] >= 0).all()
    scores = MODEL.scores(weights, Histories.from_lists([[1, 2], [5]], NUM_ITEMS))
    np.testing.assert_allclose(scores[0], weights["popularity"], rtol=1e-6)
    np.testing.assert_array_equal(scores[0], scores[1])
    assert MODEL.attribution(weights, Histories.from_lists([[1, 2]], NUM_ITEMS), 7).base == weights["popularity"][7]


def test_the_edge_is_where_the_eigenvalues_of_noise_end() -> None:
    """A symmetric matrix of 400 x 400 standard normal entries: 2 sqrt(400) = 40, up to a few percent."""
    noise = np.triu(derive(1, "edge").standard_normal((400, 400)))
    largest = np.linalg.eigvalsh(noise + np.triu(noise, 1).T)[-1]
    assert abs(largest / noisy.edge(1.0, 400) - 1) < 0.05


def test_directions_of_noise_are_not_taken_for_more() -> None:
    """Of 60 matrices of nothing but noise some have an eigenvalue beyond the expected edge, none beyond the sure one: a
    chance of 60 / 1,000 to fail if the seeds were others. A direction that were taken would count 6 times its worth
    among the 16 of the subspace."""
    order, beyond, sure = 200, 0, 0
    for seed in range(60):
        noise = np.triu(derive(seed, "noise").standard_normal((order, order)))
        largest = np.linalg.eigvalsh(noise + np.triu(noise, 1).T)[-1]
        beyond += largest > noisy.edge(1.0, order)
        sure += largest > noisy.sure_edge(1.0, order)
    assert beyond > 0
    assert sure == 0


def test_one_that_is_not_to_be_personal_asks_for_counts_only_and_gives_everyone_popularity() -> None:
    model, asked = ContentPCA(rank=8, content_rank=4, personal=False), []
    exact = pooled_sum([ROWS])

    def noted(statistic: Statistic) -> Total:
        asked.append(statistic.name)
        return exact(statistic)

    weights = fit(model, ITEMS, noted)
    assert asked == ["item_counts"]
    scores = model.scores(weights, Histories.from_lists([[1, 2]], NUM_ITEMS))
    np.testing.assert_allclose(scores[0], weights["popularity"], rtol=1e-6)


def test_the_rules_change_nothing_without_noise() -> None:
    values = np.array([-1.0, 0.0, 2.0])
    assert noisy.clear(values, 0.0).tolist() == [-1.0, 0.0, 2.0]
    assert noisy.not_negative(values, 0.0).tolist() == [-1.0, 0.0, 2.0]
    assert noisy.clear(values, 0.5).tolist() == [0.0, 0.0, 2.0]
    assert noisy.not_negative(values, 0.5).tolist() == [0.0, 0.0, 2.0]
