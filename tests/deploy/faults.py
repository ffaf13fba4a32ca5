"""What becomes of tenants in tests: found at a step of the protocol, frozen, killed, without room on their disk.

A moment is found by what a tenant's own files and processes show, and is sure once the tenant is frozen: SIGSTOP comes
first, then a look at what it had done by then.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from flwr.app import Context, RecordDict

from benchmarks.replay import replay, told
from fedrec.client.party import FOLDER as MASKS
from fedrec.client.party import open_party
from fedrec.client.store import create_store
from fedrec.config import load
from fedrec.deploy.platform.runs import Run
from fedrec.deploy.supervisor import RUN
from fedrec.privacy.secagg.client import ClientRunState
from fedrec.privacy.secagg.stages import Stage
from fedrec.server.events import Event
from tests.deploy.real import Market, wait_until
from tests.federation import rows_of
from tests.full_disk import room_for

TRAINING_CPU_S = 0.6
"""More than a tenant's process works on a message apart from its rows, and less than a tenant with many users works on
these."""


def soon(condition: Callable[[], object], what: str) -> None:
    """As `wait_until`, for moments that pass within tenths of a second."""
    wait_until(condition, what, pause_s=0.005)


def begins(run: Run, number: int) -> None:
    """Wait for a round's beginning."""
    soon(lambda: any(is_start(event, number) for event in run.events()), f"round {number}")


def is_start(event: Event, number: int) -> bool:
    return bool(event["event"] == "round-start" and event["round"] == number)


def summed(run: Run) -> dict[int, list[int]]:
    """Whose vectors the sum of each round holds, by numbers in the roster; nobody for a discarded round."""
    return {number: list(one.members) for number, one in told(run.events()).items()}


def newest_state(tenant: Path) -> Path | None:
    """The file of the rounds in flight of the tenant's last run."""
    files = sorted((tenant / MASKS).glob("run-*.state"), key=lambda path: path.stat().st_mtime)
    return files[-1] if files else None


def stages(tenant: Path) -> Mapping[int, Stage]:
    """Where the tenant is in each round in flight of its last run, as its own file says."""
    path = newest_state(tenant)
    if path is None:
        return {}
    run = bytes.fromhex(path.stem.removeprefix("run-"))
    party = open_party(Context(1, 1, {"store": str(tenant)}, RecordDict(), {}), run)
    assert party is not None
    return ClientRunState.from_bytes(path.read_bytes(), party).rounds


def is_at(tenant: Path, stage: type[Stage]) -> bool:
    """Whether a round of the tenant's waits at this stage."""
    return any(isinstance(one, stage) for one in stages(tenant).values())


def pid(tenant: Path, program: str) -> int:
    return int((tenant / RUN / f"{program}.pid").read_text())


def workers(tenant: Path) -> list[int]:
    """The processes that answer a message at the moment."""
    warm = pid(tenant, "warm")
    return [int(child) for child in Path(f"/proc/{warm}/task/{warm}/children").read_text().split()]


def cpu_s(process: int) -> float:
    """Seconds that a process has worked; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def trains(tenant: Path) -> bool:
    """Whether the tenant works on its rows at the moment."""
    return any(cpu_s(worker) > TRAINING_CPU_S for worker in workers(tenant))


def signalled(tenant: Path, program: str, number: signal.Signals) -> None:
    """Signal a program of the tenant and all that it started."""
    os.killpg(pid(tenant, program), number)


def sent(tenant: Path) -> int:
    """How many replies have reached the platform, as the SuperNode's log has it."""
    return (tenant / "logs" / "supernode.log").read_text().count("Sent successfully")


def up_again(market: Market, tenant: Path) -> None:
    """Start a tenant that was killed, and wait until the platform hears of it."""
    log = tenant / "logs" / "supernode.log"
    before = log.read_text().count("SuperNode ID")
    market.up("tenant", tenant)
    soon(lambda: log.read_text().count("SuperNode ID") > before, f"{tenant.name} to be back")


@contextmanager
def full_disk(tenant: Path, room: int) -> Iterator[None]:
    """What answers for the tenant can write only the first `room` bytes of a file."""
    with room_for(room, pid(tenant, "warm")):
        yield


def twin(run: Run, histories: Sequence[Mapping[str, str]], folder: Path) -> Path:
    """What one process without masks makes of the same run, with the same tenants in each round's sum."""
    rows = [create_store(folder / "rows" / f"tenant-{n}", rows_of(one)) for n, one in enumerate(histories)]
    stores = dict(enumerate(rows, start=1))
    config, catalogue = load(run.folder / "config.toml"), stores[1].dataset().catalogue
    replay(config, catalogue, stores, told(run.events()), folder)
    return folder / "server"
