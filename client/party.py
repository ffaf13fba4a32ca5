"""Who a tenant is in secure sums: its identity key, its copy of the roster, its policy, all in its own folder.

    <store>/secagg/identity.key   Ed25519 private key, 64 hexadecimal digits, readable by its owner only. SECRET
    <store>/secagg/roster.txt     who else may take part (see privacy/secagg/roster.py); compare its digest by phone
    <store>/secagg/policy.toml    what the tenant insists on (see privacy/secagg/policy.py); missing keys: the defaults.
                                  Without the file nothing is answered: it may have insisted on more
    <store>/secagg/run-*.state    rounds in flight. SECRET

A tenant that has this folder answers with masked vectors only. The server can read or write none of it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

from flwr.app import Context

from fedrec.client.required import check_not_required, require
from fedrec.client.secure import FileState
from fedrec.client.store import open_store
from fedrec.errors import ConfigError
from fedrec.files import write_bytes, write_text
from fedrec.privacy.secagg.keys import Identity
from fedrec.privacy.secagg.party import Party
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Roster

FOLDER, IDENTITY, ROSTER, POLICY = "secagg", "identity.key", "roster.txt", "policy.toml"
KEPT_RUNS = 16
"""Whose rounds in flight are kept. A tenant that has lost a run's state begins it anew, with other masks."""


def create_identity(store: Path) -> bytes:
    """Make the tenant's identity key and return its public half, for the roster. Raises ConfigError if it has one."""
    path = store / FOLDER / IDENTITY
    if path.exists():
        raise ConfigError(f"{path} exists; a new identity would have to be pinned by everyone again.")
    identity = Identity.generate()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    require(store, "masks")
    if not (path.parent / POLICY).exists():
        write_policy(store, Policy())
    write_bytes(path, identity.secret().hex().encode() + b"\n", mode=0o600)
    return identity.public


def pin_roster(store: Path, roster: Roster, policy: Policy | None = None) -> None:
    """Keep the tenant's own copy of the roster, and its policy if one is given."""
    write_text(store / FOLDER / ROSTER, roster.to_text())
    if policy is not None:
        write_policy(store, policy)


def write_policy(store: Path, policy: Policy) -> None:
    """Replace what the tenant insists on in secure sums."""
    values = dataclasses.asdict(policy)
    write_text(store / FOLDER / POLICY, "".join(f"{key} = {value}\n" for key, value in values.items()))


def open_party(context: Context, run: bytes) -> Party | None:
    """The tenant as a party of a run; None if it never had a `secagg` folder. Raises ConfigError if one is damaged,
    Refusal if it is gone."""
    folder = open_store(context).folder / FOLDER
    if not folder.exists():
        check_not_required(folder.parent, "masks", FOLDER)
        return None
    require(folder.parent, "masks")
    identity = _identity(folder / IDENTITY)
    roster = Roster.from_text(_text(folder / ROSTER))
    nodes = [node for node, key in roster.keys.items() if key == identity.public]
    if not nodes:
        raise ConfigError(
            f"{folder / ROSTER} does not hold this tenant's own key; pin the roster that it was put into."
        )
    return Party(identity, nodes[0], roster, read_policy(folder / POLICY), run)


def open_state(context: Context, run: bytes) -> FileState:
    """The file of the tenant's rounds in flight. Those of runs long past, which hold secrets, are removed."""
    folder = open_store(context).folder / FOLDER
    for path in sorted(folder.glob("run-*.state"), key=_written)[:-KEPT_RUNS]:
        path.unlink(missing_ok=True)
    return FileState(folder / f"run-{run.hex()}.state")


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def read_policy(path: Path) -> Policy:
    """The policy in a TOML file. Raises ConfigError without one, and for an unknown key or value."""
    if not path.exists():
        raise ConfigError(f"{path} is gone, and with it what the tenant insists on; restore it, or write it anew.")
    try:
        values = tomllib.loads(_text(path))
        return Policy(**values)
    except (tomllib.TOMLDecodeError, TypeError, RecursionError) as error:
        known = ", ".join(field.name for field in dataclasses.fields(Policy))
        raise ConfigError(f"{path} is not a policy: {error}; known keys: {known}.") from error


def _identity(path: Path) -> Identity:
    try:
        return Identity.from_secret(bytes.fromhex(_text(path).strip()))
    except ValueError as error:
        raise ConfigError(
            f"{path} is not an identity key of 64 hexadecimal digits; restore it from a backup."
        ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read {path}: {error}.") from error
