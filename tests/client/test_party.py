"""A tenant's identity, roster and policy: its own files, which nobody else writes."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time

import pytest
from flwr.app import Context, RecordDict

from fedrec.client.party import create_identity, open_party, open_state, pin_roster, read_policy
from fedrec.client.secure import FileState
from fedrec.client.store import create_store, open_store
from fedrec.errors import ConfigError
from fedrec.privacy.secagg.policy import Policy
from fedrec.privacy.secagg.roster import Member, Roster
from tests.federation import LEFT, rows_of


def context_of(**node_config: str) -> Context:
    return Context(1, 100, dict(node_config), RecordDict(), {})


@pytest.fixture
def store(tmp_path):
    return create_store(tmp_path / "left", rows_of(LEFT))


def roster_of(key: bytes) -> Roster:
    return Roster((Member(4, key, "left"), Member(9, bytes(32), "other")))


def test_a_tenant_is_the_member_whose_key_it_holds(store):
    pin_roster(store.folder, roster_of(create_identity(store.folder)))
    party = open_party(context_of(store=str(store.folder)), bytes(16))
    assert party is not None
    assert party.node == 4
    assert party.policy == Policy()


def test_the_private_key_is_readable_by_its_owner_only(store):
    create_identity(store.folder)
    mode = (store.folder / "secagg" / "identity.key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE((store.folder / "secagg").stat().st_mode) == 0o700


def test_an_identity_is_never_replaced(store):
    create_identity(store.folder)
    with pytest.raises(ConfigError, match="pinned by everyone again"):
        create_identity(store.folder)


def test_without_a_folder_the_tenant_is_no_party(store):
    assert open_party(context_of(store=str(store.folder)), bytes(16)) is None


def test_a_roster_without_the_tenants_own_key_is_refused(store):
    create_identity(store.folder)
    pin_roster(store.folder, roster_of(bytes([1]) * 32))
    with pytest.raises(ConfigError, match="does not hold this tenant's own key"):
        open_party(context_of(store=str(store.folder)), bytes(16))


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31])
def test_a_damaged_key_is_refused_without_showing_it(store, text):
    pin_roster(store.folder, roster_of(create_identity(store.folder)))
    (store.folder / "secagg" / "identity.key").write_text(text)
    with pytest.raises(ConfigError, match="is not an identity key") as caught:
        open_party(context_of(store=str(store.folder)), bytes(16))
    assert not text or text not in str(caught.value)


def test_a_policy_is_read_from_the_tenants_file(store):
    pin_roster(store.folder, roster_of(create_identity(store.folder)), Policy(min_cohort=7, min_threshold=0.75))
    assert read_policy(store.folder / "secagg" / "policy.toml") == Policy(min_cohort=7, min_threshold=0.75)


@pytest.mark.parametrize(
    "text",
    [
        "min_cohort = 1",
        "min_cohorts = 5",
        "min_cohort =",
        "min_cohort = 2.5",
        "key_lifetime = nan",
        "x = " + "[" * 5000,
    ],
)
def test_a_wrong_policy_is_refused(tmp_path, text):
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(ConfigError):
        read_policy(tmp_path / "policy.toml")


def test_a_node_without_a_store_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="--node-config"):
        open_store(context_of())
    with pytest.raises(ConfigError, match="No tenant rows"):
        open_store(context_of(store=str(tmp_path)))


def test_numbered_nodes_get_their_stores_in_alphabetical_order(tmp_path):
    for name in ("b", "a"):
        create_store(tmp_path / name, rows_of(LEFT, name))
    context = Context(1, 7, {"partition-id": 1}, RecordDict(), {"stores": str(tmp_path)})
    assert open_store(context).name == "b"


def test_rows_that_were_made_anew_are_read_anew(tmp_path):
    first = create_store(tmp_path / "t", rows_of(LEFT))
    assert first.dataset().num_users == 3
    shutil.rmtree(tmp_path / "t")
    assert create_store(tmp_path / "t", rows_of({"zoe": "abc"})).dataset().num_users == 1


def test_secrets_of_runs_long_past_are_removed(store):
    create_identity(store.folder)
    for number in range(20):
        path = store.folder / "secagg" / f"run-{number:02x}.state"
        path.write_bytes(b"secret")
        os.utime(path, (number, number))
    assert open_state(context_of(store=str(store.folder)), bytes([19])).read() == b"secret"
    left = {path.name for path in (store.folder / "secagg").glob("run-*.state")}
    assert left == {f"run-{number:02x}.state" for number in range(4, 20)}


SECOND = """
import sys
from pathlib import Path
from fedrec.client.secure import FileState
state = FileState(Path(sys.argv[1]))
print("begun", flush=True)
with state.alone():
    print("found", state.read().decode())
"""


def test_rounds_in_flight_are_read_and_written_by_one_at_a_time(tmp_path):
    """Two processes that answer one step from the same state would send two vectors under the same masks."""
    path = tmp_path / "run-00.state"
    with FileState(path).alone():
        second = subprocess.Popen([sys.executable, "-c", SECOND, str(path)], stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        assert second.stdout.readline() == "begun\n"
        time.sleep(0.2)  # it would fail now, with nothing to read
        FileState(path).write(b"first")
    assert second.communicate(timeout=60)[0] == "found first\n"
