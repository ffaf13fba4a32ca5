"""The same two apps on a real SuperLink with SuperNodes, started by `flwr run`: the same result as in one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.replay import in_clear
from fedrec.client.party import pin_roster
from fedrec.client.store import TenantStore, create_store
from fedrec.config import to_toml
from fedrec.data.catalogue_file import write_catalogue_file
from fedrec.privacy.secagg.policy import Policy
from fedrec.server.run import run
from fedrec.simulations.tenancy import create_roster
from tests.federation import config_of, exchange_of, grid_of, rows_of

APP = Path(__file__).resolve().parents[2] / "examples" / "flower_app"
ROWS = [{"ann": "abcd", "bob": "bcde"}, {"cat": "abce", "dan": "cdef"}, {"eve": "fedc", "fay": "acef"}]
MODELS = [{"name": "popularity"}]
PATIENCE_S = 900


def command(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """What this test started, and ends: nothing else."""

    def __init__(self, home: Path) -> None:
        self.environment = os.environ | {
            "FLWR_HOME": str(home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        self.home, self.started = home, []

    def start(self, log: str, *arguments: str) -> None:
        with (self.home / log).open("w") as stream:
            self.started.append(
                subprocess.Popen(arguments, env=self.environment, stdout=stream, stderr=subprocess.STDOUT)
            )

    def end(self) -> None:
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    home = tmp_path / "flwr"
    home.mkdir()
    started = Processes(home)
    yield started
    started.end()


def tenants(folder: Path) -> list[TenantStore]:
    """Without masks."""
    return [create_store(folder / "tenants" / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(ROWS)]


def masked_tenants(folder: Path) -> list[TenantStore]:
    stores = tenants(folder)
    roster = create_roster(stores, folder / "roster.txt")
    for store in stores:
        pin_roster(store.folder, roster, Policy(min_cohort=3, min_degree=2))
    return stores


@pytest.mark.slow
def test_flwr_run_gives_the_result_of_the_in_process_engine(tmp_path: Path, processes: Processes) -> None:
    federation = {"secure_aggregation": True, "min_tenants": 3, "arms": ["federated"]}
    config = config_of(federation=federation, models=MODELS)
    stores = masked_tenants(tmp_path / "real")
    catalogue = stores[0].dataset().catalogue
    write_catalogue_file(catalogue, tmp_path / "catalogue.parquet")
    (tmp_path / "config.toml").write_text(to_toml(config))
    port = free_port()
    (processes.home / "config.toml").write_text(
        f'[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    link = ("--insecure", "--disable-runtime-dependency-installation", "--host", "127.0.0.1", "--port", str(port))
    processes.start("superlink.log", command("flower-superlink"), *link)
    wait_for_port(port)
    for number, store in enumerate(stores):
        own = ("--host", "127.0.0.1", "--port", str(free_port()), "--node-config", f'store="{store.folder}"')
        joined = (command("flower-supernode"), "--insecure", "--superlink", f"127.0.0.1:{port}", *own)
        processes.start(f"node-{number}.log", *joined)
    time.sleep(10)
    paths = {"config": "config.toml", "catalogue": "catalogue.parquet", "roster": "real/roster.txt", "out": "server"}
    settings = " ".join(f'{key}="{tmp_path / path}"' for key, path in paths.items())
    started = [command("flwr"), "run", str(APP), "local", "--run-config", settings]
    subprocess.run(started, env=processes.environment, check=True, capture_output=True, timeout=180)
    wait_for(tmp_path / "server" / "server.json", processes.home)

    here = exchange_of(grid_of(tenants(tmp_path / "here")), in_clear(config), tmp_path / "here")
    run(here, catalogue, tmp_path / "here" / "server")
    read = [json.loads((folder / "server" / "server.json").read_text()) for folder in (tmp_path, tmp_path / "here")]
    assert read[0] == read[1]


def wait_for_port(port: int) -> None:
    for _ in range(120):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    pytest.fail(f"nothing listens on port {port} after a minute")


def wait_for(path: Path, logs: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if path.exists():
            return
        time.sleep(1)
    tails = {log.name: log.read_text(errors="replace")[-1500:] for log in logs.glob("*.log")}
    pytest.fail(f"no {path.name} after {PATIENCE_S} s: {tails}")
