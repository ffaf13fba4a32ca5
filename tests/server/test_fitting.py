"""Federated sums that can be checked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fedrec.content.features import catalogue_features
from fedrec.errors import RoundFailed
from fedrec.messages import REFUSAL
from fedrec.models import ALS, EASE, Markov, Popularity, fit, pooled_sum
from fedrec.server.fitting import fit_federated
from tests.federation import LEFT, RIGHT, config_of, exchange_of, grid_of, rows_of, two_tenants

# Without their last item: left a,b,c / b,c,d / a,b,c and right c,d,e / f,e,d / a,c,e / b,d.
COUNTS = [3, 4, 5, 4, 3, 1]


def test_popularity_is_the_sum_of_both_tenants_counts_without_the_test_item(tmp_path):
    stores = two_tenants(tmp_path)
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    items = catalogue_features(stores[0].dataset().catalogue)
    weights = fit_federated(exchange, {"popularity": Popularity()}, items, "final")
    assert weights["popularity"]["popularity"].tolist() == COUNTS


def test_federated_weights_equal_those_of_one_table(tmp_path):
    stores = two_tenants(tmp_path)
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    algorithms = {"ease": EASE(l2=2.0), "markov": Markov(), "als": ALS(rank=2, sweeps=2)}
    items = catalogue_features(stores[0].dataset().catalogue)
    weights = fit_federated(exchange, algorithms, items, "final")
    fit_rows = stores[0].split(exchange.holdout).fit, stores[1].split(exchange.holdout).fit
    for label, algorithm in algorithms.items():
        pooled = fit(algorithm, items, pooled_sum(list(fit_rows)))
        for name, value in pooled.items():
            np.testing.assert_allclose(weights[label][name], value, atol=1e-5, err_msg=f"{label} {name}")


def test_recommenders_that_need_one_sum_release_it_once(tmp_path):
    stores = two_tenants(tmp_path)
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    items = catalogue_features(stores[0].dataset().catalogue)
    fit_federated(exchange, {"weak": EASE(l2=1.0), "strong": EASE(l2=9.0)}, items, "final")
    ends = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    sent = [block["block"] for event in ends if event["event"] == "round-end" for block in event["sent"]]
    assert sent == ["0/gram"]


def test_a_lost_reply_is_left_out_and_the_round_goes_on_above_the_quorum(tmp_path):
    stores = [*two_tenants(tmp_path), *two_tenants(tmp_path / "more")]
    grid = grid_of(stores, lost=lambda message: message.metadata.src_node_id == 103)
    exchange = exchange_of(grid, config_of(), tmp_path)
    items = catalogue_features(stores[0].dataset().catalogue)
    weights = fit_federated(exchange, {"popularity": Popularity()}, items, "final")
    left_twice = np.array([2, 3, 3, 1, 0, 0]) + COUNTS
    assert weights["popularity"]["popularity"].tolist() == left_twice.tolist()


def test_below_the_quorum_the_round_is_discarded_with_the_reasons(tmp_path):
    stores = two_tenants(tmp_path)
    (stores[1].folder / "rows" / "interactions.parquet").write_bytes(b"damaged")
    exchange = exchange_of(grid_of(stores), config_of(), tmp_path)
    items = catalogue_features(stores[0].dataset().catalogue)
    with pytest.raises(RoundFailed, match="1 usable replies, expected at least 2.*node 101: DataError"):
        fit_federated(exchange, {"popularity": Popularity()}, items, "final")


def test_with_discard_one_failure_is_enough(tmp_path):
    stores = [*two_tenants(tmp_path), *two_tenants(tmp_path / "more")]
    (stores[0].folder / "rows" / "interactions.parquet").write_bytes(b"damaged")
    config = config_of(federation={"on_failure": "discard"})
    items = catalogue_features(stores[1].dataset().catalogue)
    with pytest.raises(RoundFailed, match="and no failure"):
        fit_federated(exchange_of(grid_of(stores), config, tmp_path), {"popularity": Popularity()}, items, "final")


def test_a_tenant_above_the_planned_capacity_declines_with_a_typed_reason(tmp_path):
    stores = two_tenants(tmp_path)
    config = config_of(federation={"max_users_per_tenant": 3, "min_tenants": 1})
    exchange = exchange_of(grid_of(stores), config, tmp_path)
    items = catalogue_features(stores[0].dataset().catalogue)
    fit_federated(exchange, {"popularity": Popularity()}, items, "final")
    end = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
    assert end["failed"] == {"101": "capacity-exceeded"}


def test_the_hand_counts_are_those_of_the_rows():
    items = "abcdef"
    kept = [row[:-1] for row in (*LEFT.values(), *RIGHT.values())]
    assert [sum(item in row for row in kept) for item in items] == COUNTS
    assert rows_of(LEFT).num_users == 3
    assert REFUSAL.startswith("fedrec.")
