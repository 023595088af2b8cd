"""What a handler gives back, and how it is written to the socket.

A reply is written by hand, head and body in one write (see `proxy.sent`).

    body bytes                       Content-Length and the bytes; HEAD has the length and no bytes
    body stream, length known        Content-Length and the chunks as they come (attachments, multipart/related)
    body stream, length unknown      chunked; HEAD says `Content-Length: 0`, as CouchDB does

A stream that fails after its head is out drops the connection, so that nobody takes half an answer for a whole one.
"""

from __future__ import annotations

import os
from asyncio import Transport, sleep
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import HttpVersion11, web

from proxy import __version__
from proxy.core import jsonio
from proxy.errors import CouchError, MethodNotAllowed
from proxy.sent import STATUS_LINES, Sent, body_was_read, http_date

Stream = AsyncGenerator[bytes, None]

CHUNK = 64 * 1024
"""Bytes that a stream gathers before it is written and drained."""

JSON = b"Content-Type: application/json\r\n"
REVALIDATE = b"Cache-Control: must-revalidate\r\n"
JSON_HEAD = REVALIDATE + JSON

_SERVER = f"Server: CouchDB/3.5.0 (couch-tailor/{__version__})\r\n".encode()
_REQUEST_ID = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-")


@dataclass(slots=True)
class Reply:
    """`head` holds complete header lines (see `line`). `length` is a stream's, where it is known beforehand."""

    status: int
    head: bytes = b""
    body: bytes | Stream = b""
    length: int | None = None
    close: bool = False


def line(name: str, value: str) -> bytes:
    """One header line. What could end the line early is dropped from the value: it may come from a stored document."""
    clean = value if value.isprintable() else "".join(c for c in value if c.isprintable())
    return f"{name}: {clean}\r\n".encode()


def json_reply(value: object, status: int = 200, head: bytes = b"") -> Reply:
    """A JSON value as CouchDB sends it: one line, with its newline."""
    return Reply(status, JSON_HEAD + head, jsonio.dumps(value) + b"\n")


def json_stream(stream: Stream, head: bytes = b"") -> Reply:
    return Reply(200, JSON_HEAD + head, stream)


def error_reply(error: CouchError) -> Reply:
    """CouchDB's `{"error", "reason"}` for an error."""
    head = line("Allow", error.allowed) if isinstance(error, MethodNotAllowed) else b""
    reason = error.reason.encode("utf-8", "replace").decode()  # it may repeat bytes of a header that are no text
    return json_reply({"error": error.error, "reason": reason}, error.status, head)


KEEP, CLOSE = Sent(True), Sent(False)  # they hold no state: one of each serves every request


async def send(request: web.BaseRequest, method: str, reply: Reply, extra: bytes = b"") -> Sent:
    """Write a reply to the connection of `request`. `method` is the one that was acted on, after any override.

    Raises whatever a stream raises, after dropping the connection.
    """
    transport = request.transport
    body = reply.body
    if transport is None or transport.is_closing():
        if not isinstance(body, bytes):
            await body.aclose()
        return CLOSE
    keep = request.keep_alive and not reply.close and body_was_read(request)
    head = STATUS_LINES[reply.status] + reply.head + extra + _common(request)
    if request.version < HttpVersion11:
        keep = keep and (isinstance(body, bytes) or reply.length is not None)
        head += b"Connection: keep-alive\r\n" if keep else b"Connection: close\r\n"
    elif not keep:
        head += b"Connection: close\r\n"
    if isinstance(body, bytes):
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        transport.write(head if method == "HEAD" else head + body)
        if len(body) > CHUNK:
            await request.writer.drain()
    elif method == "HEAD":
        transport.write(head + b"Content-Length: %d\r\n\r\n" % (reply.length or 0))
        await body.aclose()
    else:
        await _send_stream(request, transport, head, body, reply.length)
    return KEEP if keep else CLOSE


async def _send_stream(
    request: web.BaseRequest, transport: Transport, head: bytes, stream: Stream, length: int | None
) -> None:
    drain = request.writer.drain
    chunked = length is None and request.version >= HttpVersion11
    if chunked:
        head += b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        head += b"\r\n" if length is None else b"Content-Length: %d\r\n\r\n" % length
    try:
        async with aclosing(stream):
            async for chunk in stream:
                if chunk:
                    transport.write(head + (b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk))
                    head = b""
                    await drain()
                    await sleep(0)  # drain only waits for a slow client: others get their turn here
        transport.write(head + (b"0\r\n\r\n" if chunked else b""))
        await drain()
    except BaseException:
        transport.abort()
        raise


def _common(request: web.BaseRequest) -> bytes:
    """Server, Date and the request id, which echoes the client's if that is fit for it."""
    given = request.headers.get("X-Couch-Request-ID")
    if given is None or not 0 < len(given) <= 36 or not _REQUEST_ID.issuperset(given):
        given = os.urandom(5).hex()
    return b"%bDate: %b\r\nX-Couch-Request-ID: %b\r\nX-CouchDB-Body-Time: 0\r\n" % (
        _SERVER,
        http_date(),
        given.encode(),
    )
