"""A tenant's request to be let in: its two public keys, bound to each other and to its name.

The identity key signs the rest, so nobody can put a node key of his own beside a tenant's identity. Nothing in it is
secret. Who sent it is for the platform's operator to know; the file cannot say.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from fedrec import __version__
from fedrec.deploy.certificates import check_node_key
from fedrec.errors import ConfigError
from fedrec.privacy.secagg.keys import Identity, signed_by

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LABEL = b"fedrec deploy v1 request"


@dataclass(frozen=True)
class Request:
    """name: of the tenant, which is that of its folder. node_key: SSH format. identity: 32 bytes. signature: by it."""

    name: str
    node_key: bytes
    identity: bytes
    signature: bytes
    version: str = __version__

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigError(f"Expected a tenant's name of letters, digits, '.', '_' and '-', got {self.name!r}.")
        check_node_key(self.node_key)
        if not signed_by(self.identity, self.signature, _statement(self.name, self.node_key, self.version)):
            raise ConfigError(f"The request of '{self.name}' is not signed by its identity key; have it sent again.")

    @classmethod
    def signed(cls, name: str, node_key: bytes, identity: Identity) -> Request:
        """The request of the owner of both keys."""
        signature = identity.sign(_statement(name, node_key, __version__))
        return cls(name, node_key, identity.public, signature)

    def to_toml(self) -> str:
        """The request as a file."""
        values = {
            "name": self.name,
            "fedrec": self.version,
            "node_key": self.node_key.decode("ascii").strip(),
            "identity": self.identity.hex(),
            "signature": self.signature.hex(),
        }
        return "".join(f'{key} = "{value}"\n' for key, value in values.items())

    @classmethod
    def read(cls, path: Path) -> Request:
        """A request from its file. Raises ConfigError if it is damaged, or not signed by its identity."""
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
            identity, signature = bytes.fromhex(raw["identity"]), bytes.fromhex(raw["signature"])
            return cls(str(raw["name"]), raw["node_key"].encode("ascii"), identity, signature, str(raw["fedrec"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path} is not a request that `fedrec tenant init` made: {error!r}.") from error


def _statement(name: str, node_key: bytes, version: str) -> bytes:
    parts = (LABEL, name.encode(), node_key.strip(), version.encode())
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)
