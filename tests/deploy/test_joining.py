"""From two strangers to a federation: requests, the roster, the invitation, and what is refused on the way."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from fedrec.client.guard import guard_of
from fedrec.client.party import open_party
from fedrec.deploy.invitation import FILES, Invitation
from fedrec.deploy.platform.folder import Platform, Settings
from fedrec.deploy.request import Request
from fedrec.deploy.supervisor import _held
from fedrec.deploy.tenant.folder import Tenant
from fedrec.errors import ConfigError
from fedrec.privacy.secagg.keys import Identity
from fedrec.privacy.secagg.roster import Member, Roster
from tests.deploy.market import HISTORIES, fedrec, new_tenant, refused, write_catalogue, write_events


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    catalogue = write_catalogue(tmp_path)
    fedrec("platform", "init", tmp_path / "market", "--catalogue", catalogue, "--address", "market.example:9093")
    return Platform(tmp_path / "market")


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    return Tenant(new_tenant(tmp_path, 0))


def invitation_of(platform: Platform, *tenants: Tenant) -> Invitation:
    """What the platform would send after it let `tenants` in, which needs a SuperLink that runs."""
    requests = [Request.read(tenant.folder / "request.toml") for tenant in tenants]
    members = [Member(number, one.identity, one.name) for number, one in enumerate(requests, 1)]
    (platform.folder / "roster.txt").write_text(Roster(tuple(members)).to_text())
    return platform.invitation()


def test_secrets_are_readable_by_their_owner_only(platform, tenant):
    secrets = [platform.folder / "ca/ca.key", platform.folder / "tls/server.key"]
    secrets += [tenant.folder / "node/node.key", tenant.folder / "secagg/identity.key"]
    assert [oct(path.stat().st_mode & 0o777) for path in secrets] == ["0o600"] * 4
    assert [oct(one.folder.stat().st_mode & 0o777) for one in (platform, tenant)] == ["0o700"] * 2


def test_an_invitation_holds_no_secret(platform, tenant, tmp_path):
    invitation_of(platform, tenant).write(tmp_path / "invitation.zip")
    content = b"".join(Invitation.read(tmp_path / "invitation.zip")._files().values())
    secrets = (platform.folder / "ca/ca.key", platform.folder / "tls/server.key")
    assert not [path for path in secrets if path.read_bytes().splitlines()[1] in content]


def test_a_tenant_joins_with_the_fingerprint_however_it_is_written(platform, tenant, tmp_path):
    invitation = invitation_of(platform, tenant)
    invitation.write(tmp_path / "invitation.zip")
    fedrec(
        "tenant", "join", tenant.folder, tmp_path / "invitation.zip", "--fingerprint", invitation.fingerprint.upper()
    )
    assert tenant.address == "market.example:9093"
    assert tenant.pinned() == invitation.roster
    assert tenant.store.dataset().catalogue.item_ids == tuple("abcdef")
    told = fedrec("tenant", "status", tenant.folder)
    assert "market.example:9093" in told
    assert invitation.roster.digest.hex()[:16] in told


def test_rows_that_wait_when_a_tenant_joins_come_with_it(platform, tenant, tmp_path):
    """The tenant knows items a to e; f, which the platform has, is between none of them."""
    with _held(tenant.folder):
        more = write_events(tmp_path, {"cat@example": "eda"}, "more")
        assert "3 new events, once" in fedrec("tenant", "ingest", tenant.folder, more)
    invitation = invitation_of(platform, tenant)
    invitation.write(tmp_path / "invitation.zip")
    tenant.join(tmp_path / "invitation.zip", invitation.fingerprint)
    data = tenant.store.dataset()
    assert data.interactions.user_ids == ("ann@example", "bob@example", "cat@example")
    assert [data.catalogue.item_ids[item] for item in data.interactions.items[-3:]] == ["e", "d", "a"]
    assert [path.name for path in (tenant.folder / "incoming").iterdir()] == ["runs.json"]


@pytest.mark.parametrize("change", ["address", "ca", "roster", "catalogue", "platform"])
def test_an_invitation_with_one_thing_changed_has_another_fingerprint(platform, tenant, change, tmp_path):
    genuine = invitation_of(platform, tenant)
    other = Identity.generate().public
    values = {
        "address": "evil.example:9093",
        "ca": genuine.ca + b"\n",
        "roster": Roster((*genuine.roster.members, Member(2, other, "puppet"))),
        "catalogue": genuine.catalogue + b"\0",
        "platform": "other",
    }
    forged = dataclasses.replace(genuine, **{change: values[change]})
    assert not forged.is_pinned_by(genuine.fingerprint)
    forged.write(tmp_path / "forged.zip")
    with pytest.raises(ConfigError, match="Do not join"):
        tenant.join(tmp_path / "forged.zip", genuine.fingerprint)
    assert tenant.address is None
    assert tenant.pinned() is None


def test_an_invitation_without_the_tenant_in_its_roster_is_refused(platform, tenant, tmp_path):
    stranger = Tenant(new_tenant(tmp_path, 1))
    invitation = invitation_of(platform, stranger)
    invitation.write(tmp_path / "invitation.zip")
    with pytest.raises(ConfigError, match="does not hold 'tenant-0'"):
        tenant.join(tmp_path / "invitation.zip", invitation.fingerprint)


def test_another_version_of_fedrec_is_refused_on_both_sides(platform, tenant, tmp_path):
    older = dataclasses.replace(invitation_of(platform, tenant), version="0.0.9")
    older.write(tmp_path / "older.zip")
    with pytest.raises(ConfigError, match=r"fedrec 0\.0\.9"):
        tenant.join(tmp_path / "older.zip", older.fingerprint)
    (platform.folder / "roster.txt").unlink()
    request = Request.read(tenant.folder / "request.toml")
    with pytest.raises(ConfigError, match="not signed"):
        dataclasses.replace(request, version="0.0.9")


def test_a_node_key_beside_anothers_identity_is_refused(tenant, tmp_path):
    stranger = Tenant(new_tenant(tmp_path, 1))
    mine, theirs = (Request.read(one.folder / "request.toml") for one in (tenant, stranger))
    with pytest.raises(ConfigError, match="not signed"):
        dataclasses.replace(mine, node_key=theirs.node_key)
    with pytest.raises(ConfigError, match="not signed"):
        dataclasses.replace(mine, name="tenant-1")


@pytest.mark.parametrize("content", ["", "name = 3", "name = 'x'\nnode_key = 1\nidentity='zz'", "\0"])
def test_a_damaged_request_or_invitation_is_named(content, tmp_path):
    (tmp_path / "file").write_text(content)
    with pytest.raises(ConfigError, match="is not a request"):
        Request.read(tmp_path / "file")
    with pytest.raises(ConfigError, match="is not an invitation"):
        Invitation.read(tmp_path / "file")


def test_an_invitation_whose_compressed_bytes_are_damaged_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "file", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in FILES:
            archive.writestr(name, bytes(range(256)) * 8)
    content = bytearray((tmp_path / "file").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigError, match="is not an invitation"):
        Invitation.read(tmp_path / "file")


def test_nobody_takes_a_name_or_an_identity_twice(platform, tenant):
    invitation_of(platform, tenant)
    with pytest.raises(ConfigError, match="already"):
        platform.admit(Request.read(tenant.folder / "request.toml"))


def test_no_tenant_is_without_a_privacy_budget_by_mistake(tmp_path):
    events = write_events(tmp_path, HISTORIES[0], "events")
    told = refused("tenant", "init", tmp_path / "north", "--data", events)
    assert "--epsilon" in told
    assert not (tmp_path / "north").exists()
    fedrec("tenant", "init", tmp_path / "north", "--data", events, "--epsilon", "8")
    guard = guard_of(Tenant(tmp_path / "north").store)
    assert (guard.policy.epsilon, guard.policy.evaluation) == (8.0, "none")
    assert "privacy.epsilon" in fedrec("tenant", "policy", tmp_path / "north")


def test_a_policy_that_was_spoilt_with_an_editor_is_named(tenant):
    (tenant.folder / "secagg/policy.toml").write_text("min_cohort = 1\n")
    assert "min_cohort=1" in refused("tenant", "policy", tenant.folder)


def test_a_tenant_that_left_answers_nobody(platform, tenant, tmp_path):
    invitation = invitation_of(platform, tenant)
    invitation.write(tmp_path / "invitation.zip")
    tenant.join(tmp_path / "invitation.zip", invitation.fingerprint)
    context = Context(1, 1, {"store": str(tenant.folder)}, RecordDict(), {})
    assert open_party(context, bytes(16)).node == 1
    fedrec("tenant", "leave", tenant.folder)
    assert tenant.address is None
    with pytest.raises(ConfigError):
        open_party(context, bytes(16))
    assert "joined no platform" in refused("tenant", "up", tenant.folder)


@pytest.mark.parametrize(
    "changed", [{"name": "a b"}, {"address": "here"}, {"address": "here:0"}, {"port": 70_000}, {"port": "9093"}]
)
def test_settings_out_of_range_are_refused(changed):
    with pytest.raises(ConfigError):
        Settings(**{"name": "market", "address": "here:1"} | changed)


def test_a_key_that_platform_toml_does_not_know_is_named(platform):
    path = platform.folder / "platform.toml"
    path.write_text(path.read_text() + 'adress = "typo"\n')
    with pytest.raises(ConfigError, match="adress"):
        _ = platform.settings


def test_a_certificate_names_the_platforms_host_and_this_machine(platform):
    assert set(platform.settings.hosts) == {"market.example", "localhost", "127.0.0.1", "::1"}


def test_there_is_one_platform_and_one_tenant_in_a_folder(platform, tenant, tmp_path):
    catalogue = write_catalogue(tmp_path)
    assert "exists" in refused("platform", "init", platform.folder, "--catalogue", catalogue)
    events = write_events(tmp_path, HISTORIES[0], "again")
    assert "exists" in refused("tenant", "init", tenant.folder, "--data", events, "--no-noise")
    assert "no platform's folder" in refused("platform", "invite", tenant.folder, tmp_path / "x")
    assert "no tenant's folder" in refused("tenant", "status", platform.folder)


def test_joining_again_keeps_what_was_computed_unless_the_items_moved(platform, tenant, tmp_path):
    def join(invitation: Invitation) -> None:
        invitation.write(tmp_path / "invitation.zip")
        tenant.join(tmp_path / "invitation.zip", invitation.fingerprint)

    join(invitation_of(platform, tenant))
    tenant.store.read_test()
    join(invitation_of(platform, tenant, Tenant(new_tenant(tmp_path, 1))))
    assert (tenant.folder / "test-read").exists()
    fedrec("platform", "init", tmp_path / "wider", "--catalogue", write_catalogue(tmp_path, "fedcbaxyz"))
    join(invitation_of(Platform(tmp_path / "wider"), tenant))
    assert not (tenant.folder / "test-read").exists()
    dataset = tenant.store.dataset()
    assert "".join(dataset.catalogue.item_ids[item] for item in dataset.interactions.items) == "abcdbcde"


def test_nobody_joins_while_the_tenant_is_up(platform, tenant, tmp_path):
    invitation = invitation_of(platform, tenant)
    invitation.write(tmp_path / "invitation.zip")
    with _held(tenant.folder), pytest.raises(ConfigError, match="is up"):
        tenant.join(tmp_path / "invitation.zip", invitation.fingerprint)
    assert tenant.address is None


def test_rows_on_items_that_the_platform_does_not_have_are_refused_when_joining(platform, tenant, tmp_path):
    fedrec("platform", "init", tmp_path / "small", "--catalogue", write_catalogue(tmp_path, "abc"))
    invitation = invitation_of(Platform(tmp_path / "small"), tenant)
    invitation.write(tmp_path / "invitation.zip")
    arguments = (tenant.folder, tmp_path / "invitation.zip", "--fingerprint", invitation.fingerprint)
    assert "2 items of the rows are not in the platform's catalogue" in refused("tenant", "join", *arguments)
    assert tenant.address is None
    fedrec("tenant", "join", *arguments, "--drop-unknown")
    assert tenant.store.dataset().num_events == 5
