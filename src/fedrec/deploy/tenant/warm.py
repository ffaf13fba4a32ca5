"""A process that has everything imported, and forks one for each message.

    python -m fedrec.deploy.tenant.warm FOLDER

A SuperNode starts a program for every message; importing fedrec takes that program seconds. This one has imported it
and has never seen a message, so what it forks is as fresh as a new process. It listens on a socket in FOLDER, which
only its owner can open, and runs `tenant/clientapp.py` and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from fedrec.client import app as client
from fedrec.deploy import logs
from fedrec.deploy.tenant import clientapp
from fedrec.deploy.tenant.handover import SOCKET

LONGEST_CALL = 1 << 16
PRELOADED = (client, clientapp)
log = logging.getLogger("fedrec.deploy")


def serve(folder: Path) -> None:
    """Take work until this process is ended."""
    os.chdir(folder)
    Path(SOCKET).unlink(missing_ok=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(SOCKET)
        os.chmod(SOCKET, 0o600)
        listener.listen(64)
        log.info("warm pid=%d", os.getpid())
        while True:
            connection, _ = listener.accept()
            with connection:
                arguments = _read(connection)
                if arguments is None:
                    continue
                if os.fork() == 0:
                    listener.close()
                    connection.close()
                    _work(arguments)
                connection.sendall(b"1")


def _read(connection: socket.socket) -> list[str] | None:
    """The arguments of a call; None if it is none."""
    connection.settimeout(5)
    content = b""
    try:
        while part := connection.recv(4096):
            content += part
            if len(content) > LONGEST_CALL:
                return None
        arguments = json.loads(content)
    except (OSError, ValueError):
        return None
    return arguments if isinstance(arguments, list) and all(isinstance(one, str) for one in arguments) else None


def _work(arguments: list[str]) -> None:
    """Answer one message in a process of its own, which ends with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv = ["flwr-clientapp", *arguments]
    code = 1
    try:
        clientapp.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # a fork must never return into the loop that made it
        log.exception("failed unexpectedly")
    finally:
        with contextlib.suppress(OSError):  # a full disk takes no logs, and the fork ends all the same
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    logs.configure(reads_rows=True)
    serve(Path(sys.argv[1]))
