"""Real processes over real sockets: a platform and three tenants, from nothing to a model, by the documented commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.killing import kill
from benchmarks.replay import in_clear
from fedrec.client.store import create_store
from fedrec.config import load
from fedrec.deploy.certificates import create_ca, create_node_key
from fedrec.deploy.flower import executable, settings
from fedrec.deploy.platform.runs import Run, existing_run
from fedrec.deploy.supervisor import inherited
from fedrec.deploy.tenant.node import free_port
from fedrec.errors import RoundFailed
from fedrec.server.run import run as run_in_process
from tests.deploy.market import HISTORIES, fedrec
from tests.deploy.real import PATIENCE_S, Market, running, wait_until
from tests.federation import exchange_of, grid_of, rows_of

pytestmark = pytest.mark.slow
POPULARITY = """
[[models]]
name = "popularity"
"""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with running(tmp_path_factory.mktemp("real")) as market:
        yield market


def test_a_tenant_that_dies_in_a_round_costs_the_round_and_not_the_result(market: Market, tmp_path: Path) -> None:
    """Three tenants under masks: without one of them there is no sum. The round is discarded, the tenant comes back,
    the run goes on, and its result is that of one process without masks, bit for bit."""
    begun = market.begin("first", POPULARITY)
    wait_until(lambda: any(event["event"] == "round-start" for event in begun.events()), "the first round")
    kill(market.tenants[2])
    with pytest.raises(RoundFailed, match="ended as"):
        begun.follow(lambda event: None, PATIENCE_S)
    assert not begun.is_finished
    market.up("tenant", market.tenants[2])
    fedrec("platform", "run", market.platform.folder, "--resume", "first", "--detach")
    begun.follow(market.watch, PATIENCE_S)
    assert json.loads((begun.folder / "server.json").read_text()) == in_one_process(begun, tmp_path)
    told = fedrec("platform", "status", market.platform.folder, "--json")
    found = json.loads(told[told.index("{") :])
    assert [one["status"] for one in found["tenants"]] == ["online"] * 3
    assert found["run_status"] == "finished"
    assert {one["cohort"] for one in found["rounds"] if one["clients"]} == {3}
    logs = [(tenant / "logs" / "supernode.log").read_text() for tenant in market.tenants]
    assert not [log for log in logs if "Start `flwr-clientapp`" in log], "a cold process answered"


def in_one_process(begun: Run, folder: Path, histories: Sequence[Mapping[str, str]] = HISTORIES) -> object:
    """What the same run gives without processes, sockets and masks."""
    config = load(begun.folder / "config.toml")
    stores = [create_store(folder / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(histories)]
    run_in_process(
        exchange_of(grid_of(stores), in_clear(config), folder), stores[0].dataset().catalogue, folder / "server"
    )
    return json.loads((folder / "server" / "server.json").read_text())


def test_nothing_that_the_platform_holds_names_a_user(market: Market) -> None:
    """The SuperLink keeps messages in a database, from where they are read here all through the run, with the logs,
    the events and the models. A name of 11 bytes is among 100 MB of random ones with a probability below 1e-17."""
    assert existing_run(market.platform, "first").is_finished, "needs the run of the test before"
    held = b"".join(market.seen)
    for control in (b"fedrec.secagg", b"fedrec.body", b"train.contribute", b"evaluate.score"):
        assert control in held, f"{control!r} is in every run, and was not seen: this test sees nothing"
    users = [user for rows in HISTORIES for user in rows]
    assert not [user for user in users if user.encode() in held]


def attempt(market: Market, ca: Path, key: Path) -> tuple[int | None, str]:
    """Exit code and output of a SuperNode that gives up at its first failure; None if it is let in."""
    flower = settings(market.folder / "attempt")
    arguments = ("--superlink", f"localhost:{market.port}", "--root-certificates", str(ca), "--max-retries", "0")
    own = ("--auth-supernode-private-key", str(key), "--host", "127.0.0.1", "--port", str(free_port()))
    with (market.folder / "attempt.log").open("w+b") as log:
        process = subprocess.Popen(
            (executable("flower-supernode"), *arguments, *own),
            env=inherited() | flower,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            return process.wait(120), (market.folder / "attempt.log").read_text()
        except subprocess.TimeoutExpired:
            return None, (market.folder / "attempt.log").read_text()
        finally:
            end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def test_a_node_that_was_not_let_in_is_refused(market: Market, tmp_path: Path) -> None:
    private, _ = create_node_key()
    (tmp_path / "node.key").write_bytes(private)
    before = market.platform.flower.nodes()
    code, told = attempt(market, market.platform.folder / "ca/ca.pem", tmp_path / "node.key")
    assert code not in (None, 0), told
    assert "SuperNode ID" not in told
    assert set(market.platform.flower.nodes()) == set(before)


def test_a_server_with_anothers_certificate_is_refused(market: Market, tmp_path: Path) -> None:
    """The tenant's side: it trusts the CA of its invitation and no other."""
    (tmp_path / "ca.pem").write_bytes(create_ca("market")[1])
    code, told = attempt(market, tmp_path / "ca.pem", market.tenants[0] / "node/node.key")
    assert code not in (None, 0), told
    assert "CERTIFICATE_VERIFY_FAILED" in told or "certificate verify failed" in told
    assert "SuperNode ID" not in told
