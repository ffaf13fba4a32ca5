"""A federation of real processes in which one tenant after the other is killed: is every round right, or discarded?

All tenants train together under masks, on loopback with TLS, while a generator with a seed picks tenants to kill with
everything they started. The server's events name who was in each sum. The run is then made again in one process,
without masks, with exactly those: a sum that held more, less or something else would give another loss in that round
and another model at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.benchmark import Benchmark, Settings
from benchmarks.deployment import Federation
from benchmarks.federation import scratch
from benchmarks.figures import Row, at_least
from benchmarks.killing import Killer, Memory
from benchmarks.replay import Told, replay, told
from fedrec.client.store import TenantStore
from fedrec.config import load
from fedrec.data import Marketplace, marketplace
from fedrec.data.catalogue_file import read_catalogue_file
from fedrec.deploy.platform.folder import CATALOGUE, Platform
from fedrec.deploy.platform.runs import CONFIG as COPY
from fedrec.deploy.platform.runs import Run, new_run, wait_for_nodes
from fedrec.deploy.tenant.folder import Tenant
from fedrec.errors import FedrecError, RoundFailed
from fedrec.rng import derive
from fedrec.server.events import Event

PATIENCE_S, MOST_RESUMES = 7200.0, 20
CONFIG = """
name = "kills"
seed = {seed}
[evaluation]
bootstrap = 0
[federation]
min_tenants = {least}
arms = ["federated"]
timeout_s = {timeout}
[training]
rounds = {rounds}
[training.local]
steps = 1
batch_size = 32
[[models]]
name = "mf"
dim = 8
"""


@dataclass(frozen=True)
class Size:
    """tenants: so many are there, `least` of them in each sum. rounds: of training, before the choice and after it.
    timeout_s: how long the server waits for an answer; a tenant that is killed with a question never gives it. pause_s:
    between a start and the next kill; under masks a sum is opened without a third of the tenants, not without more.
    """

    tenants: int
    least: int
    rounds: int
    timeout_s: int
    pause_s: tuple[float, float]


FULL = Size(20, 8, 8, 60, (25.0, 40.0))
QUICK = Size(6, 3, 1, 35, (60.0, 90.0))


@dataclass(frozen=True)
class Account:
    """What became of the rounds. wrong: whose members or loss are other ones when they are made again. agrees: whether
    the whole result is that of the run made again; the sums of closed forms show in nothing else."""

    rounds: int
    completed: int
    wrong: int
    agrees: bool

    @property
    def sound(self) -> float:
        """Percentage of rounds that were right, or discarded, or made again after an interruption; none if the result
        is another one, whichever round is to blame."""
        return 100.0 * (self.rounds - self.wrong) / self.rounds if self.agrees else 0.0


def rows(settings: Settings) -> Iterator[Row]:
    """Rounds, kills, memory."""
    size, seed = QUICK if settings.quick else FULL, settings.seeds[0]
    market = marketplace(Marketplace(num_tenants=size.tenants, num_users=30 * size.tenants, num_items=60), seed)
    with scratch() as folder, ExitStack() as running:
        federation = Federation(folder, running)
        federation.set_up(market)
        platform = Platform(federation.platform)
        killer = Killer(federation.tenants, partial(federation.up, "tenant"), derive(seed, "kills"), size.pause_s)
        memory = Memory((federation.platform, *federation.tenants))
        started = time.monotonic()
        with memory.watched(), killer.at_work():
            begun, resumed = _to_its_end(platform, _new_run(platform, folder, size, seed))
        seconds = time.monotonic() - started
        federation.down_tenants()
        account = account_of(begun.events(), _again(platform, begun, federation.tenants, folder / "again"))
        yield from _of_rounds(account, size, seed)
        yield from _of_faults(begun.events(), killer, resumed, seed)
        yield Row("duration of the run", seconds, "s", seeds=(seed,))
        note = "the most at any time; shared pages count once"
        yield Row("memory of all processes together", memory.peak_mb, "MB", seeds=(seed,), note=note)


def _of_rounds(account: Account, size: Size, seed: int) -> Iterator[Row]:
    note = f"{size.tenants} tenants, each sum over at least {size.least}"
    yield Row("rounds that were right or discarded", account.sound, "%", at_least(100), (seed,), note)
    yield Row("the result is that of one process, bit for bit", float(account.agrees), "", at_least(1), (seed,))
    yield Row("rounds begun", account.rounds, "", seeds=(seed,))
    yield Row("rounds completed", account.completed, "", seeds=(seed,))


def _of_faults(events: Sequence[Event], killer: Killer, resumed: int, seed: int) -> Iterator[Row]:
    dropped = sum(len(event["dropped"]) for event in events if event["event"] == "secure-sum")
    yield Row("tenants killed", killer.kills, "", at_least(1), (seed,))
    yield Row("tenants that sums were opened without", dropped, "", seeds=(seed,))
    yield Row("interruptions after which the run was resumed", resumed, "", seeds=(seed,))


BENCHMARK = Benchmark(
    "random-kills", "20 tenants killed at random while they train together: is every round right", 75, rows
)


def account_of(events: Sequence[Event], again: dict[int, Told] | None) -> Account:
    """Compare what the events say with the run made again; None if that one ended otherwise."""
    first = told(events)
    kinds = [event["event"] for event in events]
    wrong = [number for number, one in first.items() if again is None or again.get(number) != one]
    return Account(kinds.count("round-start"), kinds.count("round-end"), len(wrong), again is not None)


def _new_run(platform: Platform, folder: Path, size: Size, seed: int) -> Run:
    (folder / "kills.toml").write_text(
        CONFIG.format(seed=seed, least=size.least, rounds=size.rounds, timeout=size.timeout_s)
    )
    wait_for_nodes(platform.flower, size.tenants, PATIENCE_S)
    return new_run(platform, folder / "kills.toml")


def _to_its_end(platform: Platform, begun: Run) -> tuple[Run, int]:
    """Follow a run, and resume it as often as it is interrupted; how often it was."""
    least = load(begun.folder / COPY).federation.min_tenants
    for resumed in range(MOST_RESUMES):
        wait_for_nodes(platform.flower, least, PATIENCE_S)
        begun.submit()
        try:
            begun.follow(lambda event: None, PATIENCE_S)
        except RoundFailed:
            continue
        return begun, resumed
    raise FedrecError(f"The run was interrupted {MOST_RESUMES} times; kill less often.")


def _again(platform: Platform, begun: Run, tenants: Sequence[Path], folder: Path) -> dict[int, Told] | None:
    """The rounds of the run made again in this process; None if its result is another one."""
    roster = platform.roster()
    numbers = {member.name: member.node for member in roster.members} if roster else {}
    stores: dict[int, TenantStore] = {numbers[path.name]: Tenant(path).store for path in tenants}
    catalogue = read_catalogue_file(platform.folder / CATALOGUE)
    rounds = replay(load(begun.folder / COPY), catalogue, stores, told(begun.events()), folder)
    return rounds if _results(begun.folder) == _results(folder / "server") else None


def _results(folder: Path) -> dict[str, bytes]:
    """Every file of a finished run's models, and its results."""
    models = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("models/**/*") if path.is_file()}
    return {**models, "server.json": (folder / "server.json").read_bytes()}
