"""A real federation on this machine: how long it takes to set up, what an idle tenant costs, what a round costs.

A platform and three tenants, each of real processes, on loopback, with TLS and authenticated nodes, by the documented
commands. Bare Flower is its own SuperNodes with an app that does nothing, on the same SuperLink and with the same keys.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.csv as csv

from benchmarks.bare_flower import exchange_seconds
from benchmarks.benchmark import Benchmark, Settings
from benchmarks.federation import scratch
from benchmarks.figures import Row, at_most
from fedrec.data import Dataset, Marketplace, marketplace
from fedrec.data.tenants import by_user_attribute
from fedrec.deploy.flower import Flower, executable
from fedrec.deploy.supervisor import inherited, is_up, stop
from fedrec.deploy.tenant.node import free_port
from fedrec.errors import FedrecError
from fedrec.server.events import read_events

TENANTS = 3
SETUP, MEMORY, OVERHEAD = at_most(300), at_most(300), at_most(1.3)
PATIENCE_S, KIBIBYTE = 600.0, 1024
EXCHANGES = 3  # of a round under masks: words, consents, shares
CONFIG = """
name = "first"
[federation]
min_tenants = 3
arms = ["federated"]
[[models]]
name = "popularity"
[[models]]
name = "ease"
"""


def rows(settings: Settings) -> Iterator[Row]:
    """Set-up, memory, rounds."""
    users, items = (60, 40) if settings.quick else (3_000, 1_000)
    market = marketplace(Marketplace(num_tenants=TENANTS, num_users=users, num_items=items), settings.seeds[0])
    size = f"{TENANTS} tenants, {users:,} users, {items:,} items"
    with scratch() as folder, ExitStack() as running:
        started = time.monotonic()
        federation = Federation(folder, running)
        federation.set_up(market)
        federation.run()
        yield Row(f"from nothing to the first federated model: {size}", time.monotonic() - started, "s", SETUP)
        ours = federation.exchange_seconds()
        federation.down_tenants(but=1)
        proportional, resident = federation.idle_megabytes()
        note = f"supervisor and warm process, pages shared with Flower's in part; {resident:.0f} with all"
        yield Row("memory of an idle tenant beyond Flower's own", proportional, "MB", MEMORY, note=note)
        yield Row("one exchange of a round under masks, no training", ours, "s", note=f"of {EXCHANGES} a round")
        federation.down_tenants()
        bare = exchange_seconds(federation.flower, federation.tenants, folder, 2 if settings.quick else 6)
        yield Row("one exchange of bare Flower", bare, "s", note="an app that returns what it is sent")
        yield Row("an exchange against one of bare Flower", ours / bare, "x", OVERHEAD)


BENCHMARK = Benchmark(
    "deployment", "a platform and three tenants over TLS: set-up, idle memory, rounds against bare Flower", 5, rows
)


class Federation:
    """A platform with its tenants, in folders below one, started by the documented commands."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder, self._running = folder, running
        self._port = free_port()
        self.platform = folder / "market"
        self.tenants: list[Path] = []

    @property
    def flower(self) -> Flower:
        """Flower's commands with the platform's connection."""
        return Flower(self.platform / "flwr")

    def set_up(self, market: Dataset) -> None:
        """From files of rows to a platform and tenants that are up."""
        items = self._written("items", market.without_unused_items().catalogue.item_ids)
        address = f"localhost:{self._port}"
        _fedrec("platform", "init", str(self.platform), "--catalogue", str(items), "--address", address)
        self.up("platform", self.platform)
        for name, rows_ in by_user_attribute(market, "tenant").items():
            self.tenants.append(self._folder / name)
            _fedrec("tenant", "init", str(self.tenants[-1]), "--data", str(self._events(name, rows_)), "--no-noise")
        _wait(lambda: _is_reached(self._port), "the SuperLink")
        for tenant in self.tenants:
            _fedrec("platform", "add-tenant", str(self.platform), str(tenant / "request.toml"))
        told = _fedrec("platform", "invite", str(self.platform), str(self._folder / "invitation.zip"))
        fingerprint = told.split("fingerprint ")[1].split()[0]
        for tenant in self.tenants:
            _fedrec("tenant", "join", str(tenant), str(self._folder / "invitation.zip"), "--fingerprint", fingerprint)
            self.up("tenant", tenant)

    def run(self) -> None:
        """The first run, to its end."""
        (self._folder / "run.toml").write_text(CONFIG)
        _fedrec("platform", "run", str(self.platform), str(self._folder / "run.toml"), "--patience", str(PATIENCE_S))

    def exchange_seconds(self) -> float:
        """Of an exchange in the rounds after the first, which has two more of them, in the run."""
        events = read_events(self.platform / "runs" / "first" / "events.jsonl")
        later = [e["seconds"] for e in events if e["event"] == "round-end" and e["round"] > 1]
        return float(median(later)) / EXCHANGES

    def idle_megabytes(self) -> tuple[float, float]:
        """Of the first tenant's own processes: proportional and resident set sizes."""
        run = self.tenants[0] / "run"
        found = [megabytes(int((run / name).read_text())) for name in ("up.lock", "warm.pid")]
        return sum(one[0] for one in found), sum(one[1] for one in found)

    def down_tenants(self, but: int = 0) -> None:
        """Stop the tenants from number `but` on; the platform stays."""
        for tenant in self.tenants[but:]:
            _stop(tenant)

    def up(self, side: str, folder: Path) -> None:
        """Start a platform or a tenant, which is ended with the federation."""
        process = self._running.enter_context(_started((executable("fedrec"), side, "up", str(folder))))
        self._running.callback(_stop, folder)
        _wait(lambda: is_up(folder) or process.poll() is not None, str(folder))

    def _events(self, name: str, dataset: Dataset) -> Path:
        events = dataset.interactions
        table = {
            "user_id": [events.user_ids[user] for user in events.users],
            "item_id": [events.item_ids[item] for item in events.items],
            "timestamp": events.times,
        }
        csv.write_csv(pa.table(table), self._folder / f"{name}.csv")
        return self._folder / f"{name}.csv"

    def _written(self, name: str, ids: Sequence[str]) -> Path:
        csv.write_csv(pa.table({"item_id": list(ids)}), self._folder / f"{name}.csv")
        return self._folder / f"{name}.csv"


def _fedrec(*arguments: str) -> str:
    done = subprocess.run(
        (executable("fedrec"), *arguments),
        env=inherited(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise FedrecError(f"fedrec {' '.join(arguments[:2])} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


@contextmanager
def _started(arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(arguments, env=inherited(), stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _stop(folder: Path) -> None:
    if is_up(folder):
        stop(folder, 60)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise FedrecError(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.2)


def _is_reached(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def megabytes(process: int) -> tuple[float, float]:
    """Proportional and resident set size."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    kibibytes = {line.split()[0]: float(line.split()[1]) for line in lines[1:]}
    return kibibytes["Pss:"] * KIBIBYTE / 1e6, kibibytes["Rss:"] * KIBIBYTE / 1e6
