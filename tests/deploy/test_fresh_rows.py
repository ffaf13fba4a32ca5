"""Rows that come and a user who goes while real tenants are up: the next run is over them, and nobody was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedrec.deploy.platform.runs import Run
from fedrec.deploy.tenant.folder import Tenant
from tests.deploy.market import HISTORIES, fedrec, write_events
from tests.deploy.real import PATIENCE_S, Market, running
from tests.deploy.test_federation import POPULARITY, in_one_process

pytestmark = pytest.mark.slow


def finished(market: Market, name: str) -> Run:
    begun = market.begin(name, POPULARITY)
    begun.follow(lambda event: None, PATIENCE_S)
    return begun


def test_rows_that_come_while_tenants_are_up_are_in_the_next_run(tmp_path: Path) -> None:
    """Each tenant gets a user with items of its own, and the first loses one; the second run's result is that of one
    process over just these rows, bit for bit."""
    later = [{f"new-{n}@example": items} for n, items in enumerate(("abce", "fdab", "cebf"))]
    with running(tmp_path) as market:
        finished(market, "first")
        for tenant, rows in zip(market.tenants, later, strict=True):
            more = write_events(tmp_path, rows, f"more-of-{tenant.name}")
            assert "4 new events, once the next run begins" in fedrec("tenant", "ingest", tenant, more)
        fedrec("tenant", "forget", market.tenants[0], "--user", "ann@example")
        assert Tenant(market.tenants[0]).store.dataset().num_users == 2
        second = finished(market, "second")
        assert Tenant(market.tenants[0]).store.dataset().interactions.user_ids == ("bob@example", "new-0@example")
    expected = [dict(old) | new for old, new in zip(HISTORIES, later, strict=True)]
    del expected[0]["ann@example"]
    assert json.loads((second.folder / "server.json").read_text()) == in_one_process(second, tmp_path / "one", expected)
