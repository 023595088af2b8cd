"""What the proxy and the embedded endpoint ask of aiohttp's server beyond what it does by itself.

- What is not HTTP is answered in CouchDB's form, and is a line in the log, not a traceback: anybody can send it.
- A body whose framing breaks (a bad chunk) ends with BadRequest for whoever reads it. aiohttp's parser gives up
  without telling, and the handler would wait for the rest as long as the client stays.
- A client has to come up with a request: a connection that is silent from the start, or stops within a request's
  head, is cut after `patience` seconds. What is between two requests may be silent for longer: gateways keep
  connections. Bodies are up to who reads them (`patient`).
- Nobody is accepted any more before the server ends (`served`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from proxy.core import jsonio
from proxy.errors import BadRequest, CouchError
from proxy.listening import BACKLOG
from proxy.sent import Whole
from proxy.sockets import untaken

log = logging.getLogger("couch_tailor.http")

PATIENCE = 60.0
"""Seconds that a client may keep the server waiting, where nothing else is said: what nginx grants."""
_READ = 64 * 1024
"""Bytes of a body that are read before somebody wants them: there are many connections, and uploads gain nothing by
more."""
_HEAD_ENDS = (b"\r\n\r\n", b"\n\n")
_LOOKS = 4
"""How often the clock looks at a connection within these."""


async def patient(content: StreamReader, patience: float) -> AsyncGenerator[bytes, None]:
    """A request's body as it arrives. Raises CouchError (408) if nothing comes for `patience` seconds."""
    while True:
        try:
            async with asyncio.timeout(patience):
                piece = await content.readany()
        except TimeoutError:
            raise CouchError("The request's body does not go on.", error="timeout", status=408) from None
        if not piece:
            return
        yield piece


class HttpServer(web.Server):
    """Makes a `Connection` for each client. `options` are aiohttp's."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        patience: float = PATIENCE,
        **options: Any,
    ) -> None:
        super().__init__(handler, request_factory=_request, handler_cancellation=True)
        self._patience = patience
        # a coding decides what a body means: only the endpoint that reads it may undo it
        self._options = {"access_log": None, "auto_decompress": False, "read_bufsize": _READ, **options}
        self._clock: asyncio.TimerHandle | None = None

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._patience, loop=asyncio.get_running_loop(), **self._options)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self._clock is None:
            self._tick()

    def _tick(self) -> None:
        """Look at what is still to be sent, as long as there are connections. Those that were closed count as well."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection, transport in list(self._connections.items()):
            assert isinstance(connection, Connection)
            connection.check_unsent(transport, now)
        self._clock = loop.call_later(self._patience / _LOOKS, self._tick) if self._connections else None


class Unsent:
    """For how long nothing got on of what a client is to be sent, by looks at how much of it is left."""

    __slots__ = ("_left", "_since", "resumed")

    def __init__(self) -> None:
        self._left = 0
        self._since = 0.0
        self.resumed = False
        """Whether so much was taken since the last look that more could be written."""

    def look(self, left: int, now: float) -> float:
        """Seconds without progress. What is written in between hides some, but whoever writes soon has to wait."""
        if not left or not self._left or left < self._left or self.resumed:
            self._since = now
        self._left, self.resumed = left, False
        return now - self._since


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_answered", "_begun", "_body", "_goes_on", "_patience", "_unsent", "_until_head")

    def __init__(self, manager: web.Server, patience: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._patience = patience
        self._until_head: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None
        self._begun = False
        self._answered = False
        self._goes_on = False
        """Whether a part of the next head came with the last request."""
        self._unsent = Unsent()

    def begin(self, body: StreamReader) -> None:
        """A request begins to be handled; `body` is what it reads."""
        self._begun, self._body, self._answered = True, body, False

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._answered = True
        finished = await super().finish_response(request, resp, start_time)
        if self._goes_on:
            self._expect_head()
        return finished

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._expect_head()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent.resumed = True

    def check_unsent(self, transport: asyncio.Transport, now: float) -> None:
        """Cut the connection if the client takes nothing of what it is sent. Called by the server's clock."""
        if self._unsent.look(untaken(transport), now) >= self._patience:
            log.info("%s does not take its answer: given up", transport.get_extra_info("peername"))
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        self._body = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        known = len(self._messages)
        super().data_received(data)
        if self._is_idle():
            self._expect_head()
            return
        self._stop_waiting()
        if len(self._messages) > known:
            self._goes_on = self._messages[-1][1] is EMPTY_PAYLOAD and not data.endswith(_HEAD_ENDS)
            self._break_off()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not make sense of. Its own words quote the request; the log names the kind."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        log.info("%s does not speak HTTP: %s", request.remote, type(exc).__name__)
        error = BadRequest("The request is not well-formed HTTP.")
        body = jsonio.dumps({"error": error.error, "reason": error.reason}) + b"\n"
        return Whole(error.status, [("Content-Type", "application/json")], body, close=True)

    def _is_idle(self) -> bool:
        """Whether no request is there, nor one in the making beyond its head. The first bytes may come before aiohttp
        waits for them.
        """
        if self._waiter is None:
            return not self._begun and not self._messages
        return not self._waiter.done()

    def _expect_head(self) -> None:
        if self._until_head is None:
            self._until_head = asyncio.get_running_loop().call_later(self._patience, self._give_up)

    def _stop_waiting(self) -> None:
        if self._until_head is not None:
            self._until_head.cancel()
            self._until_head = None

    def _give_up(self) -> None:
        self._until_head = None
        if self._is_idle():
            self.force_close()

    def _break_off(self) -> None:
        """A message begins where the body before it ends: if that did not end, this one is the parser's complaint."""
        for body in (self._body, *(payload for _, payload in list(self._messages)[:-1])):
            if body is None or body.is_eof():
                continue
            if body is not self._body or not self._answered:
                body.set_exception(BadRequest("The request's body is not well-formed HTTP."))
            body.feed_eof()
            self.close()


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    assert isinstance(protocol, Connection)
    protocol.begin(payload)
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())


@asynccontextmanager
async def served(
    server: web.Server, sockets: Iterable[socket.socket], *, seconds_to_end: float = 1.0
) -> AsyncIterator[tuple[str, int]]:
    """Serve at these sockets while the context lasts, and close them; yields host and port of the first.

    `seconds_to_end`: for how long requests may go on then.
    """
    sockets = list(sockets)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=seconds_to_end)
    await runner.setup()
    try:
        for each in sockets:
            await web.SockSite(runner, each, backlog=BACKLOG).start()
        yield sockets[0].getsockname()[:2]
    finally:
        await _stop_accepting(sockets)
        await runner.cleanup()


async def _stop_accepting(sockets: Iterable[socket.socket]) -> None:
    """Accept no more, and let those connections be made that were accepted already.

    Python 3.11 forgets a connection that was accepted in the moment before its server is closed: half made, it is open
    until the garbage collector finds it, and its client waits that long.
    """
    loop = asyncio.get_running_loop()
    for each in sockets:
        loop.remove_reader(each)
    for _ in range(_STEPS):
        await asyncio.sleep(0)


_STEPS = 3
"""Turns of the loop until a connection that was accepted is made: its task begins, makes the transport, is told."""
