"""A real run on loopback, watched: what is logged, shown and counted, and that none of it names anybody or anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedrec.deploy.logs import LOG
from fedrec.deploy.metrics import exposition
from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.metrics import look
from fedrec.deploy.tenant.folder import Tenant
from fedrec.deploy.tenant.metrics import Looking
from fedrec.deploy.tenant.node import free_port
from tests.deploy.market import fedrec, refused, run_file
from tests.deploy.real import PATIENCE_S, Market, started
from tests.deploy.test_metrics import read

pytestmark = pytest.mark.slow
RUN = """
[privacy]
epsilon = {epsilon}
delta = 1e-5
[[models]]
name = "popularity"
"""


def named(kind: str, number: int) -> str:
    """An id that is nowhere by chance: 48 random bits are at one of 1e8 places with a chance below 4e-7."""
    return f"{kind}-{hashlib.sha256(f'{kind}{number}'.encode()).hexdigest()[:12]}"


ITEMS = [named("sku", number) for number in range(12)]


class Named(Market):
    """A market whose users and items have names that can be looked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started, self.seen = folder, [], [b""]
        self.port = free_port()
        (folder / "items.csv").write_text("item_id,text\n" + "".join(f"{item},thing\n" for item in ITEMS))
        options = ("--catalogue", folder / "items.csv", "--address", f"localhost:{self.port}")
        fedrec("platform", "init", folder / "market", *options)
        self.platform = Platform(folder / "market")
        self.tenants = [self.tenant(number) for number in range(3)]

    def users(self, number: int) -> list[str]:
        return [named("user", 10 * number + one) for one in range(3)]

    def tenant(self, number: int) -> Path:
        rows = [f"{user},{ITEMS[(at + number) % 12]},{at}\n" for user in self.users(number) for at in range(5)]
        path = self.folder / f"tenant-{number}.csv"
        path.write_text("user_id,item_id,timestamp\n" + "".join(rows))
        fedrec("tenant", "init", self.folder / f"tenant-{number}", "--data", path, "--epsilon", "8")
        return self.folder / f"tenant-{number}"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    """Up, after a run."""
    market = Named(tmp_path_factory.mktemp("watched"))
    with started(market):
        market.begin("watched", RUN.format(epsilon=4.0), timeout_s=120).follow(lambda event: None, PATIENCE_S)
        yield market


def logs(market: Market) -> list[Path]:
    found = [path for folder in (market.platform.folder, *market.tenants) for path in (folder / "logs").iterdir()]
    return [*found, *market.folder.glob("*.log")]


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def test_each_line_is_an_object_and_all_parts_are_heard(market):
    for folder, wanted in (
        (market.platform.folder, {"started", "gate", "run-start", "round-start", "secure-sum", "round-end"}),
        *((tenant, {"started", "warm", "answered"}) for tenant in market.tenants),
    ):
        found = lines(folder)
        assert {"time", "level", "logger", "event"} <= set.intersection(*(set(line) for line in found))
        assert wanted <= {line["event"] for line in found}
    ended = [line for line in lines(market.platform.folder) if line["event"] == "round-end"]
    assert [(line["round"], line["clients"]) for line in ended] == [(1, 3)]
    assert {line["round"] for line in lines(market.tenants[0]) if line["event"] == "answered"} == {1}
    console = (market.folder / "market.log").read_text().splitlines()
    assert json.loads(console[-1])["event"] == "started", "stderr of `up` is no terminal here"


def test_no_log_names_a_user_or_an_item(market):
    """What is searched for stands in the rows, so the search would find it."""
    texts = {path: path.read_bytes() for path in logs(market)}
    assert len(texts) >= 1 + 2 + 3 * 4
    assert ITEMS[0].encode() in (market.folder / "tenant-0.csv").read_bytes()
    names = [*ITEMS, *(user for number in range(3) for user in market.users(number))]
    assert [(path.name, name) for path, text in texts.items() for name in names if name.encode() in text] == []


def test_a_platform_that_is_up_is_shown_and_counted(market):
    page = market.folder / "status.html"
    told = " ".join(fedrec("platform", "status", market.platform.folder, "--html", page).split())
    assert "Run watched is finished" in told
    assert "market is up" in page.read_text()
    found = read(exposition(lambda: look(market.platform)))
    assert found["fedrec_platform_tenants_online", ()] == 3
    assert found["fedrec_platform_rounds_total", ("done",)] == 1
    assert found["fedrec_platform_payload_bytes_total", ("up",)] > 0


def test_a_tenant_counts_for_itself(market):
    found = read(exposition(Looking.at(Tenant(market.tenants[0]))))
    assert found["fedrec_tenant_up", ()] == 1
    assert 3.5 < found["fedrec_tenant_epsilon_spent", ()] <= 4.0
    assert found["fedrec_tenant_answers_total", ()] >= 3
    assert found["fedrec_tenant_last_round", ()] == 1


def test_a_run_that_nobody_can_pay_for_says_why_it_failed(market):
    """4 and 7.9 are more than the 8 of each tenant. It comes last: the others are about a platform where all is well."""
    path = market.folder / "dear.toml"
    path.write_text(run_file("dear", RUN.format(epsilon=7.9)))
    assert "ended as failed" in refused("platform", "run", market.platform.folder, path)
    told = " ".join(fedrec("platform", "status", market.platform.folder).split())
    assert "Run dear ended as failed" in told
    assert "It said: " in told
    for number, tenant in enumerate(market.tenants):
        assert f"tenant-{number} declined 1 time (budget-spent)" in told
        found = read(exposition(Looking.at(Tenant(tenant))))
        assert found["fedrec_tenant_refusals_total", ("budget-spent",)] == 1
    found = read(exposition(lambda: look(market.platform)))
    assert found["fedrec_platform_refusals_total", ("budget-spent", "tenant-0")] == 1
    assert found["fedrec_platform_run_state", ("failed",)] == 1
    failed = [line for line in lines(market.platform.folder) if line["event"] == "failed"]
    assert [line["error"].split()[0] for line in failed] == ["RoundFailed"]
    test_no_log_names_a_user_or_an_item(market)
