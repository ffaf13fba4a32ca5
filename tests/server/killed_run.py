"""A run that is killed with SIGKILL at random moments and resumed: `python -m tests.server.killed_run FOLDER`.

The run is a forked process, so that each start costs no imports. Prints the moments.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from fedrec.server.training import train_federated
from tests.server.training_federation import ITEMS, MODEL, TRAINING, exchange_of, grid_of, stores_in

KILLED = replace(TRAINING, rounds=12, optimizer="fedadam")
KILLS = 3


def train(folder: Path) -> None:
    exchange = exchange_of(grid_of(stores_in(folder / "tenants")), folder)
    model = replace(MODEL, residual="private")
    train_federated(exchange, model, ITEMS, KILLED, "final", folder / "server", resume=True)


def started(folder: Path) -> int:
    """The process that trains in `folder`."""
    child = os.fork()
    if child:
        return child
    try:
        train(folder)
        os._exit(0)
    finally:
        os._exit(1)


def rounds_done(folder: Path) -> int:
    """Checkpoints written so far."""
    events = folder / "events.jsonl"
    return events.read_text().count('"checkpoint"') if events.exists() else 0


def main(folder: Path) -> int:
    stores_in(folder / "tenants")
    for _ in range(KILLS):
        begun, moment = rounds_done(folder), random.uniform(0.0, 0.2)
        child = started(folder)
        while rounds_done(folder) == begun and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.002)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the run was over before it was killed"
        print(f"killed {moment:.3f} s after a round, {rounds_done(folder)} rounds done")
    _, status = os.waitpid(started(folder), 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
