"""Keys and certificates of a federation: a CA of its own, the server certificate that it signs, a key for each node.

All are ECDSA P-384. The CA is the federation's alone: a tenant trusts it for this one connection and installs it
nowhere. Whoever has `ca.key` can pass for the platform, and read what is not masked; keep it off the server if you can.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization.ssh import load_ssh_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedrec.errors import ConfigError

CA_DAYS, SERVER_DAYS = 3650, 730
BACKDATED = timedelta(minutes=10)
"""Clocks differ: a certificate is valid a little before it was made."""


def create_ca(name: str) -> tuple[bytes, bytes]:
    """Key and certificate, as PEM, of a CA for the federation `name`."""
    key = ec.generate_private_key(ec.SECP384R1())
    subject = _name(f"fedrec federation {name}")
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(subject, subject, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA384())
    )
    return _private(key), certificate.public_bytes(serialization.Encoding.PEM)


def create_server_certificate(ca_key: bytes, ca: bytes, hosts: Sequence[str]) -> tuple[bytes, bytes]:
    """Key and certificate, as PEM, of a server that is reached as any of `hosts`, names or IP addresses."""
    signer = serialization.load_pem_private_key(ca_key, password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ConfigError("Expected the CA's key to be an EC key; restore the one that `fedrec platform init` made.")
    issuer = read_certificate(ca)
    key = ec.generate_private_key(ec.SECP384R1())
    certificate = (
        _builder(_name(hosts[0]), issuer.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA384())
    )
    return _private(key), certificate.public_bytes(serialization.Encoding.PEM)


def create_node_key() -> tuple[bytes, bytes]:
    """Private and public key of a SuperNode in the SSH format that Flower reads."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, public


def check_node_key(public: bytes) -> None:
    """Raises ConfigError unless `public` is a P-384 key in SSH format, in one line and without a comment."""
    try:
        key = load_ssh_public_key(public)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"Expected a node key in SSH format, got one that cannot be read ({error}).") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ConfigError("Expected an ECDSA P-384 node key; make one with `fedrec tenant init`.")
    if key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH) != public.strip():
        raise ConfigError("Expected a node key and nothing behind it; make one with `fedrec tenant init`.")


def read_certificate(pem: bytes) -> x509.Certificate:
    """A certificate. Raises ConfigError if `pem` is none."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise ConfigError(f"Expected a certificate in PEM format: {error}.") from error


def valid_until(pem: bytes) -> datetime:
    """When a certificate ends."""
    return read_certificate(pem).not_valid_after_utc


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATED).not_valid_after(now + timedelta(days=days))


def _usage(**used: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names})


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
