"""Plays the client's side of a recording against a server, for `couch-tailor replay --to`."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from proxy.traffic import TrafficError
from proxy.traffic.binding import Bindings
from proxy.traffic.compare import Difference, differences
from proxy.traffic.exchange import Exchange, Reply, Request, header
from proxy.traffic.tap import Tap

_PIECE = 65536


@dataclass(frozen=True)
class Server:
    """Where requests go. `user`: name and password in place of the recorded credentials."""

    url: str
    user: tuple[str, str] | None = None
    timeout: float = 60.0
    """Seconds that the server may take for a reply."""

    async def send(self, request: Request) -> Reply:
        """A request on a connection of its own. Raises OSError, TimeoutError or TrafficError."""
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        async with asyncio.timeout(self.timeout):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port or (443 if secure else 80), ssl=secure or None
            )
            try:
                tap = Tap(lambda: 0, lambda: 0, prefix=parts.path.rstrip("/"))
                writer.write(tap.from_client(_message(self._with_credentials(request), parts.netloc)))
                return await _reply(tap, reader)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    def _with_credentials(self, request: Request) -> Request:
        if self.user is None or not has_credentials(request):
            return request
        headers = [pair for pair in request.headers if pair[0].lower() not in ("authorization", "cookie")]
        basic = "Basic " + b64encode(":".join(self.user).encode()).decode()
        return replace(request, headers=[*headers, ("Authorization", basic)])


def has_credentials(request: Request) -> bool:
    return header(request.headers, "Authorization") is not None or "AuthSession=" in (
        header(request.headers, "Cookie") or ""
    )


def _message(request: Request, host: str) -> bytes:
    """The request as bytes: chunked if it was, with the same chunks if its body still has the same length."""
    framing = [("Host", host), ("Connection", "close")]
    body = request.body
    if request.chunks is not None:
        framing.append(("Transfer-Encoding", "chunked"))
        body = _chunked(body, request.chunks)
    elif body or request.method in ("PUT", "POST"):
        framing.append(("Content-Length", str(len(body))))
    lines = [f"{name}: {value}" for name, value in [*framing, *request.headers]]
    return "\r\n".join([f"{request.method} {request.target} HTTP/1.1", *lines, "", ""]).encode() + body


def _chunked(body: bytes, lengths: Sequence[int]) -> bytes:
    pieces, at = [], 0
    for length in [*lengths, len(body)]:
        if piece := body[at : at + length]:
            pieces.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        at += length
    return b"".join(pieces) + b"0\r\n\r\n"


async def _reply(tap: Tap, reader: asyncio.StreamReader) -> Reply:
    while data := await reader.read(_PIECE):
        for exchange in tap.from_server(data):
            if exchange.reply is not None:
                return exchange.reply
    for exchange in tap.end(by_server=True):
        if exchange.reply is not None:
            return exchange.reply
    raise TrafficError("the server closed the connection before its reply was complete")


@dataclass(frozen=True)
class Played:
    """An exchange that was played, and what differed."""

    exchange: Exchange
    differences: list[Difference]


async def play(
    exchanges: Iterable[Exchange], server: Server, ignored: frozenset[str] = frozenset()
) -> AsyncIterator[Played]:
    """Send the requests, and compare. A request goes out when those are answered that were so in the recording: what
    was under way together is under way together, so that a feed can wait for a later write.

    Exchanges without a complete reply are not played: nobody knows what it would have been.
    """
    bindings = Bindings()
    running: dict[asyncio.Task[Played], int] = {}
    try:
        for exchange in exchanges:
            if exchange.reply is None:
                continue
            before = [task for task, end in running.items() if end <= exchange.at_ms]
            if before:
                await asyncio.wait(before)
            for task in [task for task in running if task.done()]:
                del running[task]
                yield task.result()
            request = bindings.request(exchange.request)
            task = asyncio.ensure_future(_play(exchange, request, server, bindings, ignored))
            running[task] = exchange.at_ms + exchange.reply.after_ms
        for task in list(running):
            yield await task
    finally:
        for task in running:
            task.cancel()


async def _play(
    exchange: Exchange, request: Request, server: Server, bindings: Bindings, ignored: frozenset[str]
) -> Played:
    assert exchange.reply is not None
    try:
        live = await server.send(request)
    except TimeoutError:
        return Played(exchange, [Difference("reply", "complete", f"none within {server.timeout:g} seconds")])
    except (OSError, TrafficError) as error:
        return Played(exchange, [Difference("reply", "complete", f"none: {error}")])
    return Played(exchange, differences(exchange.request, exchange.reply, live, bindings, ignored))
