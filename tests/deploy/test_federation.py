"""Real processes over real sockets: a platform and three tenants, from nothing to a model, by the documented commands.

Everything listens on loopback, behind TLS, with authenticated nodes. Each program is started here, and ended here by
its own number. The waits are long, since a busy machine takes its time to start a dozen Python processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedrec.client.store import create_store
from fedrec.config import load
from fedrec.deploy.certificates import create_ca, create_node_key
from fedrec.deploy.flower import executable, settings
from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.runs import Run, existing_run
from fedrec.deploy.supervisor import inherited, is_up, stop
from fedrec.deploy.tenant.node import free_port
from fedrec.errors import RoundFailed
from fedrec.server.run import run as run_in_process
from tests.deploy.market import HISTORIES, fedrec, new_tenant, write_catalogue
from tests.federation import exchange_of, grid_of, rows_of

pytestmark = pytest.mark.slow
PATIENCE_S = 600.0
CONFIG = """
name = "first"
[evaluation]
ks = [2]
headline = "NDCG@2"
bootstrap = 8
[federation]
min_tenants = 3
arms = ["federated"]
timeout_s = 90
[[models]]
name = "popularity"
"""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.5)


class Market:
    """A platform with its tenants, and the processes that were started for them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started, self.seen = folder, [], [b""]
        self.port = free_port()
        address = f"localhost:{self.port}"
        fedrec("platform", "init", folder / "market", "--catalogue", write_catalogue(folder), "--address", address)
        self.platform = Platform(folder / "market")
        self.tenants = [new_tenant(folder, number) for number in range(3)]

    def up(self, side: str, folder: Path) -> None:
        """`fedrec platform up` or `fedrec tenant up`, in the background."""
        with (self.folder / f"{folder.name}.log").open("ab") as log:
            command = (executable("fedrec"), side, "up", str(folder))
            self.started.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        wait_until(lambda: is_up(folder), f"{folder.name} to be up")

    def join(self) -> None:
        """Let all tenants in, and have them join."""
        for tenant in self.tenants:
            fedrec("platform", "add-tenant", self.platform.folder, tenant / "request.toml")
        told = fedrec("platform", "invite", self.platform.folder, self.folder / "invitation.zip")
        fingerprint = told.split("fingerprint ")[1].split()[0]
        for tenant in self.tenants:
            fedrec("tenant", "join", tenant, self.folder / "invitation.zip", "--fingerprint", fingerprint)

    def watch(self, event: object) -> None:
        """Keep what the SuperLink has on its disk at the moment of an event: messages on their way, in clear."""
        held = (path for path in self.platform.folder.rglob("*") if path.is_file() and path.suffix != ".part")
        self.seen.append(b"".join(path.read_bytes() for path in held))

    def end(self) -> None:
        """End what was started here."""
        for folder in (*self.tenants, self.platform.folder):
            if is_up(folder):
                stop(folder, 60)
        for process in self.started:
            process.wait(60)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    market = Market(tmp_path_factory.mktemp("real"))
    try:
        market.up("platform", market.platform.folder)
        wait_until(lambda: reachable(market.platform), "the SuperLink")
        market.join()
        for tenant in market.tenants:
            market.up("tenant", tenant)
        yield market
    finally:
        market.end()


def reachable(platform: Platform) -> bool:
    return "Uvicorn running" in (platform.folder / "logs" / "superlink.log").read_text()


def kill(tenant: Path) -> None:
    """As if the tenant's machine had lost its power: everything at once, nothing cleaned up."""
    numbers = {path: int(path.read_text()) for path in (tenant / "run").glob("*.pid")}
    os.kill(int((tenant / "run" / "up.lock").read_text()), signal.SIGKILL)
    for path, number in numbers.items():
        os.killpg(number, signal.SIGKILL)
        path.unlink()


def test_a_tenant_that_dies_in_a_round_costs_the_round_and_not_the_result(market: Market, tmp_path: Path) -> None:
    """Three tenants under masks: without one of them there is no sum. The round is discarded, the tenant comes back,
    the run goes on, and its result is that of one process without masks, bit for bit."""
    (market.folder / "run.toml").write_text(CONFIG)
    fedrec("platform", "run", market.platform.folder, market.folder / "run.toml", "--detach")
    begun = existing_run(market.platform, "first")
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


def in_one_process(begun: Run, folder: Path) -> object:
    """What the same run gives without processes, sockets and masks."""
    config = load(begun.folder / "config.toml")
    plain = config.model_copy(update={"federation": config.federation.model_copy(update={"secure_aggregation": False})})
    stores = [create_store(folder / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(HISTORIES)]
    run_in_process(exchange_of(grid_of(stores), plain, folder), stores[0].dataset().catalogue, folder / "server")
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
