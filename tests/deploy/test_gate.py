"""Other machines reach the SuperNodes' API and nothing else of the SuperLink."""

from __future__ import annotations

import asyncio

import pytest
from flwr.superlink import extensions, main

from fedrec.deploy.platform.superlink import Gate, put_up_gate

HERE, THERE = "127.0.0.1", "192.0.2.7"


def status_of(path: str, caller: str | None, called: str = "198.51.100.1") -> int:
    """What a caller gets: 200 from the app behind the gate, or what the gate says."""
    sent = []

    async def behind(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    client = None if caller is None else (caller, 50_000)
    scope = {"type": "http", "path": path, "client": client, "server": (called, 9093)}
    asyncio.run(Gate(behind)(scope, receive, send))
    return sent[0]["status"]


@pytest.mark.parametrize("path", ["/v1/fleet/pull-messages", "/v1/fleet/activate-node", "/health"])
def test_a_tenant_reaches_what_its_node_needs(path):
    assert status_of(path, THERE) == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/control/register-node",
        "/v1/runtime/acquire-task",
        "/v1/runtime/responses",
        "/docs",
        "/openapi.json",
        "/v1/fleet",
        "//v1/fleet/../control/start-run",
        "/",
    ],
)
def test_nobody_elsewhere_reaches_the_rest(path):
    assert status_of(path, THERE) == 403
    assert status_of(path, None) == 403
    assert status_of(path, "not an address") == 403


@pytest.mark.parametrize("caller", [HERE, "::1", "::ffff:127.0.0.1", "127.0.0.2"])
def test_the_operator_reaches_everything_from_this_machine(caller):
    assert status_of("/v1/control/start-run", caller) == 200


def test_a_call_from_the_address_that_is_called_is_from_this_machine():
    assert status_of("/v1/control/start-run", THERE, called=THERE) == 200


def test_a_websocket_from_elsewhere_is_closed():
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/v1/control/x", "client": (THERE, 1), "server": (HERE, 2)}
    asyncio.run(Gate(None)(scope, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_gate_stands_before_everything_else_of_the_superlink():
    before = extensions.get_middleware
    try:
        put_up_gate()
        assert main._get_middleware()[0].cls is Gate
    finally:
        extensions.get_middleware = before
