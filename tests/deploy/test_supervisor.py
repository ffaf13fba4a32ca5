"""What is started is kept running and ended, with what it started; nothing else is touched."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fedrec.deploy.supervisor import LOCK, PLAN, RUN, Program, inherited, is_up, stop, tail
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


def test_a_program_is_given_up_after_as_many_failures_as_it_says(tmp_path):
    asked = replace(program(tmp_path, "print('begun'); raise SystemExit(3)"), most_failures=2)
    supervisor = started(tmp_path, asked)
    supervisor.communicate(timeout=30)
    assert supervisor.returncode == 1
    assert (tmp_path / "one.log").read_text() == "begun\n" * 2


def test_a_stale_lock_file_deceives_nobody(tmp_path):
    write_text(tmp_path / RUN / "up.lock", str(os.getpid()))
    assert not is_up(tmp_path)
    with pytest.raises(ConfigError, match="Nothing runs"):
        stop(tmp_path)


def test_the_end_of_a_log_is_shown(tmp_path):
    (tmp_path / "log").write_text("".join(f"{line}\n" for line in range(20)))
    assert tail(tmp_path / "log", 2) == "18\n19"
    assert tail(tmp_path / "none") == ""


def test_a_number_that_was_left_behind_is_not_ended_while_others_ask(tmp_path):
    """Two who only ask whether something runs do not take each other for it."""
    other = subprocess.Popen(["sleep", "300"])
    try:
        write_text(tmp_path / RUN / LOCK, str(other.pid))
        with (tmp_path / RUN / LOCK).open() as asking:
            fcntl.flock(asking, fcntl.LOCK_SH)
            assert not is_up(tmp_path)
            with pytest.raises(ConfigError, match="Nothing runs"):
                stop(tmp_path)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_it_leaves_no_number_behind(tmp_path):
    supervisor = started(tmp_path, program(tmp_path, SLEEPER))
    wait_until(lambda: (tmp_path / RUN / "one.pid").exists())
    assert (tmp_path / RUN / LOCK).read_text() == str(supervisor.pid)
    stop(tmp_path)
    supervisor.communicate(timeout=10)
    assert (tmp_path / RUN / LOCK).read_text() == ""


def test_no_code_comes_from_the_folder_where_a_program_is_started(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('code of somebody else')")
    code = "import sys, json; print('' in sys.path, json.dumps(1))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=inherited(), capture_output=True, check=True)
    assert done.stdout.decode().split() == ["False", "1"]
