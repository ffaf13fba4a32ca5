"""A tenant's own folder: its store (see client/store.py), and beside that what connects it to a platform.

tenant.toml          where the platform is; for people to read
source.toml          the tenant's own database, if its rows come from there; for people to read
rows/, secagg/, ...  the store
incoming/            rows that wait for the next run
forgotten/           whom the tenant was told to forget; forgotten/key is SECRET
node/                the SuperNode's key; node.key is SECRET
platform/            the invitation as it was taken, its CA certificate
request.toml         what the platform's operator is sent; nothing in it is secret
flwr/, logs/, run/   what Flower keeps, what was logged, what runs

Whatever else is in the folder counts as computed from the rows, and goes when these change (see client/incoming.py).
"""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from fedrec import __version__
from fedrec.client.guard import PrivacyPolicy, create_guard
from fedrec.client.incoming import next_rows, note_runs
from fedrec.client.party import FOLDER as MASKS
from fedrec.client.party import IDENTITY, create_identity, pin_roster, write_policy
from fedrec.client.party import ROSTER as PINNED
from fedrec.client.snapshots import ROWS, waiting
from fedrec.client.store import TenantStore, create_store
from fedrec.data import Catalogue, Dataset
from fedrec.data.catalogue_file import read_catalogue_file
from fedrec.deploy.certificates import create_node_key
from fedrec.deploy.invitation import CA, CATALOGUE, Invitation
from fedrec.deploy.request import NAME, Request
from fedrec.deploy.tenant.rows import check_down, exchange_rows, over_catalogue
from fedrec.errors import ConfigError
from fedrec.files import whole_folder, write_bytes, write_text
from fedrec.privacy.secagg.keys import Identity
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Roster

CONFIG, REQUEST, NODE_KEY, PLATFORM = "tenant.toml", "request.toml", "node/node.key", "platform"
INVITATION = "invitation.zip"


@dataclass(frozen=True)
class Tenant:
    """The folder of one tenant."""

    folder: Path

    def __post_init__(self) -> None:
        if not (self.folder / REQUEST).is_file():
            raise ConfigError(f"{self.folder} is no tenant's folder; make one with `fedrec tenant init`.")

    @property
    def name(self) -> str:
        """The tenant's name: that of its folder."""
        return self.store.name

    @property
    def store(self) -> TenantStore:
        """Its rows and results."""
        return TenantStore(self.folder.resolve())

    @property
    def address(self) -> str | None:
        """Where the platform is; None before the tenant has joined one."""
        path = self.folder / CONFIG
        if not path.exists():
            return None
        try:
            return str(tomllib.loads(path.read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{path}: {error!r}; join again.") from error

    def pinned(self) -> Roster | None:
        """The roster that the tenant trusts; None before it has joined a platform."""
        path = self.folder / MASKS / PINNED
        return Roster.from_text(path.read_text(encoding="utf-8")) if path.exists() else None

    def join(self, path: Path, fingerprint: str, drop_unknown: bool = False) -> Invitation:
        """Trust an invitation: its CA, its roster, its catalogue.

        Everything is checked before anything is written. drop_unknown: leave out rows on items that are not in the
        catalogue, instead of refusing. Raises ConfigError if the invitation has another fingerprint or version, or does
        not hold the tenant's own identity, or if the tenant is up; DataError for unknown items.
        """
        invitation = Invitation.read(path)
        self._check(invitation, fingerprint)
        check_down(self.store)
        old, catalogue = next_rows(self.store), _catalogue(invitation)
        rows = over_catalogue(old, catalogue, drop_unknown)
        if rows.catalogue.item_ids != old.catalogue.item_ids or waiting(self.folder) is not None:
            exchange_rows(self.store, rows)  # what was computed goes by the items' old positions
        else:
            rows.write(self.store.folder / ROWS, overwrite=True)
        folder = self.folder / PLATFORM
        folder.mkdir(exist_ok=True)
        invitation.write(folder / INVITATION)
        write_bytes(folder / CA, invitation.ca)
        pin_roster(self.folder, invitation.roster)
        values = {"platform": invitation.platform, "address": invitation.address}
        write_text(self.folder / CONFIG, "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
        return invitation

    def leave(self) -> None:
        """Forget the platform: its address, CA and roster. Keys, rows and the ledger stay."""
        (self.folder / CONFIG).unlink(missing_ok=True)
        for name in (CA, INVITATION):
            (self.folder / PLATFORM / name).unlink(missing_ok=True)
        (self.folder / MASKS / PINNED).unlink(missing_ok=True)

    def _check(self, invitation: Invitation, fingerprint: str) -> None:
        if not invitation.is_pinned_by(fingerprint):
            raise ConfigError(
                f"The invitation has the fingerprint {invitation.fingerprint}, not the one given. Do not join: ask the "
                "platform and other tenants, on another way, which one is right."
            )
        if invitation.version != __version__:
            raise ConfigError(f"The platform has fedrec {invitation.version}, here is {__version__}; install the same.")
        request = Request.read(self.folder / REQUEST)
        if request.identity not in invitation.roster.keys.values():
            raise ConfigError(
                f"The invitation's roster does not hold '{self.name}'; send {REQUEST} to the platform, and take the "
                "invitation that is written after that."
            )


def _catalogue(invitation: Invitation) -> Catalogue:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / CATALOGUE
        path.write_bytes(invitation.catalogue)
        return read_catalogue_file(path)


def create_tenant(folder: Path, rows: Dataset, privacy: PrivacyPolicy | None, masks: Policy) -> Tenant:
    """Write a tenant's folder, whole or not at all: rows, keys, policies, and its request.

    privacy: None lets sums leave without noise. Raises ConfigError if there is something in the folder.
    """
    if folder.exists():
        raise ConfigError(f"{folder} exists; choose a new folder for the tenant.")
    if not NAME.fullmatch(folder.name):
        raise ConfigError(f"Expected a folder named by letters, digits, '.', '_' and '-', got {folder.name!r}.")
    with whole_folder(folder) as new:
        os.chmod(new, 0o700)
        store = create_store(new, rows.named(folder.name))
        note_runs(store)
        create_identity(store.folder)
        write_policy(store.folder, masks)
        if privacy is not None:
            create_guard(store.folder, privacy)
        private, public = create_node_key()
        (new / NODE_KEY).parent.mkdir(mode=0o700)
        write_bytes(new / NODE_KEY, private, mode=0o600)
        identity = Identity.from_secret(bytes.fromhex((new / MASKS / IDENTITY).read_text().strip()))
        write_text(new / REQUEST, Request.signed(folder.name, public, identity).to_toml())
    return Tenant(folder)
