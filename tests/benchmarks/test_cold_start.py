"""Who is new, what is cold, and what is held out in the benchmarks of cold start."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.benchmark import Settings
from benchmarks.grocery_cold import Store, cold_items, period_of
from benchmarks.new_tenant import held_out
from benchmarks.new_users import World, share_row
from benchmarks.one_place import chosen, ndcg
from fedrec.data import Dataset, Fold, Histories, Marketplace, marketplace
from fedrec.models import EASE, ClosedForm, ItemFeatures, Popularity, fit, pooled_sum


def test_nobody_who_is_new_is_in_a_sum_or_a_choice() -> None:
    dataset = marketplace(Marketplace(num_users=100, num_items=40, mean_events=10), seed=1)
    world = World.of(dataset, 3)
    assert len(world.strangers) == 20
    assert set(world.strangers) | set(world.members) == set(range(100))
    assert not set(world.strangers) & set(world.members)
    assert set(world.test.users) <= set(world.strangers)
    assert set(world.validation.users) <= set(world.members)
    assert (dataset.histories().lengths[world.strangers] >= 5).all()
    assert set(World.of(dataset, 4).strangers) != set(world.strangers)


def test_the_share_is_a_mean_over_draws_and_not_the_share_of_the_means() -> None:
    row = share_row("ease", [(0.1, 0.2), (0.3, 0.3)], Settings(seeds=(0, 1)), None, None)
    assert row.value == 75.0
    assert "by seed 50.0, 100.0" in (row.note or "")


def test_small_medium_and_large_follow_from_the_sizes_alone() -> None:
    assert held_out([50, 10, 40, 20, 30]) == {"small": 3, "medium": 4, "large": 0}


def test_ndcg_is_that_of_the_target_among_what_was_not_had() -> None:
    counts = Histories.from_lists([[0, 1], [0, 1], [0, 2], [3]], 4)
    weights = fit(Popularity(), ItemFeatures(4), pooled_sum([counts]))  # 3, 2, 1, 1
    fold = Fold(Histories.from_lists([[1], []], 4), Histories.from_lists([[0], [1]], 4), np.array([0, 1]))
    assert np.isclose(ndcg(Popularity(), weights, fold), (1 + 1 / np.log2(3)) / 2)


def test_a_model_that_is_told_less_still_does_not_rank_what_was_had() -> None:
    rows = Histories.from_lists([[0, 1], [0, 1], [2, 3]], 4)
    model = EASE(l2=0.1)
    weights = fit(model, ItemFeatures(4), pooled_sum([rows]))
    fold = Fold(Histories.from_lists([[2, 0]], 4), Histories.from_lists([[1]], 4), np.array([0]))
    assert ndcg(model, weights, fold, fold.history.newest(1)) == 1.0  # 0 brings 1; 2 would bring 3
    nothing = ndcg(model, weights, fold, fold.history.newest(0))  # by popularity 1 before 3, and 0 is had
    assert nothing == 1.0


def test_the_choice_counts_each_user_once() -> None:
    models: dict[str, ClosedForm] = {"popularity": Popularity(), "ease": EASE(l2=0.1)}
    rows = Histories.from_lists([[0, 1], [0, 1], [2, 3], [0]], 4)
    weights = {name: fit(model, ItemFeatures(4), pooled_sum([rows])) for name, model in models.items()}
    by_taste = Fold(Histories.from_lists([[2], [2], [2]], 4), Histories.from_lists([[3], [3], [3]], 4), np.arange(3))
    by_counts = Fold(Histories.from_lists([[3]], 4), Histories.from_lists([[0]], 4), np.arange(1))
    assert chosen(models, weights, [by_taste, by_counts]) == "ease"
    assert chosen(models, weights, [by_counts]) == "popularity"


def test_an_item_is_cold_if_nobody_anywhere_had_it_before_the_last_fifth() -> None:
    events = [
        ("u", "old", 0),
        ("v", "both", 10),
        ("u", "both", 90),
        ("u", "new", 85),
        ("v", "new", 100),
        ("w", "new", 99),
    ]
    users, items, times = zip(*events, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    dataset = Dataset.from_frame(table, pa.table({"item_id": ["old", "both", "new", "never"]}))
    period = period_of(dataset, 5)
    assert (period.start, period.stop) == (80, 101)
    assert (period_of(dataset, 4).start, period_of(dataset, 4).stop) == (60, 80)
    cold = cold_items(dataset, period)
    assert cold.tolist() == [2]
    assert cold_items(dataset, period_of(dataset, 1)).tolist() == [0, 1]
    store = Store.of(dataset, period, cold)
    names = [dataset.interactions.user_ids[user] for user in store.asked]
    assert sorted(names) == ["u", "v"]  # w had nothing before
    assert store.targets.tolist() == [[True], [True]]
    assert store.sold.tolist() == [True]
    assert all(2 not in store.known.row(user) for user in range(3))
