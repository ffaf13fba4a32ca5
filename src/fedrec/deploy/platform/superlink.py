"""Flower's SuperLink behind a gate: other machines reach the SuperNodes' API, and nothing else.

    python -m fedrec.deploy.platform.superlink ARGUMENTS OF flower-superlink

Flower 1.41 serves three APIs on one port. SuperNodes prove who they are; who calls the other two does not have to:
without this gate, anyone who reaches the port could register nodes, start runs with code of his own, or take the place
of the ServerApp. Here they answer callers on this machine only. A proxy on this machine would count as such a caller:
let it pass on `/v1/fleet/` only. Other users of this machine are not kept out.
"""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from flwr.superlink import extensions
from flwr.superlink.cli.flower_superlink import flower_superlink
from starlette.middleware import Middleware

from fedrec.deploy import logs

FOR_ALL = ("/v1/fleet/", "/health")
APIS = ("control", "runtime")
FORBIDDEN = b"This API answers callers on the platform's own machine only."
log = logging.getLogger("fedrec.deploy")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]


class Gate:
    """ASGI middleware that lets other machines reach `FOR_ALL` only."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan" or scope["path"].startswith(FOR_ALL) or is_local(scope):
            await self._app(scope, receive, send)
            return
        log.warning("kept out api=%s", next((api for api in APIS if scope["path"].startswith(f"/v1/{api}/")), "other"))
        if scope["type"] == "http":
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(FORBIDDEN)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": FORBIDDEN})
        else:
            await send({"type": "websocket.close", "code": 1008})


def is_local(scope: Scope) -> bool:
    """Whether the caller is on this machine: by loopback, or from the very address that it calls."""
    caller, called = scope.get("client"), scope.get("server")
    if not caller or not called:
        return False
    try:
        address = ipaddress.ip_address(caller[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback) or caller[0] == called[0]


def put_up_gate() -> None:
    """Put the gate before everything else of the SuperLink of this process."""
    os.environ.pop("FORWARDED_ALLOW_IPS", None)  # with it, a caller could name the address that it calls from
    others = extensions.get_middleware
    extensions.get_middleware = lambda: (Middleware(Gate), *others())


def main() -> None:
    """Run `flower-superlink` behind the gate."""
    logs.configure()
    put_up_gate()
    log.info("gate pid=%d", os.getpid())
    flower_superlink()


if __name__ == "__main__":
    main()
