"""A platform's own folder, and what its operator does with it.

platform.toml        who it is and where it listens; for people to read and change
ca/                  the federation's CA; ca.key is SECRET, and nothing that runs reads it
tls/                 the server's certificate and key. SECRET
catalogue.parquet    the public catalogue
tenants/<name>.toml  each tenant's request, as it was let in
nodes.json           Flower's number of each tenant's node
roster.txt           the identity keys of all tenants
app/                 the bundle that `flwr run` sends
flwr/, state.db      what Flower keeps
runs/<name>/         the configuration, the events and the models of each run
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from fedrec import __version__
from fedrec.data import Catalogue
from fedrec.data.catalogue_file import write_catalogue_file
from fedrec.deploy.bundle import write_bundle
from fedrec.deploy.certificates import create_ca, create_server_certificate
from fedrec.deploy.flower import Flower, Shown, executable
from fedrec.deploy.flower import settings as started_with
from fedrec.deploy.invitation import Invitation
from fedrec.deploy.request import NAME, Request
from fedrec.deploy.supervisor import Program
from fedrec.errors import ConfigError
from fedrec.files import whole_folder, write_bytes, write_text
from fedrec.privacy.secagg.roster import Member, Roster

CONFIG, ROSTER, CATALOGUE, NODES, RUNS = "platform.toml", "roster.txt", "catalogue.parquet", "nodes.json", "runs"
CA, CA_KEY, CERTIFICATE, KEY = "ca/ca.pem", "ca/ca.key", "tls/server.pem", "tls/server.key"
LOOPBACK, EVERYWHERE = "127.0.0.1", ("0.0.0.0", "::")
_HEADER = "# A platform of fedrec. Change it with an editor, and start `fedrec platform up` again.\n"
_COMMENTS = {
    "name": "of the federation",
    "address": "where tenants find it; the certificate in tls/ is made out to this host",
    "host": "where it listens: 127.0.0.1 for this machine only, 0.0.0.0 for all networks",
    "port": "the port on which it listens",
}


@dataclass(frozen=True)
class Settings:
    """What stands in platform.toml."""

    name: str
    address: str
    host: str = LOOPBACK
    port: int = 9093

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ConfigError(f"Expected name={self.name!r} to be of letters, digits, '.', '_' and '-'.")
        host, _, port = str(self.address).rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
            raise ConfigError(f"Expected address={self.address!r} to be HOST:PORT.")
        if type(self.port) is not int or not 0 < self.port < 1 << 16:
            raise ConfigError(f"Expected port={self.port!r} within 1..65535.")

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the server certificate is made out to: where tenants find it, and this machine's own programs."""
        public = self.address.rpartition(":")[0].strip("[]")
        own = (self.host,) if self.host not in EVERYWHERE else ()
        return tuple(dict.fromkeys((public, *own, "localhost", LOOPBACK, "::1")))

    def to_toml(self) -> str:
        """The file, with what each key means."""
        return _HEADER + "".join(
            f"\n# {comment}\n{key} = {json.dumps(getattr(self, key))}\n" for key, comment in _COMMENTS.items()
        )


