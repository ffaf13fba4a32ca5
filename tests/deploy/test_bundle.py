"""The bundle names the installed fedrec; a tenant recognises it, and runs nothing of it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict
from flwr.cli.build import build_fab_from_disk

from fedrec import __version__
from fedrec.client.app import app as installed
from fedrec.deploy.bundle import client_app, server_app, version_of, write_bundle
from fedrec.deploy.tenant.clientapp import Recognised
from fedrec.errors import Refusal
from fedrec.messages import read_answer
from fedrec.server.app import app as installed_server
from fedrec.simulations.grid import InProcessGrid


def fab(folder: Path) -> bytes:
    return build_fab_from_disk(folder)


def with_file(content: bytes, name: str, text: str) -> bytes:
    """The bundle with one file more, or another one in its place."""
    old, buffer = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for one in old.namelist():
            if one != name:
                archive.writestr(one, old.read(one))
        archive.writestr(name, text)
    return buffer.getvalue()


def refusal_of(app) -> str:
    grid = InProcessGrid(app, {7: {}}, {})
    message = grid.create_message(RecordDict(), "train.contribute", 7, "1")
    with pytest.raises(Refusal) as declined:
        read_answer(app(message, Context(1, 7, {}, RecordDict(), {})).content)
    return declined.value.reason


def test_what_flower_builds_of_the_bundle_is_recognised(tmp_path):
    assert version_of(fab(write_bundle(tmp_path / "app"))) == __version__
    assert version_of(fab(write_bundle(tmp_path / "old", "0.0.9"))) == "0.0.9"


@pytest.mark.parametrize("name", ["fedrec_app/more.py", "fedrec_app/client.py", "fedrec_app/__init__.py"])
def test_a_bundle_with_other_code_is_not_recognised(tmp_path, name):
    assert version_of(with_file(fab(write_bundle(tmp_path / "app")), name, "import os\n")) is None


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04" + bytes(60)])
def test_what_is_no_bundle_is_not_recognised(content):
    assert version_of(content) is None


def test_a_bundle_that_unpacks_to_more_than_it_may_is_not_read(tmp_path):
    content = fab(write_bundle(tmp_path / "app"))
    assert version_of(with_file(content, "big.txt", "0" * (1 << 21))) is None


def test_only_the_installed_version_is_answered_for(tmp_path):
    assert client_app(__version__) is installed
    assert refusal_of(client_app("0.0.9")) == "wrong-version"
    assert refusal_of(client_app(None)) == "unknown-app"
    assert server_app(__version__) is installed_server
    with pytest.raises(Refusal, match="wrong-version"):
        server_app("0.0.9")


def test_a_tenant_answers_with_its_installed_app_whatever_it_is_sent(tmp_path):
    content = fab(write_bundle(tmp_path / "app"))
    recognised = Recognised()
    recognised.install(content, skip_prompt=True)
    assert recognised.loader(default_app_ref="")("fedrec/fedrec-app", __version__, "hash").app is installed
    recognised.install(with_file(content, "fedrec_app/client.py", "raise SystemExit\n"), skip_prompt=True)
    assert refusal_of(recognised.loader()("fedrec/fedrec-app", __version__, "hash")) == "unknown-app"
    assert refusal_of(Recognised().load()) == "unknown-app"


def test_flower_still_has_what_a_tenant_replaces():
    from flwr.supernode.runtime import run_clientapp

    from fedrec.deploy.tenant.clientapp import REPLACED

    used = set(run_clientapp.run_clientapp.__code__.co_names)
    assert set(REPLACED) <= used
