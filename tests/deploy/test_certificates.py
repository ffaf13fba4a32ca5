"""The federation's own CA: what it signs is trusted for the hosts that it names, and for no others."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.cli.supernode.register import try_load_public_key
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedrec.deploy.certificates import (
    check_node_key,
    create_ca,
    create_node_key,
    create_server_certificate,
    valid_until,
)
from fedrec.errors import ConfigError


def greeted(folder: Path, trusted: bytes, host: str) -> bool:
    """Whether a client that trusts `trusted` takes the server's certificate for `host`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem", folder / "server.key")
    client = ssl.create_default_context(cadata=trusted.decode())
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=host).close()
    except ssl.SSLCertVerificationError:
        return False
    finally:
        ours.close()
        thread.join()
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ca_key, ca = create_ca("market")
    key, certificate = create_server_certificate(ca_key, ca, ["market.example", "127.0.0.1"])
    for name, content in (("ca.pem", ca), ("server.key", key), ("server.pem", certificate)):
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(("host", "taken"), [("market.example", True), ("127.0.0.1", True), ("other.example", False)])
def test_the_certificate_is_for_the_hosts_that_it_names(folder, host, taken):
    assert greeted(folder, (folder / "ca.pem").read_bytes(), host) == taken


def test_a_certificate_of_another_ca_is_not_taken(folder):
    assert not greeted(folder, create_ca("market")[1], "market.example")


def test_a_server_certificate_signs_nothing(folder):
    key, certificate = (folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes()
    forged_key, forged = create_server_certificate(key, certificate, ["market.example"])
    (folder / "server.key").write_bytes(forged_key)
    (folder / "server.pem").write_bytes(forged + certificate)
    assert not greeted(folder, (folder / "ca.pem").read_bytes(), "market.example")


def test_the_ca_outlives_its_server_certificates(folder):
    ca, server = (valid_until((folder / name).read_bytes()) for name in ("ca.pem", "server.pem"))
    assert ca > server


def test_a_node_key_is_one_that_flower_reads(tmp_path):
    private, public = create_node_key()
    check_node_key(public)
    (tmp_path / "node.key").write_bytes(private)
    (tmp_path / "node.pub").write_bytes(public)
    key = load_ssh_private_key((tmp_path / "node.key").read_bytes(), password=None)
    assert try_load_public_key(tmp_path / "node.pub") == public_key_to_bytes(key.public_key())


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"ecdsa-sha2-nistp384 AAAA",
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
    ],
)
def test_another_key_is_refused(key):
    with pytest.raises(ConfigError, match="node key"):
        check_node_key(key)


def test_a_node_key_with_anything_behind_it_is_refused():
    """It is written into files of the platform: what stood behind it would be, too."""
    public = create_node_key()[1]
    with pytest.raises(ConfigError, match="nothing behind it"):
        check_node_key(public.strip() + b' "\nidentity = "00"')
