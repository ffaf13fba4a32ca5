"""What is started is kept running and ended, with what it started; nothing else is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedrec.deploy.supervisor import PLAN, RUN, Program, is_up, stop, tail
from fedrec.errors import ConfigError
from fedrec.files import write_text

SLEEPER = "import subprocess,sys,time; p=subprocess.Popen(['sleep','300']); print(p.pid,flush=True); time.sleep(300)"


def program(folder: Path, code: str, name: str = "one") -> Program:
    return Program(name, (sys.executable, "-c", code), {"FLWR_HOME": "here"}, str(folder / f"{name}.log"))


def started(folder: Path, *programs: Program) -> subprocess.Popen[bytes]:
    import json
    from dataclasses import asdict

    write_text(folder / RUN / PLAN, json.dumps([asdict(one) for one in programs]))
    arguments = [sys.executable, "-m", "fedrec.deploy.supervisor", str(folder / RUN / PLAN)]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE)


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_program_is_ended_with_what_it_started(tmp_path):
    supervisor = started(tmp_path, program(tmp_path, SLEEPER))
    log = tmp_path / "one.log"
    wait_until(lambda: log.exists() and log.read_text().strip().isdigit())
    child, grandchild = int((tmp_path / RUN / "one.pid").read_text()), int(log.read_text())
    assert is_up(tmp_path)
    assert is_alive(child)
    stop(tmp_path)
    assert supervisor.wait(10) == 0
    supervisor.communicate()
    assert not is_up(tmp_path)
    assert not (tmp_path / RUN / "one.pid").exists()
    wait_until(lambda: not is_alive(child) and not is_alive(grandchild))


def test_a_second_supervisor_is_refused(tmp_path):
    first = started(tmp_path, program(tmp_path, "import time; time.sleep(300)"))
    wait_until(lambda: is_up(tmp_path))
    second = started(tmp_path, program(tmp_path, "pass"))
    _, error = second.communicate(timeout=20)
    assert second.returncode == 2
    assert b"runs in" in error
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=20)
    assert first.returncode == 0


def test_a_program_that_ends_is_started_again_and_given_up_in_the_end(tmp_path):
    code = (
        "import os; print('begun', os.environ['FLWR_HOME'], 'FORWARDED_ALLOW_IPS' in os.environ); raise SystemExit(3)"
    )
    os.environ["FORWARDED_ALLOW_IPS"] = "*"
    try:
        supervisor = started(tmp_path, program(tmp_path, code))
    finally:
        del os.environ["FORWARDED_ALLOW_IPS"]
    _, error = supervisor.communicate(timeout=30)
    assert supervisor.returncode == 1
    assert (tmp_path / "one.log").read_text() == "begun here False\n" * 3
    assert b"given up program=one" in error


def test_a_stale_lock_file_deceives_nobody(tmp_path):
    write_text(tmp_path / RUN / "up.lock", str(os.getpid()))
    assert not is_up(tmp_path)
    with pytest.raises(ConfigError, match="Nothing runs"):
        stop(tmp_path)


def test_the_end_of_a_log_is_shown(tmp_path):
    (tmp_path / "log").write_text("".join(f"{line}\n" for line in range(20)))
    assert tail(tmp_path / "log", 2) == "18\n19"
    assert tail(tmp_path / "none") == ""
