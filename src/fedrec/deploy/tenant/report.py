"""What a tenant can see, show and take with it of its part in a federation."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fedrec.client.guard import FOLDER as PRIVACY
from fedrec.client.guard import POLICY, PrivacyPolicy, guard_of
from fedrec.client.incoming import next_rows
from fedrec.client.ledger import HEAD, LEDGER
from fedrec.client.party import FOLDER as MASKS
from fedrec.client.party import POLICY as MASKS_POLICY
from fedrec.client.party import ROSTER, read_policy
from fedrec.client.snapshots import waiting
from fedrec.client.store import CHOICE, RESULTS
from fedrec.deploy.certificates import valid_until
from fedrec.deploy.invitation import CA
from fedrec.deploy.logs import LOG
from fedrec.deploy.supervisor import is_up
from fedrec.deploy.tenant.folder import PLATFORM, Tenant
from fedrec.deploy.tenant.heard import Heard
from fedrec.deploy.tenant.source import source_of
from fedrec.errors import ConfigError
from fedrec.files import whole_folder, write_bytes, write_text
from fedrec.privacy.accountant import epsilon_of
from fedrec.privacy.mechanisms import Mechanism

NO_NOISE = "none: sums leave without noise"


def status_of(tenant: Tenant) -> dict[str, str]:
    """What to know of a tenant, in words. Raises Refusal if its ledger is damaged."""
    dataset, roster, guard = tenant.store.dataset(), tenant.pinned(), guard_of(tenant.store)
    rows = {
        "tenant": tenant.name,
        "up": "yes" if is_up(tenant.folder.resolve()) else "no",
        "platform": tenant.address or "none joined",
        "users, events": f"{dataset.num_users:,}, {dataset.num_events:,}",
    }
    if waiting(tenant.folder.resolve()) is not None:
        later = next_rows(tenant.store)
        rows["that wait for the next run"] = f"{later.num_users:,}, {later.num_events:,}"
    source = source_of(tenant.folder)
    if source is not None:
        rows["rows come from"] = source.place.name
    if roster is not None:
        rows["with"] = ", ".join(member.name for member in roster.members if member.name != tenant.name)
        rows["roster digest"] = roster.digest.hex()
        rows["certificate of the platform's CA until"] = str(valid_until(_ca(tenant)).date())
    rows["privacy budget"] = NO_NOISE
    if guard is not None:
        spent = [one for entry in guard.ledger.entries() for one in entry.mechanisms]
        epsilon = epsilon_of(spent, guard.policy.delta)
        rows["privacy budget"] = f"epsilon {epsilon:.4g} of {guard.policy.epsilon:g} at delta {guard.policy.delta:g}"
        rows["releases"] = str(len(guard.ledger.entries()))
    rows |= _heard(Heard(tenant.folder / LOG))
    choice = tenant.store.choice()
    rows["served by"] = f"{choice[0]}, arm {choice[1]}" if choice else "nothing chosen yet"
    return rows


def _heard(heard: Heard) -> dict[str, str]:
    """What the tenant's log says of its answers, as far back as it goes."""
    heard.listen()
    if not heard.answers:
        return {}
    declined = ", ".join(f"{reason} ({times})" for (reason,), times in heard.refusals.most_common())
    return {"messages answered": f"{heard.answers:,}, of them declined: {declined or 'none'}"}


def policies_of(tenant: Tenant) -> dict[str, str]:
    """What the tenant insists on. Raises ConfigError if a policy file is missing, or has an unknown key or value."""
    masks = dataclasses.asdict(read_policy(tenant.folder / MASKS / MASKS_POLICY))
    rows = {f"{MASKS}.{key}": str(value) for key, value in masks.items()}
    guard = guard_of(tenant.store)
    if guard is None:
        return {**rows, PRIVACY: NO_NOISE}
    return rows | {f"{PRIVACY}.{field.name}": str(getattr(guard.policy, field.name)) for field in _fields()}


def export(tenant: Tenant, out: Path) -> list[Path]:
    """Write a tenant's data into a new folder, and return the files: Parquet, CSV, JSON and TOML, no keys.

    Raises ConfigError if there is something in the folder.
    """
    if out.exists():
        raise ConfigError(f"{out} exists; choose a new folder.")
    folder = tenant.folder
    with whole_folder(out) as new:
        _write_rows(tenant, new / "events.parquet")
        for name in (RESULTS, CHOICE, f"{MASKS}/{MASKS_POLICY}", f"{MASKS}/{ROSTER}", f"{PRIVACY}/{POLICY}"):
            if (folder / name).exists():
                write_bytes(new / name.replace("/", "-"), (folder / name).read_bytes())
        if guard_of(tenant.store) is not None:
            for name in (LEDGER, HEAD):
                shutil.copyfile(folder / PRIVACY / name, new / name)
            write_text(new / "ledger.csv", _ledger_table(tenant))
    return sorted(out.iterdir())


def _write_rows(tenant: Tenant, path: Path) -> None:
    events = tenant.store.dataset().interactions
    table = pa.table(
        {
            "user_id": [events.user_ids[user] for user in events.users],
            "item_id": [events.item_ids[item] for item in events.items],
            "timestamp": events.times,
            "weight": events.weights,
        }
    )
    pq.write_table(table, path)


def _ledger_table(tenant: Tenant) -> str:
    """Every release, and what all up to it cost one user."""
    guard = guard_of(tenant.store)
    if guard is None:
        raise ConfigError(f"'{tenant.name}' has no ledger.")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "at", "what", "epsilon_so_far", "delta", "mechanisms"])
    spent: list[Mechanism] = []
    for number, entry in enumerate(guard.ledger.entries(), 1):
        spent += entry.mechanisms
        epsilon = epsilon_of(spent, guard.policy.delta)
        kinds = json.dumps([type(one).__name__ for one in entry.mechanisms])
        writer.writerow([number, entry.at, entry.what, f"{epsilon:.6g}", guard.policy.delta, kinds])
    return text.getvalue()


def _fields() -> tuple[dataclasses.Field[object], ...]:
    return dataclasses.fields(PrivacyPolicy)


def _ca(tenant: Tenant) -> bytes:
    return (tenant.folder / PLATFORM / CA).read_bytes()
