"""HTTP/1.1 as plain as on the wire: no header that a driver did not ask for, nothing followed, nothing decoded."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.compatibility.drivers import check

Json = Any
_LINE = 1 << 20


@dataclass(frozen=True)
class Reply:
    """A whole reply, its body as sent (chunked framing removed)."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The header's value, empty if there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def json(self) -> Json:
        """The body. Clients take JSON only where it says so."""
        check(self.header("content-type") == "application/json", f"{self.header('content-type')}: {self.body[:200]!r}")
        return json.loads(self.body)


@dataclass(frozen=True)
class Sent:
    """A request, for tests to look back on."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Wire:
    """One connection at a time to a server; `url` is its root."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port or 80)
        self._host = parts.netloc.rpartition("@")[2]
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.sent: list[Sent] = []
        self.received = bytearray()
        """Everything that ever came back, heads and bodies."""

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """The reply to this request, sent with a Host header and the given ones in their order."""
        self.sent.append(Sent(method, target, tuple(headers.items()), body))
        reader, writer = await self._connected()
        writer.write(self._head(method, target, headers) + body)
        await writer.drain()
        reply = await self._read(reader, method)
        if reply.header("connection").lower() == "close":
            await self.close()
        return reply

    async def lines(self, target: str, headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The lines of a chunked reply that goes on, heartbeats too, over a connection of its own."""
        kept, self._streams = self._streams, None
        reader, writer = await self._connected()
        self._streams = kept
        try:
            writer.write(self._head("GET", target, headers))
            self.sent.append(Sent("GET", target, tuple(headers.items()), b""))
            head = await reader.readuntil(b"\r\n\r\n")
            check(head.startswith(b"HTTP/1.1 200") and b"chunked" in head, f"{target}: {head!r}")
            rest = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                chunk = (await reader.readexactly(size + 2))[:-2]
                self.received += chunk
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line
        finally:
            writer.close()
            await writer.wait_closed()

    async def close(self) -> None:
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            await writer.wait_closed()

    def targets(self, method: str | None = None) -> list[str]:
        """The targets of the requests so far, of one method or of all."""
        return [each.target for each in self.sent if method in (None, each.method)]

    def _head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", *(f"{n}: {v}" for n, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            await self.close()
            self._streams = await asyncio.open_connection(*self._address, limit=_LINE)
        return self._streams

    async def _read(self, reader: asyncio.StreamReader, method: str) -> Reply:
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")[:-2]
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        reply = Reply(int(status.split()[1]), headers, b"")
        body = b"" if method == "HEAD" or reply.status in (204, 304) else await _body(reader, reply)
        self.received += head + body
        return Reply(reply.status, headers, body)


async def _body(reader: asyncio.StreamReader, reply: Reply) -> bytes:
    if reply.header("transfer-encoding") == "chunked":
        return await _chunks(reader)
    length = reply.header("content-length")
    return await reader.readexactly(int(length)) if length else await reader.read()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        check(await reader.readexactly(2) == b"\r\n", "a chunk without end")
    check(await reader.readexactly(2) == b"\r\n", "a body without end")
    return bytes(body)


def dumps(value: Json) -> bytes:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def segment(doc_id: str) -> str:
    """A document's id in a path; `_design/` and `_local/` keep their slash."""
    kind, slash, rest = doc_id.partition("/")
    if slash and kind in ("_design", "_local"):
        return f"{kind}/{quote(rest, safe='')}"
    return quote(doc_id, safe=":")


def query(**options: Json) -> str:
    """A query string in the order given. Text as it is, anything else as JSON."""
    texts = {name: value if isinstance(value, str) else dumps(value).decode() for name, value in options.items()}
    return urlencode(texts, quote_via=quote)


def basic(user: str, password: str) -> dict[str, str]:
    """The header of Basic authentication."""
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}
