"""The split of a run's budget: it adds up, whatever is asked for, and is known before anything is released."""

from __future__ import annotations

import pytest

from fedrec.data.histories import Histories
from fedrec.errors import ConfigError
from fedrec.models import ALS, EASE, PCA, ClosedForm, ContentPCA, ItemFeatures, ItemKNN, Markov, Popularity, fit_all
from fedrec.models.fitting import pooled_sum
from fedrec.privacy.accountant import epsilon_of, multiplier_for
from fedrec.privacy.budget import Search, rehearsed, spending_of, weight_of
from fedrec.privacy.expectation import expected
from fedrec.privacy.mechanisms import Gaussian
from fedrec.privacy.policy import noise_on
from tests.federation import config_of

ITEMS = ItemFeatures(8)
ROWS = Histories.from_lists([[0, 1, 2, 3], [3, 4, 5], [6, 7, 0], [1, 2, 7], [5]], 8)
MODELS: dict[str, ClosedForm] = {
    "popularity": Popularity(4, unit_norm=True),
    "markov": Markov(max_items_per_user=4),
    "item_knn": ItemKNN(max_items_per_user=4),
    "ease": EASE(max_items_per_user=4),
    "pca": PCA(rank=2, max_items_per_user=4),
    "subspace": PCA(rank=2, method="subspace", rounds=3, oversample=1, max_items_per_user=4),
    "als": ALS(rank=2, sweeps=3, max_items_per_user=4),
    "content_pca": ContentPCA(rank=2, max_items_per_user=4),
}


@pytest.mark.parametrize("names", [["popularity"], ["ease", "item_knn"], ["als"], ["content_pca", "pca"], list(MODELS)])
def test_a_rehearsal_knows_every_sum_of_the_fit(names: list[str]) -> None:
    asked: list[str] = []
    total = pooled_sum([ROWS])
    models = {name: MODELS[name] for name in names}
    fit_all(models, ITEMS, lambda statistic: (asked.append(statistic.name), total(statistic))[1])
    assert sorted(s.name for step in rehearsed(models, ITEMS) for s in step) == sorted(asked)


def test_a_sum_that_a_later_step_needs_again_is_released_once() -> None:
    """PCA asks for the Gram at once, content-PCA only after the counts; it is the same Gram."""
    models = {"pca": PCA(rank=2, max_items_per_user=4, unit_norm=True), "content_pca": MODELS["content_pca"]}
    assert [[s.name for s in step] for step in rehearsed(models, ITEMS)] == [["item_gram", "item_counts"], []]


@pytest.mark.parametrize("placement", ["distributed", "local"])
@pytest.mark.parametrize("epsilon", [0.5, 1.0, 8.0, 20.0])
def test_all_releases_of_a_run_together_spend_the_budget_and_no_more(placement: str, epsilon: float) -> None:
    config = config_of(
        {"secure_aggregation": True, "min_tenants": 3},
        models=[{"name": "popularity"}],
        privacy={"epsilon": epsilon, "delta": 1e-5, "placement": placement},
    )
    spending = spending_of(config, MODELS, ITEMS)
    assert spending is not None
    released = [
        one.mechanism
        for step in rehearsed(MODELS, ITEMS)
        for statistic in step
        for one in noise_on(statistic.layout().prefixed("0"), spending.placed, [spending.multiplier_of(statistic)])
    ]
    spent = epsilon_of(released, 1e-5)
    assert epsilon * 0.99 <= spent <= epsilon


def test_counts_get_a_third_of_what_a_gram_gets() -> None:
    (counts,), (gram,) = rehearsed({"one": MODELS["content_pca"]}, ITEMS)
    assert (weight_of(counts), weight_of(gram)) == (1.0, 3.0)


def test_without_privacy_there_is_no_plan() -> None:
    assert spending_of(config_of(), MODELS, ITEMS) is None


def test_a_private_run_that_releases_nothing_is_refused() -> None:
    config = config_of(
        {"secure_aggregation": True, "min_tenants": 3},
        models=[{"name": "popularity"}],
        privacy={"epsilon": 1.0, "delta": 1e-5},
    )
    with pytest.raises(ConfigError, match="nothing is released"):
        spending_of(config, {}, ITEMS)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
@pytest.mark.parametrize(("validations", "fits"), [(1, 1), (20, 1), (5, 5)])
def test_a_search_shares_one_budget(epsilon: float, validations: int, fits: int) -> None:
    config = config_of(
        models=[{"name": "popularity"}], privacy={"epsilon": epsilon, "delta": 1e-5, "placement": "local"}
    )
    spending = spending_of(config, MODELS, ITEMS, search=Search(validations, fits))
    assert spending is not None
    statistics = [statistic for step in rehearsed(MODELS, ITEMS) for statistic in step] * fits
    released = [Gaussian(1.0, spending.multiplier_of(statistic)) for statistic in statistics]
    released += validations * [Gaussian(1.0, spending.validation)]
    spent = epsilon_of(released, 1e-5)
    assert epsilon * 0.99 <= spent <= epsilon


def test_a_comparison_gets_a_sixth_of_what_a_gram_gets() -> None:
    """By hand: 1/2 of 3, so the noise is sqrt 6 times that of the Gram."""
    ease = {"ease": MODELS["ease"]}
    config = config_of(models=[{"name": "ease"}], privacy={"epsilon": 2.0, "delta": 1e-5, "placement": "local"})
    spending = spending_of(config, ease, ITEMS, search=Search(validations=1))
    assert spending is not None
    ((gram,),) = rehearsed(ease, ITEMS)
    assert spending.validation == pytest.approx(6**0.5 * spending.multiplier_of(gram))
    alone = spending_of(config, ease, ITEMS)
    assert alone is not None
    assert spending.multiplier_of(gram) == pytest.approx((3.5 / 3) ** 0.5 * alone.multiplier_of(gram))


def test_a_comparison_leaves_less_for_the_sums_as_the_plan_says() -> None:
    plain, choosing = expected(6040, 2.0, 1e-5), expected(6040, 2.0, 1e-5, chooses=True)
    assert (plain.validation, choosing.gram) == (None, pytest.approx((4.5 / 4) ** 0.5 * plain.gram))
    assert choosing.validation == pytest.approx(3.0 * choosing.multiplier)


def test_the_expectation_falls_with_users_and_rises_with_epsilon() -> None:
    """By hand: a quarter of the budget for counts is twice the multiplier."""
    plan = expected(6040, 2.0, 1e-5)
    assert plan.multiplier == multiplier_for(2.0, 1e-5)
    assert plan.counts == pytest.approx(2 * plan.multiplier)
    assert plan.gram == pytest.approx(plan.multiplier * (4 / 3) ** 0.5)
    assert "personal" in expected(100_000, 8.0, 1e-6).quality
    assert "noisy popularity" in expected(100, 1.0, 1e-5).quality
    assert expected(6040, 8.0, 1e-5).users_per_noise > plan.users_per_noise > expected(943, 2.0, 1e-5).users_per_noise
