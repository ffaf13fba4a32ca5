"""The Flower app bundle: two lines that name the installed fedrec, and the version that they ask for.

A bundle travels from the platform to each tenant, so it holds nothing worth running. A tenant that is started by
`fedrec tenant up` does not run it at all: it recognises the bundle and answers with the code that it has installed (see
tenant/clientapp.py). One whose SuperNode was started by hand runs the two lines, which refuse any other version.
"""

from __future__ import annotations

import io
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from fedrec import __version__
from fedrec.deploy import logs
from fedrec.deploy.explained import Explained
from fedrec.errors import Refusal
from fedrec.files import DAMAGED_ARCHIVE, write_text
from fedrec.messages import refusal

NAME, PACKAGE = "fedrec-app", "fedrec_app"
RUN_KEYS = ("config", "catalogue", "roster", "out")
MAX_BYTES = 1 << 20
WRONG_VERSION, UNKNOWN_APP = "wrong-version", "unknown-app"

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "{version}"
description = "{description}"
license = {{ file = "LICENSE" }}
requires-python = ">=3.11"
dependencies = ["flwr>=1.41,<1.43"]

[tool.flwr.app]
publisher = "fedrec"
fab-format-version = 1
flwr-version-target = "1.41.0"
fab-include = ["{package}/*.py", "LICENSE"]

[tool.flwr.app.components]
serverapp = "{package}.server:app"
clientapp = "{package}.client:app"

[tool.flwr.app.config]
{keys}
"""
_SIDE = '''\
"""The {side} of the installed fedrec, if it is version {version}."""

from fedrec.deploy.bundle import {side}_app

app = {side}_app("{version}")
'''
_LICENSE = "Apache-2.0, see https://www.apache.org/licenses/LICENSE-2.0\n"


@dataclass(frozen=True)
class Project:
    """What Flower wants to know of an app. package: has the two apps, as `app` in `server.py` and in `client.py`.
    run_keys: what a run may be told."""

    name: str
    package: str
    version: str
    description: str
    run_keys: tuple[str, ...]


def sources(version: str = __version__) -> dict[str, str]:
    """Every Python file of the bundle that asks for `version`, by its path in the bundle."""
    sides = {f"{PACKAGE}/{side}.py": _SIDE.format(side=side, version=version) for side in ("server", "client")}
    return {f"{PACKAGE}/__init__.py": "", **sides}


def write_bundle(folder: Path, version: str = __version__) -> Path:
    """Write the app that `flwr run` takes, and return its folder."""
    description = f"The apps of fedrec {version} as installed by each party, and nothing else"
    return write_app(folder, Project(NAME, PACKAGE, version, description, RUN_KEYS), sources(version))


def write_app(folder: Path, project: Project, files: Mapping[str, str]) -> Path:
    """Write an app of Flower's and return its folder. files: its Python files, by their path in it."""
    keys = "\n".join(f'{key} = ""' for key in project.run_keys)
    told = {key: getattr(project, key) for key in ("name", "package", "version", "description")}
    pyproject = _PYPROJECT.format(keys=keys, **told)
    for path, text in {"pyproject.toml": pyproject, "LICENSE": _LICENSE, **files}.items():
        write_text(folder / path, text)
    return folder


def version_of(fab: bytes) -> str | None:
    """The version of fedrec that a bundle asks for; None if it is any other than one that `write_bundle` wrote.

    Nothing of the bundle is run or unpacked.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(fab)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                return None
            content = {name: archive.read(name) for name in archive.namelist()}
        version = str(tomllib.loads(content["pyproject.toml"].decode())["project"]["version"])
    except (KeyError, TypeError, ValueError, OSError, NotImplementedError, RuntimeError, *DAMAGED_ARCHIVE):
        return None
    return version if _python(content) == {k: v.encode() for k, v in sources(version).items()} else None


def _python(content: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in content.items() if name.endswith(".py")}


def client_app(version: str | None) -> ClientApp:
    """The installed ClientApp; one that declines everything if `version` is another one, or None."""
    if version is None:
        return Declining(UNKNOWN_APP, "the bundle is not one of fedrec; this tenant runs no code that it is sent")
    if version != __version__:
        return Declining(WRONG_VERSION, f"the platform asks for fedrec {version}, this tenant has {__version__}")
    from fedrec.client.app import app

    return app


def server_app(version: str) -> ServerApp:
    """The installed ServerApp; under `fedrec platform up` one that says why it fails.

    Raises Refusal if `version` is another one.
    """
    if version != __version__:
        raise Refusal(WRONG_VERSION, f"the bundle asks for fedrec {version}, here is {__version__}; write it again")
    from fedrec.server.app import app

    if not logs.is_inherited():
        return app
    logs.configure()
    return Explained(app)


class Declining(ClientApp):
    """Answers every message with one typed refusal."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__()
        self._reason, self._detail = reason, detail

    def __call__(self, message: Message, context: Context) -> Message:
        return Message(refusal(self._reason, self._detail), reply_to=message)
