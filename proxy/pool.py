"""The connections to one origin. Rules:

- a connection is kept only when its reply was read to the end and the source left it open;
- a kept connection that the source closed before the first byte of a reply is no failure of a request that only
  reads: it is sent again, once, on a new one;
- time-outs are kept by one clock for all connections: a timer for each exchange costs more than the rest of it.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from dataclasses import dataclass

from proxy.http_client import Body, BrokenOff, Connection

CONNECT_SECONDS = 10.0
_TICK_SECONDS = 0.25
_IDLE_SECONDS = 15.0
"""Shorter than any server keeps an idle connection, so that it is we who close it."""


class Unreachable(Exception):
    """No connection to the source can be made."""


@dataclass(frozen=True)
class Origin:
    """Where connections go."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Pool:
    """The connections to one origin."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._clock: asyncio.TimerHandle | None = None

    async def exchange(
        self,
        head: bytes,
        body: Body,
        method: str,
        patience: float | None,
        reads: bool,
        digestion: float = 0.0,
    ) -> Connection:
        """Send a request on a kept connection, or a new one. `patience`: seconds that the source may be silent;
        `digestion`: further seconds before it answers, once it has all of the request. `reads`: the request changes
        nothing and may be sent twice.

        The connection is to be given back. Raises BrokenOff, Silent, Unreachable.
        """
        connection = self._kept()
        while True:
            kept = connection is not None
            if connection is None:
                seconds = CONNECT_SECONDS if patience is None else min(CONNECT_SECONDS, patience)
                connection = await self._connect(seconds)
            connection.patience, connection.digestion = patience, digestion
            self._busy.add(connection)
            if self._clock is None:
                self._tick()
            try:
                await connection.send(head, body, method == "HEAD")
                return connection
            except BaseException as error:
                self._busy.discard(connection)
                connection.close()
                if not (kept and reads and isinstance(error, BrokenOff)) or connection.heard:
                    raise
                connection = None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection whose exchange is over, or close it."""
        self._busy.discard(connection)
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the connections."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
        self._busy.clear()

    def _tick(self) -> None:
        """One clock for all waits, running while there is somebody to wait for."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._busy):
            connection.check_patience(now)
        self._clock = loop.call_later(_TICK_SECONDS, self._tick) if self._busy else None

    def _kept(self) -> Connection | None:
        oldest = time.monotonic() - _IDLE_SECONDS
        while self._idle and (self._idle[0].closed or self._idle[0].idle_since < oldest):
            self._idle.popleft().close()
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    async def _connect(self, timeout: float) -> Connection:
        loop = asyncio.get_running_loop()
        origin = self._origin
        try:
            async with asyncio.timeout(timeout):
                _, connection = await loop.create_connection(Connection, origin.host, origin.port, ssl=origin.tls)
        except TimeoutError:
            raise Unreachable(f"no connection to {origin.host}:{origin.port} within {timeout:g} s") from None
        except OSError as error:
            raise Unreachable(f"{origin.host}:{origin.port}: {error.strerror or error}") from error
        return connection
