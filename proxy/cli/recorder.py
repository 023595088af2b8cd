"""A reverse proxy that writes down what passes, for `couch-tailor record --listen`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

from proxy.traffic import TrafficError
from proxy.traffic.exchange import Exchange
from proxy.traffic.tap import Tap

logger = logging.getLogger("couch_tailor.record")

_PIECE = 65536


@dataclass
class Recorder:
    """Relays connections to the server at `url`, byte for byte but for Host, and hands over each exchange at its end.

    `write` gets them in the order of their ends; `Exchange.n` is the order of their requests.
    """

    url: str
    write: Callable[[Exchange], None]
    _began: float | None = None
    _numbers: Callable[[], int] = field(default_factory=lambda: count().__next__)
    _busy: set[asyncio.Task[None]] = field(default_factory=set)

    def _clock(self) -> int:
        """Milliseconds since the first request."""
        if self._began is None:
            self._began = time.monotonic()
        return round((time.monotonic() - self._began) * 1000)

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve at an address; the port. Connections that are open at the end are cut. Raises OSError."""
        server = await asyncio.start_server(self._connected, host, port)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for task in self._busy:
                task.cancel()
            await asyncio.gather(*self._busy, return_exceptions=True)
            await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            await self._relay(reader, writer)
        except asyncio.CancelledError:
            pass  # the recording ends; asyncio's server would log it as a failure
        finally:
            self._busy.discard(task)
            await _close(writer)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        tap = Tap(self._clock, self._numbers, host=parts.netloc, prefix=parts.path.rstrip("/"))
        try:
            port = parts.port or (443 if secure else 80)
            far_reader, far_writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None)
        except OSError as error:
            logger.error("%s cannot be reached: %s", self.url, error)
            writer.transport.abort()
            return
        inward = asyncio.ensure_future(self._inward(tap, reader, far_writer))
        outward = asyncio.ensure_future(self._outward(tap, far_reader, writer))
        ended_by_server = False
        try:
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            ended_by_server = outward.done() and not outward.exception()
            for task in (inward, outward):
                failure = task.exception() if task.done() else None
                if isinstance(failure, TrafficError):
                    logger.error("a connection is cut, which cannot be recorded: %s", failure)
        finally:
            for task in (inward, outward):
                task.cancel()
            await asyncio.gather(inward, outward, return_exceptions=True)
            for exchange in tap.end(by_server=ended_by_server):
                self.write(exchange)
            await _close(far_writer)

    async def _inward(self, tap: Tap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                writer.write(tap.from_client(data))
                await writer.drain()

    async def _outward(self, tap: Tap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                for exchange in tap.from_server(data):
                    self.write(exchange)
                writer.write(data)
                await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()
