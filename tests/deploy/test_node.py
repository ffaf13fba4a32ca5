"""What a tenant and a platform start: with TLS, with keys, and with no way around them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from fedrec.deploy.flower import as_typed, node_config
from fedrec.deploy.platform.folder import Platform, Settings
from fedrec.deploy.tenant.folder import Tenant
from fedrec.deploy.tenant.handover import SOCKET, handed_over
from fedrec.deploy.tenant.node import programs
from fedrec.deploy.tenant.warm import _read
from fedrec.errors import ConfigError
from tests.deploy.market import fedrec, new_tenant, write_catalogue


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    """One that has joined, as far as its SuperNode can tell."""
    tenant = Tenant(new_tenant(tmp_path, 0))
    (tenant.folder / "tenant.toml").write_text('platform = "market"\naddress = "market.example:9093"\n')
    return tenant


def test_a_supernode_has_tls_and_its_key_and_listens_on_loopback(tenant):
    _, supernode = programs(tenant)
    options = dict(zip(supernode.arguments[1::2], supernode.arguments[2::2], strict=True))
    assert options["--superlink"] == "market.example:9093"
    assert options["--root-certificates"] == str(tenant.folder / "platform/ca.pem")
    assert options["--auth-supernode-private-key"] == str(tenant.folder / "node/node.key")
    assert options["--host"] == "127.0.0.1"
    assert options["--node-config"] == f'store="{tenant.folder}"'
    assert set(options) == {
        "--superlink",
        "--root-certificates",
        "--auth-supernode-private-key",
        "--host",
        "--port",
        "--node-config",
    }


def test_a_supernode_finds_two_programs_and_no_others(tenant):
    _, supernode = programs(tenant)
    path = Path(supernode.environment["PATH"])
    assert sorted(os.listdir(path)) == ["flower-superexec", "flwr-clientapp"]
    assert path == tenant.folder / "run" / "bin"
    (path / "flwr-agentapp").touch()
    with pytest.raises(ConfigError, match="does not belong there"):
        programs(tenant)


def test_what_the_supernode_starts_hands_its_work_over(tenant):
    """The very script, run with the very arguments; a thread plays the warm process."""
    programs(tenant)
    run, taken = tenant.folder / "run", []
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(run)
        listener.bind(SOCKET)
        os.chdir(here)
        listener.listen()
        thread = threading.Thread(target=lambda: taken.append(answer(listener)))
        thread.start()
        subprocess.run([run / "bin" / "flwr-clientapp", "--token", "a b"], check=True, timeout=30, env={})
        thread.join()
    assert taken == [["--token", "a b"]]


def answer(listener: socket.socket) -> list[str] | None:
    connection, _ = listener.accept()
    with connection:
        arguments = _read(connection)
        connection.sendall(b"1")
    return arguments


def test_without_a_warm_process_nothing_is_handed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not handed_over(str(tmp_path), ["--token", "x"])
    (tmp_path / SOCKET).touch()
    assert not handed_over(str(tmp_path), ["--token", "x"])


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1}', b"[1]", b'["' + b"a" * (1 << 17) + b'"]'])
def test_the_warm_process_takes_nothing_but_arguments(content):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        thread = threading.Thread(target=lambda: send(ours, content))
        thread.start()
        assert _read(theirs) is None
        theirs.close()
        thread.join()


def send(connection: socket.socket, content: bytes) -> None:
    try:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_a_superlink_has_tls_and_authenticated_nodes_and_installs_nothing(tmp_path):
    fedrec("platform", "init", tmp_path / "market", "--catalogue", write_catalogue(tmp_path))
    platform = Platform(tmp_path / "market")
    arguments = platform.superlink().arguments
    assert arguments[1:3] == ("-m", "fedrec.deploy.platform.superlink")
    assert {"--enable-supernode-auth", "--disable-runtime-dependency-installation", "--ssl-keyfile"} <= set(arguments)
    assert "--insecure" not in arguments
    typed = as_typed(platform.superlink_as_typed(), tmp_path)
    assert typed.startswith(f"FLWR_HOME={tmp_path} flower-superlink --ssl-certfile")


def test_flowers_commands_use_the_certificate_of_the_platform(tmp_path):
    fedrec("platform", "init", tmp_path / "market", "--catalogue", write_catalogue(tmp_path))
    flower = Platform(tmp_path / "market").flower
    written = (flower.home / "config.toml").read_text()
    assert 'address = "127.0.0.1:9093"' in written
    assert json.dumps(str(tmp_path / "market/ca/ca.pem")) in written
    assert "insecure" not in written


@pytest.mark.parametrize(("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("192.0.2.1", "192.0.2.1")])
def test_the_operators_commands_go_where_the_superlink_listens(tmp_path, host, reached):
    fedrec("platform", "init", tmp_path / "market", "--catalogue", write_catalogue(tmp_path), "--listen", host)
    home = Platform(tmp_path / "market").flower.home
    assert f'address = "{reached}:9093"' in (home / "config.toml").read_text()


def test_a_certificate_holds_for_the_address_that_is_listened_on():
    assert "192.0.2.1" in Settings("market", "market.example:1", "192.0.2.1").hosts


def test_a_path_that_flower_could_not_read_back_is_refused():
    assert node_config({"store": "/a b"}) == 'store="/a b"'
    with pytest.raises(ConfigError, match="without quotes"):
        node_config({"store": '/a"b'})
