"""The parts of the benchmarks that could measure the wrong thing without anybody noticing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.benchmark import Settings
from benchmarks.demo import cost_of
from benchmarks.federation import CLOSED_FORM, configured, exchange_over, scratch
from benchmarks.parity import top_ten
from benchmarks.scale import Market, generated, rows
from benchmarks.timing import median, seconds_of, spread
from fedrec.config import Config, parse
from fedrec.data import Dataset, Histories, Marketplace, marketplace
from fedrec.errors import FedrecError
from fedrec.models import ALGORITHMS, ItemFeatures, Popularity, Recommender, create
from fedrec.server.fitting import fit_federated

MIB = 1 << 20


def small_market(masks: bool) -> tuple[Dataset, Config]:
    tenants = {"split": "by_user_attribute", "attribute": "tenant"}
    raw = {"data": {"dataset": "synthetic"}, "tenants": tenants, "models": [{"name": "popularity"}]}
    config = parse({**raw, "federation": {"secure_aggregation": masks}})
    return marketplace(Marketplace(num_tenants=3, num_users=60, num_items=40)), config


def test_a_command_is_charged_for_the_memory_that_it_touched(tmp_path: Path) -> None:
    hungry = [sys.executable, "-c", f"block = bytearray(b'x') * {700 * MIB}"]
    cost = cost_of(hungry, tmp_path / "output.txt")
    assert 700 * MIB < cost.peak_bytes < 1400 * MIB
    assert cost.seconds > 0


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "print('no such preset'); raise SystemExit(3)"]
    with pytest.raises(FedrecError, match="exit code 3: no such preset"):
        cost_of(failing, tmp_path / "output.txt")


def test_every_recommender_that_is_federated_is_measured() -> None:
    assert set(CLOSED_FORM) == {name for name, kind in ALGORITHMS.items() if not kind.private}


def test_a_preset_is_measured_with_other_arms_and_recommenders() -> None:
    config = configured("demo", models={"pca": {"method": "subspace"}}, arms=("federated",), seed=5)
    assert [(m.name, m.parameters) for m in config.models] == [("pca", {"method": "subspace"})]
    assert (config.federation.arms, config.seed, config.tenants.split) == (("federated",), 5, "by_user_attribute")


@pytest.mark.parametrize("masks", [False, True])
def test_an_exchange_sums_over_every_tenant(masks: bool) -> None:
    dataset, config = small_market(masks)
    with scratch() as folder:
        exchange = exchange_over(config, dataset, folder)
        items = ItemFeatures(dataset.num_items)
        weights = fit_federated(exchange, {"floor": create("popularity", {})}, items, "final")
        assert (folder / "events.jsonl").exists()
        assert (folder / "roster.txt").exists() == masks
    held_out = dataset.num_users  # every user of the market has an event that is held out as the test item
    assert weights["floor"]["popularity"].sum() == dataset.num_events - held_out
    assert not folder.exists()


def test_lists_of_two_models_differ_where_their_models_do(tmp_path: Path) -> None:
    histories = Histories.from_lists([[0], [1], []], num_items=12)
    counts = np.arange(12, 0, -1).astype(np.float64)
    for name, popularity in {"one": counts, "other": counts[::-1].copy()}.items():
        weights = {"num_items": np.array(12), "popularity": popularity}
        Recommender(Popularity(), weights, tuple("abcdefghijkl")).save(tmp_path / name)
    expected = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [0, 2, 3, 4, 5, 6, 7, 8, 9, 10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
    assert top_ten(tmp_path / "one", histories).tolist() == expected
    assert top_ten(tmp_path / "other", histories)[2].tolist() == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]


def test_models_over_pairs_of_items_refuse_200_000_items() -> None:
    first = next(rows(Settings(quick=True)))
    assert (first.value, first.met) == (4, True)


def test_the_generated_market_is_the_same_for_a_seed() -> None:
    market = Market(num_users=5, num_items=100, events=7, seed=1)
    first, again = generated(market), generated(market)
    assert (first.num_users, first.num_items, first.num_events) == (5, 100, 35)
    np.testing.assert_array_equal(first.interactions.items, again.interactions.items)
    assert len(np.unique(first.interactions.items)) > 10


def test_a_disturbed_run_does_not_move_the_median() -> None:
    assert median([1.0, 1.1, 9.0]) == 1.1
    assert spread([1.0, 1.1, 9.0]) == "median of 3, 1 to 9"
    assert spread([1.0]) is None
    calls: list[int] = []
    assert len(seconds_of(lambda: calls.append(1), 4)) == len(calls) == 4