@dataclass(frozen=True)
class Platform:
    """The folder of one platform. shown: told of Flower's commands."""

    folder: Path
    shown: Shown = lambda line: None

    def __post_init__(self) -> None:
        if not (self.folder / CONFIG).is_file():
            raise ConfigError(f"{self.folder} is no platform's folder; make one with `fedrec platform init`.")

    @property
    def settings(self) -> Settings:
        """What stands in platform.toml. Raises ConfigError if it is missing or wrong."""
        path = self.folder / CONFIG
        try:
            return Settings(**tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError) as error:
            raise ConfigError(f"{path}: {error}; known keys: {', '.join(_COMMENTS)}.") from error

    @property
    def flower(self) -> Flower:
        """Flower's commands, over this machine's own loopback."""
        flower = Flower(self.folder.resolve() / "flwr", self.shown)
        flower.connect(f"{self._local}:{self.settings.port}", self.folder.resolve() / CA)
        return flower

    @property
    def _local(self) -> str:
        """Where this machine's own programs reach the SuperLink; its gate takes calls from its own address, too."""
        host = self.settings.host
        return LOOPBACK if host in ("0.0.0.0", "localhost") else "[::1]" if host == "::" else host

    def superlink(self) -> Program:
        """The SuperLink with TLS, authenticated nodes and nothing installed at run time."""
        settings, folder = self.settings, self.folder.resolve()
        options = {
            "--ssl-certfile": CERTIFICATE,
            "--ssl-keyfile": KEY,
            "--ssl-ca-certfile": CA,
            "--database": "state.db",
        }
        files = [text for key, path in options.items() for text in (key, str(folder / path))]
        arguments = (
            *(sys.executable, "-m", "fedrec.deploy.platform.superlink", *files),
            *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
            *("--host", settings.host, "--port", str(settings.port)),
        )
        return Program("superlink", arguments, started_with(folder / "flwr"), str(folder / "logs" / "superlink.log"))

    def superlink_as_typed(self) -> tuple[str, ...]:
        """The same as a plain command of Flower's, without the gate."""
        return (executable("flower-superlink"), *self.superlink().arguments[3:])

    def roster(self) -> Roster | None:
        """The tenants' identities; None as long as there is no tenant."""
        path = self.folder / ROSTER
        return Roster.from_text(path.read_text(encoding="utf-8")) if path.exists() else None

    def nodes(self) -> dict[str, int]:
        """Tenant -> Flower's number of its node."""
        path = self.folder / NODES
        return {str(k): int(v) for k, v in json.loads(path.read_text()).items()} if path.exists() else {}

    def admit(self, request: Request) -> int:
        """Let a tenant in: its node key at the SuperLink, its identity in the roster. Its node id.

        Raises ConfigError if its name or identity is taken, or it has another version of fedrec.
        """
        self._check(request)
        known = self.roster()
        members = known.members if known else ()
        number = max((member.node for member in members), default=0) + 1
        roster = Roster((*members, Member(number, request.identity, request.name)))
        path = self.folder / "tenants" / f"{request.name}.toml"
        write_text(path.with_suffix(".pub"), request.node_key.decode("ascii"))
        node = self.flower.register(path.with_suffix(".pub"), request.name)
        write_text(self.folder / NODES, json.dumps(self.nodes() | {request.name: node}))
        write_text(self.folder / ROSTER, roster.to_text())
        write_text(path, request.to_toml())
        return node

    def dismiss(self, name: str) -> None:
        """Shut a tenant out: its node at the SuperLink, its identity from the roster. Raises ConfigError if unknown."""
        nodes, known = self.nodes(), self.roster()
        if name not in nodes or known is None:
            raise ConfigError(f"There is no tenant '{name}'; there are: {', '.join(nodes) or 'none'}.")
        self.flower.unregister(nodes.pop(name))
        left = tuple(member for member in known.members if member.name != name)
        if left:
            write_text(self.folder / ROSTER, Roster(left).to_text())
        else:
            (self.folder / ROSTER).unlink()
        write_text(self.folder / NODES, json.dumps(nodes))
        for kind in ("toml", "pub"):
            (self.folder / "tenants" / f"{name}.{kind}").unlink(missing_ok=True)

    def invitation(self) -> Invitation:
        """What the tenants need. Raises ConfigError as long as there is no tenant."""
        roster = self.roster()
        if roster is None:
            raise ConfigError("There is no tenant yet; let them in with `fedrec platform add-tenant`.")
        settings = self.settings
        ca, catalogue = (self.folder / CA).read_bytes(), (self.folder / CATALOGUE).read_bytes()
        return Invitation(settings.name, settings.address, ca, roster, catalogue)

    def _check(self, request: Request) -> None:
        if request.version != __version__:
            raise ConfigError(
                f"'{request.name}' has fedrec {request.version}, here is {__version__}; all parties need the same."
            )
        known = self.roster()
        if known is not None and request.name in {member.name for member in known.members}:
            raise ConfigError(f"There is a tenant '{request.name}' already; shut it out first, or take another name.")
        keys = {path.read_text(encoding="ascii").strip() for path in (self.folder / "tenants").glob("*.pub")}
        if request.node_key.decode("ascii").strip() in keys:
            raise ConfigError(f"The node key of '{request.name}' is another tenant's; have the request made anew.")
        if known is not None and request.identity in known.keys.values():
            raise ConfigError(f"The identity of '{request.name}' is in the roster under another name.")


def create_platform(folder: Path, settings: Settings, catalogue: Catalogue) -> Platform:
    """Write a platform's folder, whole or not at all. Raises ConfigError if there is something in it."""
    if folder.exists():
        raise ConfigError(f"{folder} exists; choose a new folder for the platform.")
    with whole_folder(folder) as new:
        for private in ("ca", "tls", "run"):
            (new / private).mkdir(mode=0o700)
        ca_key, ca = create_ca(settings.name)
        write_bytes(new / CA_KEY, ca_key, mode=0o600)
        write_bytes(new / CA, ca)
        write_text(new / CONFIG, settings.to_toml())
        write_catalogue_file(catalogue, new / CATALOGUE)
        certify(new, settings)
        write_bundle(new / "app")
        os.chmod(new, 0o700)
    return Platform(folder)


def certify(folder: Path, settings: Settings) -> None:
    """A new server certificate for the hosts in platform.toml, signed by the CA that tenants know."""
    ca_key, ca = (folder / CA_KEY).read_bytes(), (folder / CA).read_bytes()
    key, certificate = create_server_certificate(ca_key, ca, settings.hosts)
    write_bytes(folder / KEY, key, mode=0o600)
    write_bytes(folder / CERTIFICATE, certificate)
