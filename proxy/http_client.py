"""HTTP/1.1 towards a source: connections that are kept, replies that stream, nothing else.

Every document that passes costs one exchange here, so this is as lean as a protocol on httptools can be. Rules:

  - bytes that nobody asked for condemn a connection (CouchDB 3.5.0 sends one chunk too many after an event stream);
  - reading stops when the reader lags behind by HIGH_WATER bytes, writing when the source does;
  - a body without length lasts until the source closes; a body that ends early raises BrokenOff, always;
  - so does a success (2xx) that comes before all of the request is out: it can be of nothing but a part.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from typing import Any, cast

import httptools
from multidict import CIMultiDict

from proxy.sockets import unsent

HIGH_WATER = 256 * 1024
GATHER_SECONDS = 0.004
"""How long what comes is left to gather in the kernel."""
_LARGE_BODY = 1024 * 1024
_LARGEST_HEAD = 2**20
"""Bytes before the body of a reply, interim replies included: a source that goes on and on would fill the memory."""


@dataclass(frozen=True)
class Sized:
    """A body in pieces of which the length is known: it goes out with a Content-Length.

    CouchDB takes a large multipart body three times as fast that way as it does in chunks.
    """

    length: int
    pieces: AsyncIterator[bytes]
    epilogue: int = 0
    """Bytes at the end that a source need not wait for: CouchDB stores what comes before the last line of multipart."""


Body = bytes | AsyncIterator[bytes] | Sized | None


class BrokenOff(Exception):
    """The source closed the connection, or sent something that is not HTTP, before the reply was complete."""


class TooLong(Exception):
    """The body of a reply is longer than whoever reads it has room for."""


class Silent(Exception):
    """The source sent nothing for as long as the request allows."""


class Connection(asyncio.Protocol):
    """One connection, with at most one exchange at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self.head_only = False
        """Whether the reply is to a HEAD, and has no body."""
        self.used = 0
        self.idle_since = 0.0
        self.patience: float | None = None
        """Seconds that the source may be silent while we wait; None: for ever."""
        self.digestion = 0.0
        """Seconds that it may be silent beyond these, once it has all of the request."""
        self.waiting_since = 0.0
        """When the present wait for the source began, or it last took something of the request."""
        self.closed = False
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self._parser: Any = None
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._headers_done = False
        self._head_room = _LARGEST_HEAD
        self.complete = False
        """Whether all of the reply has arrived."""
        self._failure: str | None = None
        self._silent = False
        self._heard = False
        self._keep = True
        self._given = False
        """Whether the transport has all of the request that the source needs."""
        self._unsent = 0
        """Bytes that the transport had left at the last look."""
        self._starved = False
        """Whether the next piece of the request is yet to come: meanwhile it is not the source that is waited for."""
        self._early = False
        """Whether the source spoke of success without it."""

    # ---- an exchange

    async def send(self, head: bytes, body: Body, head_only: bool) -> None:
        """Send a request; the reply's status and headers are there when this returns. Raises BrokenOff."""
        assert self._transport is not None
        self._begin()
        self.head_only = head_only
        self._parser = httptools.HttpResponseParser(self)
        self.used += 1
        if body is None or isinstance(body, bytes):
            if body is not None and len(body) > _LARGE_BODY:
                self._transport.writelines((head, body))  # without a copy
            else:
                self._transport.write(head + body if body else head)
            self._given = True
            while not self._headers_done:
                if self._failure is not None:
                    raise self._error()
                await self._wait()
            self._refuse_early()
            return
        self._transport.write(head)
        self._given = isinstance(body, Sized) and body.length <= body.epilogue
        sending = asyncio.ensure_future(self._send_sized(body) if isinstance(body, Sized) else self._send_chunked(body))
        try:
            await self._until_headers(sending)
        finally:
            sending.cancel()  # without effect once it is done
            await asyncio.wait([sending])
            self._fed()
            if sending.cancelled() or sending.exception() is not None:
                # the source has answered without reading on: it would take another request for the rest of this one
                self._keep = False
        if not sending.cancelled() and sending.exception() is not None and (self._early or not self._headers_done):
            raise cast(BaseException, sending.exception())
        self._refuse_early()

    def _refuse_early(self) -> None:
        if self._early:
            raise BrokenOff("it spoke of success before it had the whole request")

    async def _send_chunked(self, body: AsyncIterator[bytes]) -> None:
        assert self._transport is not None
        self._starved = True
        async for piece in body:
            if self.closed:
                return
            if piece:
                self._transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
            await self._until_taken()
        if not self.closed:
            self._transport.write(b"0\r\n\r\n")
            self._given = True
        self._fed()

    async def _send_sized(self, body: Sized) -> None:
        assert self._transport is not None
        left = body.length
        self._starved = True
        async for piece in body.pieces:
            if self.closed:
                return
            left -= len(piece)
            if left < 0:
                break
            self._transport.write(piece)
            self._given = left <= body.epilogue
            await self._until_taken()
        if left:
            raise ValueError("a body is not of the length that was announced")
        self._fed()

    async def _until_taken(self) -> None:
        """Wait for room for another piece."""
        assert self._transport is not None
        if not self.closed and self._transport.get_write_buffer_size() > HIGH_WATER:
            await asyncio.sleep(0)  # uvloop writes at the end of a turn, and says then that there is no room
        if self._writable is not None:
            self._fed()
            await self._writable
            self._starved = True

    def _fed(self) -> None:
        """From now on it is the source that is waited for."""
        self._starved = False
        self.waiting_since = self._loop.time()

    async def _until_headers(self, sending: asyncio.Future[None]) -> None:
        while not self._headers_done:
            if self._failure is not None:
                raise self._error()
            if sending.done() and sending.exception() is not None:
                self.close()
                raise cast(BaseException, sending.exception())
            if not sending.done():
                waiter = self._wait()
                await asyncio.wait([waiter, sending], return_when=asyncio.FIRST_COMPLETED)
            else:
                await self._wait()

    def _wait(self) -> asyncio.Future[None]:
        if self._waiter is None or self._waiter.done():
            self._waiter = self._loop.create_future()
            self.waiting_since = self._loop.time()
        return self._waiter

    def check_patience(self, now: float) -> None:
        """Give up the exchange if the source has been silent for too long. Called by the pool's clock."""
        if self._waiter is None or self._waiter.done() or self.patience is None or self._transport is None:
            return
        left = unsent(self._transport)
        if self._starved or left != self._unsent:
            self._unsent, self.waiting_since = left, now
        digests = self._given and not left and not self._headers_done
        patience = self.patience + (self.digestion if digests else 0.0)
        if now - self.waiting_since > patience:
            self._silent = True
            self._fail("it did not answer in time")
            self.close()
            self._wake()

    async def read(self, most: int | None = None) -> bytes:
        """The rest of the body. Raises BrokenOff, and TooLong when more than `most` bytes have come before its end."""
        while not self.complete:
            if self._failure is not None:
                raise self._error()
            if most is not None and self._buffered > most:
                raise TooLong
            self._go_on()  # however much there is already: nobody takes it before the end
            await self._wait()
        return self.take()

    async def read_some(self) -> bytes:
        """What of the body has arrived, b"" at its end. Raises BrokenOff."""
        while not self._chunks:
            if self.complete:
                return b""
            if self._failure is not None:
                raise self._error()
            self._resume()
            await self._wait()
        return self.take()

    async def gather(self) -> None:
        """If nothing has come yet, leave what comes in the next moment to the kernel, to be read at once.

        CouchDB sends a row or two at a time: to be woken for each of them costs as much as all that is done with it.
        """
        if self._chunks or self.complete or self._failure is not None or self._transport is None:
            return
        if not self._paused:
            self._paused = True  # until more is asked for
            self._transport.pause_reading()
        await asyncio.sleep(GATHER_SECONDS)

    def take(self) -> bytes:
        """What of the body has arrived."""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        self._resume()
        return data

    @property
    def finished(self) -> bool:
        """Whether the reply was read to its end."""
        return self.complete and not self._chunks

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow on this connection."""
        return self.finished and self._keep and not self.closed and self._failure is None

    @property
    def heard(self) -> bool:
        """Whether any byte of the present reply has arrived."""
        return self._heard

    def close(self) -> None:
        """Cut the connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.complete or self._parser is None:
            self._keep = False
            self.close()
            return
        self._heard = True
        if not self._headers_done:
            self._head_room -= len(data)
            if self._head_room < 0:
                self._fail("the head of its reply does not end")
                self.close()
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"what it sent is not HTTP ({type(error).__name__})")
            self.close()
            return
        if self._buffered > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        ended_by_source = error is None and self._failure is None and not self.closed
        self.closed = True
        self._parser = None  # it calls us: together we would be there until cycles are looked for
        if self._headers_done and self._lasts_until_close() and ended_by_source:
            self.complete = True
        elif not self.complete:
            self._fail("the connection was closed")
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _lasts_until_close(self) -> bool:
        names = {name.lower() for name, _ in self.raw_headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    def _error(self) -> BrokenOff | Silent:
        return Silent() if self._silent else BrokenOff(self._failure)

    def _fail(self, why: str) -> None:
        if self._failure is None:
            self._failure = why

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        if self._buffered <= HIGH_WATER:
            self._go_on()

    def _go_on(self) -> None:
        if self._paused and self._transport is not None and not self.closed:
            self._paused = False
            self._transport.resume_reading()

    # ---- httptools callbacks

    def on_message_begin(self) -> None:
        if self._headers_done:
            # a second message after the reply: not ours
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._headers_done:
            self.raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._headers_done:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self.raw_headers = []
            return
        self.status = status
        self._headers_done = True
        assert self._transport is not None
        self._early = status < 300 and not (self._given and not self._transport.get_write_buffer_size())
        if not self._parser.should_keep_alive():
            self._keep = False
        if self.head_only or status in (204, 304):
            self.complete = True

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self._chunks.append(data)
            self._buffered += len(data)

    def on_message_complete(self) -> None:
        if self._headers_done:
            self.complete = True


def request_head(method: str, target: str, host: str, headers: Collection[tuple[str, str]], body: Body) -> bytes:
    """The head of a request. Raises ValueError for a header that would break out of its line."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\x00" in text:
        raise ValueError(f"a line break in one of the headers {', '.join(name for name, _ in headers)}")
    if body is None:
        framing = "Content-Length: 0\r\n" if method in ("POST", "PUT") else ""
    elif isinstance(body, bytes):
        framing = f"Content-Length: {len(body)}\r\n"
    else:
        framing = f"Content-Length: {body.length}\r\n" if isinstance(body, Sized) else "Transfer-Encoding: chunked\r\n"
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{text}{framing}\r\n".encode("utf-8", "surrogateescape")


def multidict(raw: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """Headers as they came, by case-insensitive name."""
    return CIMultiDict([(name.decode("latin-1"), value.decode("utf-8", "surrogateescape")) for name, value in raw])
