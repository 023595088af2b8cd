"""A raw HTTP/1.1 client for tests of the endpoint: targets go out as they are, framing comes back as it is."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from proxy.endpoint import serve

ADMIN = {"Authorization": "Basic " + base64.b64encode(b"admin:secret").decode()}
JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    """`headers` by lower-case name. `complete` is False if the connection ended before the body did."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Wire:
    """Connections to one endpoint; every request carries `headers` unless it brings its own of the same name."""

    running: serve.Running
    headers: Mapping[str, str] = field(default_factory=lambda: dict(ADMIN))

    def anonymous(self) -> Wire:
        return Wire(self.running, {})

    def as_user(self, name: str, password: str) -> Wire:
        pair = base64.b64encode(f"{name}:{password}".encode()).decode()
        return Wire(self.running, {"Authorization": f"Basic {pair}"})

    async def __call__(
        self,
        method: str,
        target: str,
        body: bytes | str | dict[str, Any] | list[Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own. A dict or list is sent as JSON, labelled so."""
        async with self.open() as connection:
            return await connection(method, target, body, headers)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection(self.running.host, self.running.port)
        try:
            yield Connection(self, reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@dataclass
class Connection:
    """One connection, for pipelined and half-finished requests."""

    wire: Wire
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def __call__(
        self,
        method: str,
        target: str,
        body: bytes | str | dict[str, Any] | list[Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        await self.send(method, target, body, headers)
        return await self.receive(method)

    async def send(
        self,
        method: str,
        target: str,
        body: bytes | str | dict[str, Any] | list[Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        fields = {"Host": f"{self.wire.running.host}:{self.wire.running.port}", **self.wire.headers}
        if isinstance(body, dict | list):
            fields.update(JSON)
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        if data is not None:
            fields["Content-Length"] = str(len(data))
        fields.update(headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + (data or b""))
        await self.writer.drain()

    async def receive(self, method: str = "GET") -> Answer:
        status, headers = await self.head()
        if method == "HEAD" or status == 304:
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body, complete = await self._chunked()
            return Answer(status, headers, body, complete)
        try:
            return Answer(status, headers, await self.reader.readexactly(int(headers["content-length"])))
        except asyncio.IncompleteReadError as error:
            return Answer(status, headers, error.partial, complete=False)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        pairs = (line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}

    async def chunk(self) -> bytes:
        """The next chunk; empty at the end of the body."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def _chunked(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while piece := await self.chunk():
                body += piece
        except (asyncio.IncompleteReadError, ConnectionError):
            return body, False
        return body, True


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Wire]:
    """An endpoint with the administrator admin / secret, in memory unless `directory` says otherwise."""
    settings = {"admins": {"admin": "secret"}, "iterations": 1, **options}
    async with await serve.start(**settings) as running:
        yield Wire(running)
