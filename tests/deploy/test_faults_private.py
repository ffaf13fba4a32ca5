"""Faults at tenants with a privacy budget, on real processes: what may have left is on the ledger, and nothing else is.

Each run is one sum of noised statistics over five tenants, of whom one may be missing. No metrics leave, so runs may
follow each other, and go on at the same time, as long as the budget lasts.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.killing import kill
from fedrec.client.guard import guard_of
from fedrec.client.ledger import LEDGER
from fedrec.client.store import TenantStore
from fedrec.deploy.platform.runs import Run
from fedrec.privacy.secagg.stages import Consented, Shared, Uploaded
from tests.deploy import faults
from tests.deploy.faults import soon
from tests.deploy.real import PATIENCE_S, Market, running

pytestmark = pytest.mark.slow
ATTEMPTS = 4
RUN = """
[privacy]
epsilon = 1.0
delta = 1e-6
evaluation = "none"
[[models]]
name = "popularity"
[[models]]
name = "ease"
l2 = 10.0
"""
EVERYBODY = [1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("private")
    with running(folder, 5, "--epsilon", "20", "--delta", "1e-6") as market:
        yield market


def begun(market: Market, name: str) -> Run:
    """A run that was submitted once all tenants were online."""
    return market.begin(name, RUN, "--nodes", len(EVERYBODY), timeout_s=40)


def finished(run: Run) -> list[int]:
    """Wait for the end of a run; whose noised vectors its one sum holds."""
    run.follow(lambda event: None, PATIENCE_S)
    assert sorted(path.name for path in (run.folder / "models").iterdir()) == ["ease", "popularity"]
    (members,) = faults.summed(run).values()
    return members


def releases(tenant: Path) -> int:
    """How many releases are on the tenant's ledger, which must be whole."""
    guard = guard_of(TenantStore(tenant))
    assert guard is not None
    return len(guard.ledger.entries())


def spent(market: Market) -> list[int]:
    """The number of releases on each tenant's ledger."""
    return [releases(tenant) for tenant in market.tenants]


def ledger_bytes(tenant: Path) -> int:
    return (tenant / "privacy" / LEDGER).stat().st_size


def test_what_a_tenant_released_when_it_was_killed_is_on_its_ledger(market: Market) -> None:
    """It dies when it has noted its release and its answer, and the platform has neither. The answer goes out within
    half a second; where this test was slower than that, it begins again."""
    victim, members = market.tenants[4], EVERYBODY
    attempts = 0
    while members == EVERYBODY and attempts < ATTEMPTS:
        attempts += 1
        size = ledger_bytes(victim)
        run = begun(market, f"killed-{attempts}")
        kill_once_released(market, victim, size)
        members = finished(run)
    assert members == EVERYBODY[:4], "the tenant was never caught between noting and sending"
    assert spent(market) == [attempts] * 5


def kill_once_released(market: Market, victim: Path, size: int) -> None:
    """Wait until the ledger is longer than `size` and the answer is noted; kill the tenant and start it again."""
    soon(lambda: ledger_bytes(victim) > size, "the release")
    faults.signalled(victim, "supernode", signal.SIGSTOP)
    soon(lambda: faults.is_at(victim, Uploaded), "the answer")
    kill(victim)
    faults.up_again(market, victim)


def test_a_tenant_whose_disk_is_full_releases_nothing(market: Market) -> None:
    """There is room for a part of the release's line. The platform is told why; when there is room again, the part is
    gone, and the tenant takes part as before."""
    victim, before = market.tenants[3], spent(market)
    whole = (victim / "privacy" / LEDGER).read_bytes()
    earlier = faults.newest_state(victim)
    run = begun(market, "full")
    soon(lambda: faults.newest_state(victim) != earlier and faults.is_at(victim, Shared), "the shares")
    with faults.full_disk(victim, room=len(whole) + 20):
        assert finished(run) == [1, 2, 3, 5]
    assert [event["reason"] for event in run.events() if event["event"] == "refused"] == ["storage-failed"]
    assert (victim / "privacy" / LEDGER).read_bytes()[:-20] == whole, "the disk was not full"
    assert spent(market) == [count + (tenant != 3) for tenant, count in enumerate(before)]
    assert (victim / "privacy" / LEDGER).read_bytes() == whole


def test_two_runs_at_once_have_both_their_sums_and_are_both_paid_for(market: Market) -> None:
    before = spent(market)
    runs = [begun(market, name) for name in ("one", "two")]
    soon(runs[1].events, "the second run")
    assert not runs[0].is_finished
    assert [finished(run) for run in runs] == [EVERYBODY, EVERYBODY]
    assert spent(market) == [count + 2 for count in before]


def test_what_a_tenant_released_stays_in_the_sum_when_it_is_killed_before_unmasking(market: Market) -> None:
    """The platform has its masked vector; the others open the sum without it, and it has paid like them."""
    victim, before = market.tenants[2], spent(market)
    replies, earlier = faults.sent(victim), faults.newest_state(victim)
    run = begun(market, "opened")
    soon(lambda: faults.newest_state(victim) != earlier and faults.is_at(victim, Uploaded), "the answer")
    soon(lambda: faults.sent(victim) >= replies + 3, "the advert, the shares and the upload to arrive")
    for program in ("warm", "supernode"):
        faults.signalled(victim, program, signal.SIGSTOP)
    assert faults.is_at(victim, Uploaded)
    assert not faults.is_at(victim, Consented)
    kill(victim)
    assert finished(run) == EVERYBODY
    assert spent(market) == [count + 1 for count in before]
