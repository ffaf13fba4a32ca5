"""A platform and its tenants as real processes on loopback, as `fedrec platform up` and `fedrec tenant up` start them.

Everything is behind TLS, with authenticated nodes. Each program is started here, and ended here by its own number. The
waits are long, since a busy machine takes its time to start a dozen Python processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from fedrec.deploy.flower import executable
from fedrec.deploy.platform.folder import Platform
from fedrec.deploy.platform.runs import Run, existing_run
from fedrec.deploy.supervisor import PLAN, RUN, Program, is_up, stop
from fedrec.deploy.tenant.folder import Tenant
from fedrec.deploy.tenant.node import free_port, programs
from fedrec.files import write_text
from tests.deploy.market import fedrec, new_tenant, run_file, write_catalogue

PATIENCE_S = 600.0


def wait_until(condition: Callable[[], object], what: str, pause_s: float = 0.5) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(pause_s)


class Market:
    """A platform with its tenants, and the processes that were started for them."""

    def __init__(self, folder: Path, tenants: int = 3, *options: str) -> None:
        """options: of `fedrec tenant init`, instead of `--no-noise`."""
        self.folder, self.started, self.seen = folder, [], [b""]
        self.port = free_port()
        address = f"localhost:{self.port}"
        fedrec("platform", "init", folder / "market", "--catalogue", write_catalogue(folder), "--address", address)
        self.platform = Platform(folder / "market")
        self.tenants = [new_tenant(folder, number, *options) for number in range(tenants)]

    def up(self, side: str, folder: Path) -> None:
        """`fedrec platform up` or `fedrec tenant up`, in the background."""
        with (self.folder / f"{folder.name}.log").open("ab") as log:
            command = (executable("fedrec"), side, "up", str(folder))
            self.started.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        wait_until(lambda: is_up(folder), f"{folder.name} to be up")

    def up_changed(self, tenant: Path, change: Callable[[Program], Program]) -> None:
        """As `fedrec tenant up`, with other programs."""
        changed = [asdict(change(program)) for program in programs(Tenant(tenant))]
        write_text(tenant / RUN / PLAN, json.dumps(changed))
        with (self.folder / f"{tenant.name}.log").open("ab") as log:
            command = (sys.executable, "-m", "fedrec.deploy.supervisor", str(tenant / RUN / PLAN))
            self.started.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        wait_until(lambda: is_up(tenant), f"{tenant.name} to be up")

    def join(self) -> None:
        """Let all tenants in, and have them join."""
        for tenant in self.tenants:
            fedrec("platform", "add-tenant", self.platform.folder, tenant / "request.toml")
        told = fedrec("platform", "invite", self.platform.folder, self.folder / "invitation.zip")
        fingerprint = told.split("fingerprint ")[1].split()[0]
        for tenant in self.tenants:
            fedrec("tenant", "join", tenant, self.folder / "invitation.zip", "--fingerprint", fingerprint)

    def begin(self, name: str, rest: str, *options: object, **asked: object) -> Run:
        """A run as `run_file` has it, submitted and on its way. options: of `fedrec platform run`."""
        path = self.folder / f"{name}.toml"
        path.write_text(run_file(name, rest, **asked))
        fedrec("platform", "run", self.platform.folder, path, *options, "--detach")
        return existing_run(self.platform, name)

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


@contextmanager
def running(folder: Path, tenants: int = 3, *options: str) -> Iterator[Market]:
    """A market whose platform and tenants are all up, and are ended at the end."""
    with started(Market(folder, tenants, *options)) as market:
        yield market


@contextmanager
def started(market: Market, change: Callable[[Program], Program] | None = None) -> Iterator[Market]:
    """The same for a market whose tenants have their rows. change: of the programs that tenants run."""
    try:
        market.up("platform", market.platform.folder)
        wait_until(lambda: reachable(market.platform), "the SuperLink")
        market.join()
        for tenant in market.tenants:
            if change is None:
                market.up("tenant", tenant)
            else:
                market.up_changed(tenant, change)
        yield market
    finally:
        market.end()


def reachable(platform: Platform) -> bool:
    return "Uvicorn running" in (platform.folder / "logs" / "superlink.log").read_text()
