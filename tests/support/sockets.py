"""Bytes on a socket: what no HTTP client would send, and what came back."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Got:
    """An answer as it came. `status` 0: the connection was cut before there was a whole head."""

    status: int
    head: bytes
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """The value of a header, empty if there is none."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return ""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server; it is cut at the end, without good-bye."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def unread(url: str, sent: bytes) -> AsyncIterator[None]:
    """A connection on which something is asked for, and nothing of what comes is read."""
    address = urlsplit(url)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (address.hostname, address.port))
        await loop.sock_sendall(client, sent)
        yield


async def answer(reader: asyncio.StreamReader, bodiless: bool = False) -> Got:
    """The next answer on a connection, or as much of it as comes before the server cuts the connection.

    `bodiless`: it is to a HEAD.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Got(0, b"", b"")
    got = Got(int(head.split(b" ", 2)[1]), head, b"")
    if got.status == 100:
        return await answer(reader, bodiless)
    try:
        return got if bodiless else Got(got.status, head, await _body(reader, got))
    except (asyncio.IncompleteReadError, ConnectionError):
        return Got(0, head, b"")


async def _body(reader: asyncio.StreamReader, got: Got) -> bytes:
    if got.status in (204, 304):
        return b""
    if got.header("Transfer-Encoding") == "chunked":
        pieces = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(pieces)
    length = got.header("Content-Length")
    return await reader.readexactly(int(length)) if length else await reader.read()


async def exchange(url: str, *pieces: bytes) -> Got:
    """Send pieces, each after the one before is out, and take the answer."""
    async with connected(url) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await answer(reader)
