"""The run that is made again to check the one with kills: it has the same sums, and tells when they were others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from flwr.app import Message

from benchmarks.killing import kill, processes_of
from benchmarks.random_kills import Account, account_of
from benchmarks.replay import Told, replay, told
from fedrec.client.store import create_store
from fedrec.deploy.supervisor import PLAN, RUN, Program, is_up
from fedrec.privacy.secagg.wire import Kind
from fedrec.server.events import EVENTS, EventLog, read_events
from fedrec.server.exchange import Exchange
from fedrec.server.run import run
from fedrec.strategies.secure_grid import SecureGrid
from tests.federation import config_of, grid_of, rows_of
from tests.strategies.test_secure_grid import ROWS, five_tenants, kind_of

DISCARDED, KEPT = Told(5), Told(5, (1, 2, 4, 5), 0.5)
CONFIG = config_of(federation={"secure_aggregation": True, "min_tenants": 3}, models=[{"name": "popularity"}])


def test_of_a_round_that_was_made_twice_the_later_one_counts() -> None:
    events = [
        {"event": "round-start", "round": 1, "nodes": 5},
        {"event": "secure-sum", "members": [1, 2, 3]},
        {"event": "round-end", "round": 1},
        {"event": "round-start", "round": 2, "nodes": 5},
        {"event": "run-start"},
        {"event": "round-start", "round": 1, "nodes": 4},
        {"event": "secure-sum", "members": [2, 3, 4]},
        {"event": "round-end", "round": 1, "loss": 0.5},
        {"event": "round-start", "round": 2, "nodes": 5},
        {"event": "secure-sum", "members": [2, 3]},
        {"event": "round-discarded", "round": 2},
    ]
    assert told(events) == {1: Told(4, (2, 3, 4), 0.5), 2: Told(5)}


def test_a_round_that_differs_is_wrong_and_one_that_was_discarded_is_not() -> None:
    events = [
        {"event": "round-start", "round": 1, "nodes": 5},
        {"event": "secure-sum", "members": [1, 2, 4, 5]},
        {"event": "round-end", "round": 1, "loss": 0.5},
        {"event": "round-start", "round": 2, "nodes": 5},
        {"event": "round-discarded", "round": 2},
    ]
    assert account_of(events, {1: KEPT, 2: DISCARDED}) == Account(rounds=2, completed=1, wrong=0, agrees=True)
    other = account_of(events, {1: replace(KEPT, loss=0.25), 2: DISCARDED})
    assert (other.wrong, other.sound) == (1, 50.0)
    assert account_of(events, None).sound == 0.0


def masked_run(folder: Path) -> tuple[Path, dict[int, Told]]:
    """A run under masks whose first sum is opened without tenant 3; its server's folder, and what its events say."""
    stores, roster = five_tenants(folder / "tenants")
    events = EventLog(folder / EVENTS)

    def lost(message: Message) -> bool:
        meta = message.metadata
        return (meta.group_id, meta.src_node_id) == ("1", 102) and kind_of(message) is Kind.UPLOAD

    grid = SecureGrid(grid_of(stores, lost), roster, listener=lambda event, fields: events.emit(event, **fields))
    run(Exchange(grid, CONFIG, events), stores[0].dataset().catalogue, folder / "server")
    return folder / "server", told(read_events(folder / EVENTS))


def made_again(rounds: dict[int, Told], folder: Path) -> dict[int, Told]:
    stores = {n + 1: create_store(folder / "own" / f"tenant-{n}", rows_of(rows)) for n, rows in enumerate(ROWS)}
    return replay(CONFIG, stores[1].dataset().catalogue, stores, rounds, folder)


def test_a_run_that_is_made_again_with_the_same_members_has_the_same_result(tmp_path: Path) -> None:
    server, rounds = masked_run(tmp_path / "first")
    assert rounds[1].members == (1, 2, 4, 5)
    assert made_again(rounds, tmp_path / "again") == rounds
    assert (server / "server.json").read_bytes() == (tmp_path / "again/server/server.json").read_bytes()


def test_a_run_that_is_made_again_with_other_members_has_another_result(tmp_path: Path) -> None:
    server, rounds = masked_run(tmp_path / "first")
    last = max(rounds)
    made_again({**rounds, last: replace(rounds[last], members=(1, 2, 3, 4))}, tmp_path / "again")
    assert (server / "server.json").read_bytes() != (tmp_path / "again/server/server.json").read_bytes()


@pytest.fixture
def sleeping(tmp_path: Path) -> Iterator[Path]:
    """The folder of a supervisor at work, with one program."""
    program = Program("sleeper", ("/bin/sleep", "60"), {}, str(tmp_path / "log"))
    (tmp_path / RUN).mkdir()
    (tmp_path / RUN / PLAN).write_text(json.dumps([asdict(program)]))
    process = subprocess.Popen((sys.executable, "-m", "fedrec.deploy.supervisor", str(tmp_path / RUN / PLAN)))
    while not (is_up(tmp_path) and (tmp_path / RUN / "sleeper.pid").exists()):
        time.sleep(0.02)
    yield tmp_path
    process.kill()
    process.wait()


def test_a_kill_leaves_nothing_of_a_tenant(sleeping: Path) -> None:
    there = processes_of([sleeping])
    assert len(there) == 2
    kill(sleeping)
    deadline = time.monotonic() + 10
    while any(is_alive(process) for process in there):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert processes_of([sleeping]) == []


def is_alive(process: int) -> bool:
    """Zombies are dead: their parent has not looked."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
