"""Hyper-parameters chosen under differential privacy on real processes: the tenants' own ledgers hold the comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedrec.client.guard import claim_of
from fedrec.client.ledger import Ledger
from fedrec.client.store import TenantStore
from tests.deploy.real import PATIENCE_S, running

pytestmark = pytest.mark.slow
RUN = """
[privacy]
epsilon = 8.0
delta = 1e-6
[[models]]
name = "ease"
l2 = [10.0, 100.0, 1000.0]
"""


def test_tenants_compare_candidates_with_noise_and_no_metric_leaves_without(tmp_path: Path) -> None:
    with running(tmp_path, 3, "--epsilon", "8", "--delta", "1e-6") as market:
        run = market.begin("choice", RUN, "--nodes", 3)
        run.follow(lambda event: None, PATIENCE_S)
        found = json.loads((run.folder / "server.json").read_text())
    (ease,) = [card for card in found["models"] if card["model"] == "ease"]
    assert [one["parameters"]["l2"] for one in ease["candidates"]] == [10.0, 100.0, 1000.0]
    assert ease["margin"] > 0
    assert found["results"] == {}
    for tenant in market.tenants:
        entries = Ledger(tenant / "privacy").entries()
        assert [one.what for one in entries] == [
            "round 1: item_counts, item_gram",
            "round 2: validation of 3 candidates",
        ]
        assert 8.0 * 0.99 <= claim_of(TenantStore(tenant)).running <= 8.0
