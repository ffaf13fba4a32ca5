"""The platform's own processes die in the middle of a run, one after another: the SuperLink, then the ServerApp.

Three tenants train together under masks. Each test takes the run as the one before left it; the last compares what it
came to with one process that nobody disturbed, bit for bit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedrec.deploy.platform.runs import Run, existing_run
from fedrec.errors import ConfigError, RoundFailed
from fedrec.server.events import Event, attempts
from tests.deploy import faults
from tests.deploy.faults import soon
from tests.deploy.market import HISTORIES, fedrec
from tests.deploy.real import PATIENCE_S, Market, running, wait_until

pytestmark = pytest.mark.slow
ROUNDS = 2
RUN = f"""
[training]
rounds = {ROUNDS}
[training.local]
steps = 1
batch_size = 2
[[models]]
name = "mf"
dim = 4
"""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with running(tmp_path_factory.mktemp("platform")) as market:
        market.begin("broken", RUN, timeout_s=60)
        yield market


@pytest.fixture
def run(market: Market) -> Run:
    return existing_run(market.platform, "broken")


def in_training(run: Run, phase: str) -> None:
    """Wait for the second round of a training: there is something to lose, and something to go on from."""

    def is_second(event: Event) -> bool:
        return event["event"] == "round-start" and event["phase"] == phase and event.get("step") == ROUNDS

    soon(lambda: any(map(is_second, run.events())), f"round {ROUNDS} of the training to {phase}")


def server_app(market: Market) -> int:
    """The process of the run at work."""
    parents = {int(path.parent.name): path for path in Path("/proc").glob("[0-9]*/stat")}
    superlink = faults.pid(market.platform.folder, "superlink")
    (found,) = [one for one in parents if is_server_app(one) and superlink in ancestors(one)]
    return found


def is_server_app(process: int) -> bool:
    try:
        return b"flwr-serverapp" in Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def ancestors(process: int) -> set[int]:
    """Who started this process, and who started that, and so on."""
    found = set()
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        found.add(process)
    return found


def results(folder: Path) -> dict[str, bytes]:
    """What a run came to: its figures and its models."""
    models = {str(path.relative_to(folder)): path for path in (folder / "models").rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in {**models, "server.json": folder / "server.json"}.items()}


def interrupted(run: Run) -> None:
    """Follow the run to where it stops, as an operator would."""
    with pytest.raises(RoundFailed, match="takes it up again"):
        run.follow(lambda event: None, PATIENCE_S)
    assert not run.is_finished


def test_a_superlink_that_is_killed_comes_back_and_its_run_can_be_resumed(market: Market, run: Run) -> None:
    """The supervisor starts it again. The nodes find it without anybody's help. The run ends, and no other is begun."""
    in_training(run, "choose")
    killed, log = faults.pid(market.platform.folder, "superlink"), market.platform.folder / "logs" / "superlink.log"
    before, app = log.stat().st_size, server_app(market)
    os.kill(killed, signal.SIGKILL)
    interrupted(run)
    assert faults.pid(market.platform.folder, "superlink") != killed
    assert b"Uvicorn running" in log.read_bytes()[before:]
    assert not is_server_app(app), "the run went on without its SuperLink"
    assert len(attempts(run.events())) == 1
    wait_until(lambda: [*market.platform.flower.nodes().values()] == ["online"] * 3, "the nodes")


def test_a_server_app_that_is_killed_ends_the_run_and_it_can_be_resumed(market: Market, run: Run) -> None:
    fedrec("platform", "run", market.platform.folder, "--resume", "broken", "--detach")
    in_training(run, "final")
    with pytest.raises(ConfigError, match="still running"):
        run.submit()
    os.kill(server_app(market), signal.SIGKILL)
    interrupted(run)
    assert len(attempts(run.events())) == 2


def test_the_result_is_that_of_one_process_that_nobody_disturbed(market: Market, run: Run, tmp_path: Path) -> None:
    fedrec("platform", "run", market.platform.folder, "--resume", "broken", "--detach")
    run.follow(lambda event: None, PATIENCE_S)
    assert {tuple(members) for members in faults.summed(run).values()} == {(1, 2, 3)}
    expected = faults.twin(run, HISTORIES, tmp_path)
    assert results(run.folder) == results(expected)
    resumed = [event["step"] for event in run.events() if event["event"] == "resumed"]
    assert resumed == [ROUNDS - 1, ROUNDS - 1], "the rounds before the interruption were made again"
