"""`fedrec simulate`, killed with SIGKILL at random moments and resumed: the same bytes as without."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fedrec.config import parse, to_toml
from tests.simulations.resumed_run import CONFIG, lasting, measured

KILLS, SEED = 6, 20261122


class Simulation:
    """`fedrec simulate --resume` in a process of its own."""

    def __init__(self, configuration: Path, out: Path) -> None:
        self.out, self.started, self.lines = out, time.time(), lines(out)
        command = [sys.executable, "-c", "from fedrec.cli import main; main()", "simulate", str(configuration)]
        quiet = ["--out", str(out), "--resume", "--quiet"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*command, *quiet], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait(self, events: int) -> None:
        """Until the process has begun to write, which its imports delay, and has told so many events."""
        while not self.has_written() or lines(self.out) < self.lines + events:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.005)

    def has_written(self) -> bool:
        return self.out.exists() and any(is_newer(path, self.started) for path in self.out.iterdir())

    def end(self) -> None:
        _, errors = self.process.communicate()
        assert self.process.returncode == 0, errors

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def is_newer(path: Path, moment: float) -> bool:
    """What is being written may have another name by now."""
    with suppress(FileNotFoundError):
        return path.stat().st_mtime > moment
    return False


def lines(out: Path) -> int:
    """Events told in all attempts, by both servers."""
    return sum(path.read_bytes().count(b"\n") for path in out.glob("*/events.jsonl"))


@pytest.mark.slow
def test_a_simulation_killed_at_random_moments_ends_as_one_that_never_was(tmp_path):
    """Moments are drawn in events, so that they are spread over the run on a machine of any speed, and some
    milliseconds after one."""
    configuration, parts = tmp_path / "run.toml", tmp_path / "parts"
    configuration.write_text(to_toml(parse(CONFIG)))
    Simulation(configuration, tmp_path / "whole").end()
    moments, most = random.Random(SEED), lines(tmp_path / "whole") // KILLS
    for _ in range(KILLS):
        simulation = Simulation(configuration, parts)
        simulation.wait(moments.randrange(most))
        time.sleep(moments.uniform(0, 0.1))
        simulation.kill()
        assert not (parts / "report.json").exists()
    Simulation(configuration, parts).end()
    assert lasting(parts) == lasting(tmp_path / "whole")
    assert measured(parts) == measured(tmp_path / "whole")
