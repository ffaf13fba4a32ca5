"""`flwr-clientapp` as a tenant's SuperNode finds it: hands a message's work to the warm process.

    python -IS handover.py FOLDER ARGUMENTS OF flwr-clientapp

It is run as a file, without site-packages, so that it starts in milliseconds. Where there is no warm process it
becomes a cold one, which does the same more slowly.
"""

from __future__ import annotations

import json
import os
import socket
import sys

SOCKET = "warm.sock"


def handed_over(folder: str, arguments: list[str]) -> bool:
    """Whether the warm process has taken the work. The socket is named from inside its folder: long paths do not
    fit."""
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(SOCKET)
            connection.sendall(json.dumps(arguments).encode())
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(1) == b"1"
    except OSError:
        return False


def main() -> None:
    """Hand over, or do it here."""
    folder, *arguments = sys.argv[1:]
    if not handed_over(folder, arguments):
        cold = [sys.executable, "-P", "-m", "fedrec.deploy.tenant.clientapp", *arguments]
        os.execv(cold[0], cold)


if __name__ == "__main__":
    main()
