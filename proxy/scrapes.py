"""The smallest HTTP server there can be: `GET /metrics`, on an address of its own, for nobody but a Prometheus."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from proxy.loop import send
from proxy.metrics import CONTENT_TYPE

_PATIENCE = 10.0
_MOST = 16 * 1024


@asynccontextmanager
async def scraped(listening: Sequence[socket.socket], collect: Callable[[], Awaitable[bytes]]) -> AsyncIterator[None]:
    """Answer scrapes with what `collect` gives while the context lasts."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                send(writer, await _answer(head, collect))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    servers = [await asyncio.start_server(connected, sock=each, limit=_MOST) for each in listening]
    try:
        yield
    finally:
        for server in servers:
            server.close()


async def _answer(head: bytes, collect: Callable[[], Awaitable[bytes]]) -> bytes:
    method, path, *_ = [*head.split(b"\r\n", 1)[0].split(b" "), b"", b""]
    if path.partition(b"?")[0] != b"/metrics":
        return _reply("404 Not Found", b"There is /metrics only.\n")
    if method not in (b"GET", b"HEAD"):
        return _reply("405 Method Not Allowed", b"It can be read only.\n")
    body = await collect()
    return _reply("200 OK", body, CONTENT_TYPE, with_body=method == b"GET")


def _reply(status: str, body: bytes, kind: str = "text/plain", *, with_body: bool = True) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + (body if with_body else b"")
