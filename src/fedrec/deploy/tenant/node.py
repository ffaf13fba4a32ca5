"""What runs at a tenant: Flower's SuperNode, and the warm process that answers for it."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path

from fedrec.deploy.flower import executable, node_config, settings
from fedrec.deploy.invitation import CA
from fedrec.deploy.supervisor import RUN, Program
from fedrec.deploy.tenant import handover
from fedrec.deploy.tenant.folder import NODE_KEY, PLATFORM, Tenant
from fedrec.errors import ConfigError
from fedrec.files import write_bytes

LOOPBACK = "127.0.0.1"
MOST_FAILURES = 20
"""Of the SuperNode. After a crash the SuperLink takes the node for online until a minute without a sign of it is over,
and turns its successor away; attempts are five seconds apart, so these last for a minute even if each is short."""
BIN = "bin"


def programs(tenant: Tenant) -> tuple[Program, Program]:
    """The warm process and the SuperNode. Raises ConfigError if the tenant has not joined a platform.

    The SuperNode finds two programs and no others: what it would start for an app of another kind is not there.
    """
    folder = tenant.folder.resolve()
    run = folder / RUN
    run.mkdir(mode=0o700, exist_ok=True)
    _write_programs(run)
    warm = (sys.executable, "-m", "fedrec.deploy.tenant.warm", str(run))
    started_with = settings(folder / "flwr", run / BIN)
    return (
        Program("warm", warm, started_with, str(folder / "logs" / "clientapp.log")),
        Program("supernode", supernode(tenant), started_with, str(folder / "logs" / "supernode.log"), MOST_FAILURES),
    )


def supernode(tenant: Tenant) -> tuple[str, ...]:
    """Flower's command, with TLS, the node's key, and this machine's loopback for its own processes."""
    folder, address = tenant.folder.resolve(), tenant.address
    if address is None:
        raise ConfigError(f"'{tenant.name}' has joined no platform; take its invitation with `fedrec tenant join`.")
    options = {
        "--superlink": address,
        "--root-certificates": str(folder / PLATFORM / CA),
        "--auth-supernode-private-key": str(folder / NODE_KEY),
        "--host": LOOPBACK,
        "--port": str(free_port()),
        "--node-config": node_config({"store": str(folder)}),
    }
    return (executable("flower-supernode"), *(text for pair in options.items() for text in pair))


def _write_programs(run: Path) -> None:
    """The only programs that the SuperNode and what it starts will find."""
    python, file = shlex.quote(sys.executable), shlex.quote(str(Path(handover.__file__).resolve()))
    scripts = {
        "flower-superexec": shlex.quote(executable("flower-superexec")),
        "flwr-clientapp": f"{python} -IS {file} {shlex.quote(str(run))}",
    }
    for name, command in scripts.items():
        write_bytes(run / BIN / name, f'#!/bin/sh\nexec {command} "$@"\n'.encode(), mode=0o700)
    for other in set(os.listdir(run / BIN)) - set(scripts):
        raise ConfigError(f"{run / BIN / other} does not belong there; remove it.")


def free_port() -> int:
    """A port on which nobody listens at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
