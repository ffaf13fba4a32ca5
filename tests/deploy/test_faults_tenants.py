"""Tenants that are late, die or stay away in the course of one run on real processes, one after another.

Six tenants under masks: of six, and of five, one may be missing and the sum of the others still opens. Each test takes
the run as the one before left it; the last compares the result with one process, round by round with the same tenants.
What is killed while it uploads or before it unmasks is in test_faults_private.py.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.killing import kill
from fedrec.deploy.platform.runs import Run, existing_run
from fedrec.privacy.secagg.stages import Uploaded
from tests.deploy import faults
from tests.deploy.faults import soon
from tests.deploy.market import fedrec, histories_of, write_events
from tests.deploy.real import PATIENCE_S, Market, started

pytestmark = pytest.mark.slow
SWEEPS, AWAY_ROUNDS = 7, 10
RUN = f"""
[[models]]
name = "popularity"
[[models]]
name = "als"
rank = 200
sweeps = {SWEEPS}
"""
BUSY, AWAY = 4, 5
BUSY_USERS = 1200
"""A tenant with so many users works for a second on a sum of second moments: time to be found at it."""


def histories(number: int) -> dict[str, str]:
    """The rows of each tenant: `BUSY` and `AWAY` have many users."""
    few = dict(histories_of(number))
    many = {f"{number}-{user}": ("acdf", "fedc", "acef", "edca")[user % 4] for user in range(BUSY_USERS)}
    return few | many if number in (BUSY, AWAY) else few


def numbers(*without: int) -> list[int]:
    """All tenants as the roster numbers them, but for some."""
    return [tenant + 1 for tenant in range(6) if tenant not in without]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    market = Market(tmp_path_factory.mktemp("faults"), 6)
    for number in (BUSY, AWAY):
        rows = write_events(market.folder, histories(number), f"more-{number}")
        fedrec("tenant", "ingest", market.tenants[number], rows)
    with started(market):
        market.begin("long", RUN, "--nodes", 6, min_tenants=4, timeout_s=40)
        yield market


@pytest.fixture
def run(market: Market) -> Run:
    return existing_run(market.platform, "long")


def is_sweeping(run: Run) -> bool:
    """Whether a sum of second moments is being asked for at the moment."""
    rounds = [event for event in run.events() if event["event"] in ("round-start", "round-end")]
    return bool(rounds and rounds[-1]["event"] == "round-start" and "als" in rounds[-1]["action"])


def found_at_work(run: Run, tenant: Path) -> int:
    """Wait until the tenant works on a sum of second moments; the number of its round."""
    soon(lambda: is_sweeping(run) and faults.trains(tenant), f"{tenant.name} at work")
    return max(faults.summed(run))


def opened(run: Run, number: int) -> list[int]:
    """Wait for the sum of a round; whose vectors it holds."""
    soon(
        lambda: faults.summed(run).get(number) or max(faults.summed(run), default=0) > number,
        f"the sum of round {number}",
    )
    return faults.summed(run)[number]


def test_a_tenant_that_is_late_is_not_in_the_sum(market: Market, run: Run) -> None:
    """Its answer comes when the round is over: nobody takes it, and the next rounds are as right as before."""
    assert opened(run, 1) == numbers()
    tenant = market.tenants[BUSY]
    now = found_at_work(run, tenant)
    (worker,) = faults.workers(tenant)
    os.kill(worker, signal.SIGSTOP)
    assert not faults.is_at(tenant, Uploaded)
    assert opened(run, now) == numbers(BUSY)
    before = faults.sent(tenant)
    os.kill(worker, signal.SIGCONT)
    soon(lambda: faults.sent(tenant) > before, "the late answer")


def test_a_tenant_killed_while_it_works_is_not_in_the_sum(market: Market, run: Run) -> None:
    tenant = market.tenants[AWAY]
    late = max(number for number, members in faults.summed(run).items() if members == numbers(BUSY))
    faults.begins(
        run, late + 2
    )  # the cohort of the round between was fixed before; of six it bears one that is missing
    now = found_at_work(run, tenant)
    faults.signalled(tenant, "warm", signal.SIGSTOP)
    assert faults.trains(tenant)
    assert not faults.is_at(tenant, Uploaded)
    kill(tenant)
    assert AWAY + 1 not in opened(run, now)


def test_a_tenant_is_back_after_ten_rounds(market: Market, run: Run) -> None:
    """So is the one that was late, long before."""
    left = max(number for number, members in faults.summed(run).items() if AWAY + 1 in members)
    faults.begins(run, left + AWAY_ROUNDS)
    faults.up_again(market, market.tenants[AWAY])
    run.follow(lambda event: None, PATIENCE_S)
    found = faults.summed(run)
    assert not [number for number in range(left + 1, left + AWAY_ROUNDS + 1) if AWAY + 1 in found[number]]
    assert numbers(AWAY) in found.values()
    assert found[max(found)] == numbers()


def test_the_result_is_that_of_one_process_with_the_same_tenants_in_each_sum(run: Run, tmp_path: Path) -> None:
    assert run.is_finished, "needs the run of the tests before"
    expected = faults.twin(run, [histories(number) for number in range(6)], tmp_path)
    assert json.loads((run.folder / "server.json").read_text()) == json.loads((expected / "server.json").read_text())
    weights = sorted((expected / "models").rglob("*.safetensors"))
    assert len(weights) == 2
    assert not [one for one in weights if one.read_bytes() != (run.folder / one.relative_to(expected)).read_bytes()]
