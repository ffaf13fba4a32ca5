"""Flower's own commands: how they are called here, and how the same call looks in a shell."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrec.deploy.supervisor import inherited
from fedrec.errors import ConfigError, ProtocolError
from fedrec.files import write_text

CONNECTION = "fedrec"
TIMEOUT_S = 180.0
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
PROMPT = {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.25"}
"""Flower looks for new work once a second; a round under masks waits for that three times at each tenant."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
Shown = Callable[[str], None]
"""Is given every command as it would be typed into a shell."""


def executable(name: str) -> str:
    """A program of the environment that this Python belongs to."""
    return str(Path(sys.executable).with_name(name))


def settings(home: Path, path: Path | None = None) -> dict[str, str]:
    """What Flower's programs are started with beside what they inherit. home: where Flower keeps its files and finds
    its connection. path: the only folder in which they find programs; None: this Python's, and what is inherited."""
    found = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return QUIET | ONE_THREAD | PROMPT | {"FLWR_HOME": str(home), "PATH": str(path) if path else found}


def as_typed(arguments: tuple[str, ...], home: Path) -> str:
    """A call as it would be typed into a shell."""
    return f"FLWR_HOME={shlex.quote(str(home))} " + shlex.join((Path(arguments[0]).name, *arguments[1:]))


def node_config(values: Mapping[str, str]) -> str:
    """Text for `--node-config` or `--run-config`. Raises ConfigError for what Flower could not read back."""
    for key, value in values.items():
        if '"' in value or "\\" in value or "\n" in value:
            raise ConfigError(f"Expected {key}={value!r} without quotes and backslashes; choose another folder.")
    return " ".join(f'{key}="{value}"' for key, value in values.items())


@dataclass(frozen=True)
class Flower:
    """The command `flwr` with the connection in `home`. shown: told of each call."""

    home: Path
    shown: Shown = lambda line: None

    def connect(self, address: str, ca: Path) -> None:
        """Write the connection that every call uses."""
        lines = ["[superlink]", f"default = {json.dumps(CONNECTION)}", "", f"[superlink.{CONNECTION}]"]
        lines += [f"address = {json.dumps(address)}", f"root-certificates = {json.dumps(str(ca))}"]
        write_text(self.home / "config.toml", "\n".join(lines) + "\n")

    def register(self, key: Path, name: str) -> int:
        """Let the owner of a public node key in; its node id. Raises ProtocolError if the SuperLink declines."""
        return int(self._json("supernode", "register", str(key), CONNECTION, "--name", name)["node-id"])

    def unregister(self, node: int) -> None:
        """Shut a node out. Raises ProtocolError if the SuperLink declines."""
        self._json("supernode", "unregister", str(node), CONNECTION)

    def nodes(self) -> dict[int, str]:
        """Node id -> "online", "offline" or another status of Flower's."""
        return {int(one["node-id"]): str(one["status"]) for one in self._json("supernode", "list", CONNECTION)["nodes"]}

    def start(self, app: Path, settings: Mapping[str, str]) -> int:
        """Submit a run of the app in a folder; its id."""
        run = self._json("run", str(app), CONNECTION, "--run-config", node_config(settings))
        return int(run["run-id"])

    def status(self, run: int) -> str:
        """A run's status: "pending", "running" and such, or "finished:completed", "finished:failed"."""
        return str(self._json("list", CONNECTION, "--run-id", str(run))["runs"][0]["status"])

    def _json(self, *arguments: str) -> dict[str, Any]:
        """What a command prints as JSON."""
        call = (executable("flwr"), *arguments)
        self.shown(as_typed(call, self.home))
        done = subprocess.run(
            [*call, "--format", "json"],
            env=inherited() | settings(self.home),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        found = _object(done.stdout)
        if done.returncode or found is None or not found.get("success", True):
            told = (found or {}).get("error-message") or done.stderr.strip()[-500:] or done.stdout.strip()[-500:]
            raise ProtocolError(f"`flwr {' '.join(arguments[:2])}` failed: {told}. Is the platform up?")
        return found


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text ends with."""
    start = text.find("{")
    try:
        return dict(json.loads(text[start:])) if start >= 0 else None
    except ValueError:
        return None
