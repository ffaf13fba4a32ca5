"""Between the tenants and their platform: hears all that goes by in clear, and damages what it is told to.

It passes for the platform by a certificate that the federation's own CA has signed, so it is what TLS keeps out: only
whoever has `ca.key` can do this. It runs on a thread of its own until the block around it ends.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fedrec.deploy.certificates import create_server_certificate

UP, DOWN = "up", "down"
CHUNK = 1 << 16
HEADS = (b"POST ", b"GET ", b"HTTP/")


@dataclass
class Fault:
    """What happens to the next body to or from `path`, seen from the tenant. cut: it ends in its middle, and the
    connection with it; otherwise the byte in its middle is another one."""

    way: str
    path: str
    cut: bool
    done: threading.Event = field(default_factory=threading.Event)

    def damaged(self, data: bytes) -> bytes | None:
        """A piece of a stream; None if it holds nothing of a body."""
        head, body = _split(data)
        if not body:
            return None
        at = len(body) // 2
        return head + body[:at] if self.cut else head + body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]


@dataclass
class Middle:
    """port: where tenants believe the platform to be. platform: where it is. heard: each stream, with its way."""

    port: int
    platform: int
    folder: Path
    heard: list[tuple[str, bytearray]] = field(default_factory=list)
    fault: Fault | None = None

    @contextmanager
    def listening(self, ca_key: bytes, ca: bytes) -> Iterator[None]:
        """Carry everything while the block lasts."""
        served, trusting = self._contexts(ca_key, ca)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def serve() -> asyncio.Server:
            return await asyncio.start_server(
                lambda reader, writer: self._carry(reader, writer, trusting), "127.0.0.1", self.port, ssl=served
            )

        server = asyncio.run_coroutine_threadsafe(serve(), loop).result(30)
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(_ended(server), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)
            loop.close()

    def damage(self, way: str, path: str, cut: bool) -> Fault:
        """Damage one body that is still to come."""
        self.fault = Fault(way, path, cut)
        return self.fault

    def text(self, *ways: str) -> bytes:
        """All that was heard so far on these ways, one stream after the other."""
        return b"\n\n".join(bytes(stream) for way, stream in list(self.heard) if way in ways)

    def _contexts(self, ca_key: bytes, ca: bytes) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """As a server to tenants, and as a client to the platform."""
        key, certificate = create_server_certificate(ca_key, ca, ("localhost", "127.0.0.1"))
        path = self.folder / "middle.pem"
        path.write_bytes(key + certificate)
        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        served.load_cert_chain(path)
        trusting = ssl.create_default_context(cadata=ca.decode())
        return served, trusting

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trusting: ssl.SSLContext
    ) -> None:
        there, back = await asyncio.open_connection(
            "127.0.0.1", self.platform, ssl=trusting, server_hostname="localhost"
        )
        asked = [""]
        with suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(
                self._pass(UP, reader, back, asked, writer), self._pass(DOWN, there, writer, asked, back)
            )

    async def _pass(
        self,
        way: str,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        asked: list[str],
        other: asyncio.StreamWriter,
    ) -> None:
        """One way of a connection. asked: the path of its request under way."""
        stream = bytearray()
        self.heard.append((way, stream))
        try:
            while data := await source.read(CHUNK):
                stream += data
                if data.startswith(HEADS[:2]):
                    asked[0] = data.split(b" ", 2)[1].decode()
                data, cut = self._damaged(way, asked[0], data)
                sink.write(data)
                await sink.drain()
                if cut:
                    other.close()
                    break
        finally:
            sink.close()

    def _damaged(self, way: str, path: str, data: bytes) -> tuple[bytes, bool]:
        """A piece of a stream as it goes on, and whether the stream ends with it. A fault is over before it is told, as
        whoever waits for it may set the next one at once."""
        fault = self.fault
        if fault is None or (fault.way, fault.path) != (way, path) or (damaged := fault.damaged(data)) is None:
            return data, False
        self.fault = None
        fault.done.set()
        return damaged, fault.cut


def _split(data: bytes) -> tuple[bytes, bytes]:
    """What a piece of a stream has of a head, and of a body."""
    if not data.startswith(HEADS):
        return b"", data
    head, end, body = data.partition(b"\r\n\r\n")
    return head + end, body


async def _ended(server: asyncio.Server) -> None:
    """Take no more connections, and drop those that are there."""
    server.close()
    carrying = asyncio.all_tasks() - {asyncio.current_task()}
    for task in carrying:
        task.cancel()
    await asyncio.gather(*carrying, return_exceptions=True)
