"""What a federation computes after a user or a tenant has gone is what it computes if they had never been there: every
model and every figure of a whole run, bit for bit. The tenants took part in a run before, with the user."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fedrec.client.app import app as client_app
from fedrec.client.incoming import INCOMING
from fedrec.client.store import TenantStore, create_store
from fedrec.deploy.supervisor import _held
from fedrec.deploy.tenant.rows import forget, ingest, open_again
from fedrec.server.run import run
from fedrec.simulations.grid import InProcessGrid
from fedrec.simulations.tenancy import create_roster
from fedrec.strategies.secure_grid import SecureGrid
from tests.federation import config_of, exchange_of, rows_of

NORTH = {"ann": "abcd", "bob": "bcde", "cat": "abce"}
SOUTH = {"dan": "cdef", "eve": "fedc", "fay": "acef"}
WEST = {"gus": "bdf", "hal": "fab", "ida": "adce"}


def tenants(folder: Path, *histories: Mapping[str, str]) -> list[TenantStore]:
    """Tenants that can get new rows, as `fedrec tenant init` makes them."""
    stores = [create_store(folder / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(histories)]
    for store in stores:
        (store.folder / INCOMING).mkdir()
    return stores


def computed(stores: Sequence[TenantStore], out: Path, masks: bool = False) -> dict[str, str]:
    """Digests of all that the server has after a run of popularity and EASE, by file."""
    federation = {"secure_aggregation": masks, "min_tenants": len(stores)}
    nodes = {100 + n: {"store": str(store.folder)} for n, store in enumerate(stores)}
    grid = InProcessGrid(client_app, nodes, {"out": str(out)})
    exchange = exchange_of(grid, config_of(federation), out)
    if masks:
        exchange.grid = SecureGrid(grid, create_roster(stores, out.parent / f"{out.name}-roster.txt"))
    run(exchange, stores[0].dataset().catalogue, out)
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "events.jsonl"]
    assert {"popularity", "ease"} <= {path.parent.name for path in files}
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def reopened(stores: Sequence[TenantStore]) -> None:
    """Let tenants whose rows stayed take part in another run, as `fedrec tenant open` does."""
    for store in stores:
        open_again(store)


@pytest.mark.parametrize("masks", [False, True])
def test_after_a_user_was_forgotten_all_is_as_if_the_user_had_never_been_there(tmp_path, masks):
    stores = tenants(tmp_path / "with", NORTH, SOUTH, WEST)
    before = computed(stores, tmp_path / "first")
    with _held(stores[0].folder):
        assert forget(stores[0], "ann").waits
    reopened(stores[1:])
    after = computed(stores, tmp_path / "second", masks)
    without = {user: items for user, items in NORTH.items() if user != "ann"}
    assert after == computed(tenants(tmp_path / "without", without, SOUTH, WEST), tmp_path / "never", masks)
    assert after != before


def test_after_rows_came_all_is_as_if_they_had_been_there_from_the_start(tmp_path):
    early = {"bob": NORTH["bob"], "cat": NORTH["cat"][:3]}
    stores = tenants(tmp_path / "early", early, SOUTH, WEST)
    before = computed(stores, tmp_path / "first")
    with _held(stores[0].folder):
        assert ingest(stores[0], rows_of({"cat": NORTH["cat"], "ann": NORTH["ann"]})).events == 5
    reopened(stores[1:])
    after = computed(stores, tmp_path / "second")
    in_this_order = {user: NORTH[user] for user in ("bob", "cat", "ann")}
    assert after == computed(tenants(tmp_path / "all", in_this_order, SOUTH, WEST), tmp_path / "at-once")
    assert after != before


def test_after_a_tenant_left_all_is_as_if_it_had_never_been_there(tmp_path):
    stores = tenants(tmp_path / "three", NORTH, SOUTH, WEST)
    before = computed(stores, tmp_path / "first")
    reopened(stores[:2])
    after = computed(stores[:2], tmp_path / "second")
    assert after == computed(tenants(tmp_path / "two", NORTH, SOUTH), tmp_path / "never")
    assert after != before
