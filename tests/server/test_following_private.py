"""A run with differential privacy that follows another one: it is charged like any run, and measures no drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrec.client.guard import FOLDER, PrivacyPolicy, create_guard
from fedrec.client.ledger import Ledger
from fedrec.client.store import TenantStore
from fedrec.data.decay import Decay
from fedrec.errors import FedrecError
from fedrec.models import ItemFeatures, fit, load, pooled_sum
from fedrec.models.popularity import Popularity
from fedrec.privacy.accountant import epsilon_of
from tests.server.following import PERIOD_S, Period, run_over, stores

DELTA = 1e-5
PRIVATE: dict[str, Any] = {
    "models": [{"name": "popularity", "max_items_per_user": 12, "unit_norm": False}],
    "privacy": {"epsilon": 200.0, "delta": DELTA, "placement": "local"},
}


def guarded(folder: Path, epsilon: float) -> list[TenantStore]:
    """Two periods of rows, and tenants that allow `epsilon` in all runs together."""
    tenants = stores(folder, [Period()] * 2)
    for store in tenants:
        limits = PrivacyPolicy(epsilon=epsilon, delta=DELTA, placement="local", colluding=0, max_users=1_000_000)
        create_guard(store.folder, limits)
    return tenants


def both(folder: Path, epsilon: float) -> tuple[list[TenantStore], dict[str, Any]]:
    """A run at the end of each period, events of which fade by half in each; what the second one found."""
    tenants, half_life = guarded(folder / "tenants", epsilon), {"half_life_days": PERIOD_S / 86_400}
    run_over(folder, tenants, "first", PERIOD_S, freshness=half_life, **PRIVATE)
    return tenants, run_over(
        *(folder, tenants, "second", 2 * PERIOD_S), freshness=half_life | {"after": "first"}, **PRIVATE
    )


def test_each_run_is_charged_and_drift_is_not_measured_without_noise(tmp_path):
    tenants, second = both(tmp_path, 500.0)
    assert second["drift"]["alarms"] == []
    assert second["drift"]["why_not"] == "[privacy] is on, and drift is measured without noise"
    assert second["drift"]["popularity"] is second["drift"]["quality"] is None
    for store in tenants:
        entries = Ledger(store.folder / FOLDER).entries()
        assert len(entries) == 2
        assert epsilon_of([one for entry in entries for one in entry.mechanisms], DELTA) > 200.0


def test_fading_counts_are_as_near_as_the_noise_lets_them(tmp_path):
    """Six standard deviations at each of 60 items: beyond them with probability 1.2e-7 in all."""
    tenants, _ = both(tmp_path, 500.0)
    decay, rows = Decay(PERIOD_S, 2 * PERIOD_S), [store.dataset().histories() for store in tenants]
    exact = fit(Popularity(max_items_per_user=12), ItemFeatures(60), pooled_sum([decay.weighed(one) for one in rows]))
    noised = load(tmp_path / "second" / "models" / "popularity").weights["popularity"]
    entry = Ledger(tenants[0].folder / FOLDER).entries()[-1]
    (std,) = (one.std for one in entry.mechanisms)
    assert not np.array_equal(noised, exact["popularity"])
    assert np.abs(noised - exact["popularity"]).max() < 6 * std * np.sqrt(3)


def test_a_tenant_whose_budget_the_first_run_spent_refuses_the_second(tmp_path):
    with pytest.raises(FedrecError, match="budget"):
        both(tmp_path, 200.0)
