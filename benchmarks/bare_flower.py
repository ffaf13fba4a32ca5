"""Flower alone: how long its own SuperNodes take to answer a message with an app that does nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from fedrec.deploy.bundle import Project, write_app
from fedrec.deploy.flower import QUIET, Flower, executable
from fedrec.deploy.platform.runs import wait_for_nodes
from fedrec.deploy.supervisor import inherited
from fedrec.deploy.tenant.node import free_port
from fedrec.errors import FedrecError

PATIENCE_S = 600.0
WORDS = 1_000
PROJECT = Project("bare", "bare", "1.0.0", "Flower alone", ("out", "exchanges", "words"))
CLIENT = """
from flwr.app import Message
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def on_train(message, context):
    return Message(message.content, reply_to=message)
"""
SERVER = """
import json, time
from pathlib import Path
import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    config, seconds = context.run_config, []
    content = RecordDict({"words": ArrayRecord({"words": Array(np.zeros(int(config["words"]), np.uint32))})})
    for number in range(int(config["exchanges"]) + 1):
        started = time.monotonic()
        nodes = list(grid.get_node_ids())
        sent = [Message(content, dst_node_id=node, message_type="train", group_id=str(number)) for node in nodes]
        answered = list(grid.send_and_receive(sent, timeout=300))
        if len(answered) != len(nodes) or any(reply.has_error() for reply in answered):
            raise RuntimeError("a node did not answer")
        seconds.append(time.monotonic() - started)
    unfinished = Path(config["out"] + ".part")
    unfinished.write_text(json.dumps(seconds[1:]))
    unfinished.rename(config["out"])
"""


def exchange_seconds(flower: Flower, tenants: Sequence[Path], folder: Path, exchanges: int) -> float:
    """Median seconds of an exchange with all nodes. tenants: folders whose node keys the SuperLink knows, but that are
    not up. Raises FedrecError if the run fails."""
    with ExitStack() as running:
        for tenant in tenants:
            running.enter_context(_supernode(tenant, folder))
        wait_for_nodes(flower, len(tenants), PATIENCE_S)
        out = folder / "bare.json"
        settings = {"out": str(out), "exchanges": str(exchanges), "words": str(WORDS)}
        run = flower.start(_app(folder / "bare"), settings)
        deadline = time.monotonic() + PATIENCE_S
        while not out.exists():
            if time.monotonic() > deadline or flower.status(run) == "finished:failed":
                raise FedrecError(f"The bare run did not end well; see {flower.home.parent / 'logs'}.")
            time.sleep(10)
        return float(median(json.loads(out.read_text())))


@contextmanager
def _supernode(tenant: Path, folder: Path) -> Iterator[None]:
    """Flower's command as anyone would type it, with a tenant's key."""
    address = json.loads((tenant / "tenant.toml").read_text().split("address = ")[1])
    own = ("--host", "127.0.0.1", "--port", str(free_port()))
    trust = ("--root-certificates", str(tenant / "platform/ca.pem"))
    key = ("--auth-supernode-private-key", str(tenant / "node/node.key"))
    path = f"{Path(executable('flwr')).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    process = subprocess.Popen(
        (executable("flower-supernode"), "--superlink", address, *trust, *key, *own),
        env=inherited() | QUIET | {"FLWR_HOME": str(folder / f"bare-{tenant.name}"), "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            _end_group(process.pid)


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _app(folder: Path) -> Path:
    return write_app(folder, PROJECT, {"bare/__init__.py": "", "bare/client.py": CLIENT, "bare/server.py": SERVER})
