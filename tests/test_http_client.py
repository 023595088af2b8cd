"""The HTTP client against a scripted server: framing in any pieces, break-offs, kept connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from proxy import http_client
from proxy.config.model import Source
from proxy.core.query import Pairs
from proxy.errors import CouchError, Unavailable
from proxy.http_client import HIGH_WATER, Body, Connection, Sized
from proxy.reply import LONG
from proxy.upstream import Upstream

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server whose every connection runs a script; counts the connections."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            await self.script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(script: Script, timeout: float = 5.0) -> AsyncIterator[tuple[Server, Upstream]]:
    server = Server(script)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    server.url = f"http://{host}:{port}"
    upstream = Upstream(Source("test", server.url), timeout)
    try:
        yield server, upstream
    finally:
        upstream.close()
        listener.close()
        for writer in server.writers:
            writer.close()


async def request_line(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head.split(b"\r\n", 1)[0]


def replying(reply: bytes, cut: int | None = None, close: bool = False) -> Script:
    """A script that answers every request with `reply`, in pieces of `cut` bytes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_line(reader)
            for start in range(0, len(reply), cut or len(reply)):
                writer.write(reply[start : start + (cut or len(reply))])
                if cut:
                    await writer.drain()
                    await asyncio.sleep(0)
            if close:
                return

    return script


REPLIES = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello", b"hello"),
    "empty": (b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", b""),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
}


@pytest.mark.parametrize("cut", [None, 1, 7])
@pytest.mark.parametrize("name", REPLIES)
async def test_a_reply_is_the_same_however_it_is_cut(name: str, cut: int | None) -> None:
    reply, body = REPLIES[name]
    async with scripted(replying(reply, cut)) as (server, upstream):
        for _ in range(3):
            async with await upstream.request("GET", "/x", headers={}) as got:
                assert await got.read() == body
        assert server.connections == 1


async def test_status_and_headers_by_any_case_and_repeated() -> None:
    async with (
        scripted(replying(REPLIES["length"][0])) as (_, upstream),
        await upstream.request("GET", "/x", headers={}) as got,
    ):
        assert got.status == 200
        assert got.headers.getall("X-a") == ["1", "2"]
        await got.read()


async def test_head_has_no_body_whatever_its_length_says_and_keeps_the_connection() -> None:
    async with scripted(replying(b"HTTP/1.1 200 OK\r\nContent-Length: 484\r\n\r\n")) as (server, upstream):
        for _ in range(3):
            async with await upstream.request("HEAD", "/x", headers={}) as got:
                assert got.headers["Content-Length"] == "484"
                assert await got.read() == b""
        assert server.connections == 1


async def test_a_body_without_length_lasts_until_the_end_of_the_connection() -> None:
    async with scripted(replying(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)) as (server, upstream):
        for _ in range(2):
            async with await upstream.request("GET", "/x", headers={}) as got:
                assert await got.read() == b"all of it"
        assert server.connections == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"not http at all\r\n\r\n",
    ],
)
async def test_a_reply_that_ends_early_is_never_taken_for_whole(reply: bytes) -> None:
    async with scripted(replying(reply, close=True)) as (_, upstream):
        with pytest.raises(Unavailable) as caught:
            async with await upstream.request("GET", "/x", headers={}) as got:
                await got.read()
        assert "broke off" in caught.value.reason
        with pytest.raises(Unavailable):
            async with await upstream.request("GET", "/x", headers={}) as got:
                assert [piece async for piece in got.chunks()] != []


async def test_bytes_after_the_reply_condemn_the_connection() -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + b"1\r\n\n\r\n0\r\n\r\n"
    async with scripted(replying(reply)) as (server, upstream):
        for _ in range(3):
            async with await upstream.request("GET", "/x", headers={}) as got:
                assert await got.read() == b"ok"
        assert server.connections == 3


async def test_a_kept_connection_that_went_stale_is_replaced_for_what_only_reads() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    served = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await request_line(reader)
        served += 1
        writer.write(ok)
        await writer.drain()
        await request_line(reader)  # and hang up without a word

    async with scripted(once) as (server, upstream):
        for _ in range(2):
            async with await upstream.request("GET", "/x", headers={}) as got:
                assert await got.read() == b"ok"
        assert (served, server.connections) == (2, 2)
        async with await upstream.request("POST", "/x/_bulk_get", headers={}, body=b"{}") as got:
            assert await got.read() == b"ok"
        assert (served, server.connections) == (3, 3)
        with pytest.raises(Unavailable):
            await upstream.request("POST", "/x", headers={}, body=b"{}")
        assert served == 3


async def test_a_source_that_is_not_there_says_where() -> None:
    async with scripted(replying(b"")) as (server, _):
        port = server.url.rpartition(":")[2]
    with pytest.raises(Unavailable) as caught:
        await Upstream(Source("test", f"http://127.0.0.1:{port}")).request("GET", "/db", headers={})
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert (caught.value.status, caught.value.reason) == (502, "The source cannot be reached.")  # not to clients


async def test_a_source_that_says_nothing_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_line(reader)
        await reader.read()

    async with scripted(silent, timeout=0.2) as (_, upstream):
        with pytest.raises(Unavailable) as caught:
            await upstream.request("GET", "/db", headers={})
        assert caught.value.status == 504


@pytest.mark.parametrize(
    "endless",
    [b"X-More: and more\r\n", b"x" * 1000, b"\r\n\r\nHTTP/1.1 100 Continue\r\nX: "],
    ids=["headers", "line", "interim"],
)
async def test_a_head_that_does_not_end_is_given_up(endless: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_line(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\nX: ")
        while True:
            writer.write(endless * 100)
            await writer.drain()

    async with scripted(script) as (_, upstream):
        with pytest.raises(Unavailable, match="head of its reply does not end"):
            await upstream.request("GET", "/", headers={})


async def test_the_target_is_what_was_decided_on() -> None:
    seen = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_line(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    pairs: Pairs = [("rev", "1-a&b"), ("x", "ü")]
    async with scripted(script) as (_, upstream):
        (await upstream.request("GET", "/db/a%2Fb", pairs, headers={})).release()
    assert seen == [b"GET /db/a%2Fb?rev=1-a%26b&x=%C3%BC HTTP/1.1"]


async def test_no_header_breaks_out_of_its_line() -> None:
    async with scripted(replying(REPLIES["empty"][0])) as (_, upstream):
        with pytest.raises(ValueError, match="line break"):
            await upstream.request("GET", "/", headers={"Cookie": "a\r\nX-Auth-CouchDB-UserName: admin"})


async def test_uploads_stream_chunked_and_stop_when_the_source_answers_early() -> None:
    received = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in head
        while not received.endswith(b"0\r\n\r\n"):
            received.extend(await reader.read(65536))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"", b"two"):
            yield piece

    async with scripted(script) as (_, upstream):
        async with await upstream.request("PUT", "/x", headers={}, body=pieces()) as got:
            assert (got.status, await got.read()) == (201, b"ok")
    assert bytes(received) == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    async with scripted(refusing) as (_, upstream):
        async with await upstream.request("PUT", "/x", headers={}, body=endless()) as got:
            assert (got.status, await got.read()) == (413, b"no")


@pytest.mark.parametrize("pieces", [[b"one", b"", b"two"], [b"one"]])
async def test_an_upload_of_known_length_goes_out_as_it_is(pieces: list[bytes]) -> None:
    received = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 6\r\n" in head
        assert b"chunked" not in head
        while len(received) < 6 and (piece := await reader.read(65536)):
            received.extend(piece)
        if len(received) == 6:
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")

    async def coming() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async with scripted(script) as (_, upstream):
        asking = upstream.request("PUT", "/x", headers={}, body=Sized(6, coming()))
        if len(pieces) == 3:
            async with await asking as got:
                assert (got.status, await got.read()) == (201, b"ok")
            assert bytes(received) == b"onetwo"
        else:
            with pytest.raises(ValueError, match="not of the length"):
                await asking


async def _stalled(*pieces: bytes) -> AsyncIterator[bytes]:
    """Pieces, after which nothing comes."""
    for piece in pieces:
        yield piece
    await asyncio.Event().wait()


def early(status: bytes, received: int = 0) -> Script:
    """Answers as soon as it has the head, and so many bytes of the body."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(received)
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nok" % status)
        await reader.read()

    return script


@pytest.mark.parametrize(
    "body",
    [lambda: _stalled(b"one"), lambda: Sized(6, _stalled(b"one")), lambda: b"x" * 2**26],
    ids=["chunked", "of known length", "at hand"],
)
async def test_success_before_all_of_the_request_is_out_is_none(body: Callable[[], Body]) -> None:
    async with scripted(early(b"201 Created")) as (server, upstream):
        with pytest.raises(Unavailable, match="before it had the whole request"):
            await upstream.request("PUT", "/x", headers={}, body=body())
        with pytest.raises(Unavailable):
            await upstream.request("PUT", "/x", headers={}, body=body())
        assert server.connections == 2
    async with scripted(early(b"413 Too Large")) as (_, upstream):
        async with await upstream.request("PUT", "/x", headers={}, body=body()) as got:
            assert (got.status, await got.read()) == (413, b"ok")


async def test_the_end_of_a_multipart_body_is_nothing_to_wait_for() -> None:
    async with scripted(early(b"201 Created", received=3)) as (_, upstream):
        async with await upstream.request("PUT", "/x", headers={}, body=Sized(6, _stalled(b"one"), 3)) as got:
            assert (got.status, await got.read()) == (201, b"ok")
    async with scripted(early(b"201 Created")) as (_, upstream):
        async with await upstream.request("PUT", "/x", headers={}, body=Sized(0, _stalled())) as got:
            assert got.status == 201


async def test_a_body_that_fails_to_come_fails_the_request() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def failing() -> AsyncIterator[bytes]:
        yield b"some"
        raise ConnectionResetError("the client is gone")

    async with scripted(swallow) as (_, upstream):
        with pytest.raises(ConnectionResetError):
            await upstream.request("PUT", "/x", headers={}, body=failing())


async def test_reading_stops_when_the_reader_lags_behind() -> None:
    sent = 0
    total = 64 * 1024 * 1024

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_line(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with scripted(script) as (_, upstream):
        async with await upstream.request("GET", "/x", headers={}) as got:
            for _ in range(50):
                await asyncio.sleep(0.01)
            assert sent < total / 2
            size = 0
            async for piece in got.chunks():
                size += len(piece)
    assert size == total


async def test_a_long_reply_is_read_whole() -> None:
    body = b"x" * (10 * HIGH_WATER)
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with scripted(replying(reply), timeout=1.0) as (_, upstream):
        async with await upstream.request("GET", "/", headers={}) as answer:
            assert await answer.read() == body


BEGINNING = b"a" * (LONG + 1)
"""After so much, a reply is a long one."""


def dripping(pieces: int, end: bool = True) -> Script:
    """A reply in chunks of three bytes after its beginning, again and again on a connection; `end`: with the last."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_line(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%b\r\n" % (len(BEGINNING), BEGINNING))
            for _ in range(pieces):
                await asyncio.sleep(0)
                writer.write(b"3\r\nabc\r\n")
                await writer.drain()
            if not end:
                return
            writer.write(b"0\r\n\r\n")

    return script


async def read_gathered(upstream: Upstream) -> bytes:
    async with await upstream.request("GET", "/", headers={}) as got:
        return b"".join([piece async for piece in got.chunks(gathered=True)])


async def test_small_pieces_of_a_long_reply_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "GATHER_SECONDS", 0.1)
    async with scripted(dripping(300)) as (server, upstream):
        for gathered in (False, True):
            async with await upstream.request("GET", "/", headers={}) as got:
                pieces = [piece async for piece in got.chunks(gathered=gathered)]
            assert b"".join(pieces) == BEGINNING + 300 * b"abc"
            assert (len(pieces) < 30) is gathered
        assert server.connections == 1


async def test_nobody_waits_for_what_has_come_or_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "GATHER_SECONDS", 3600.0)
    monkeypatch.setattr("proxy.reply.LONG", 2 * LONG)
    async with scripted(dripping(300)) as (_, upstream):
        assert await read_gathered(upstream) == BEGINNING + 300 * b"abc"
    monkeypatch.setattr("proxy.reply.LONG", LONG)
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BEGINNING), BEGINNING)
    async with scripted(replying(whole)) as (_, upstream):
        assert await read_gathered(upstream) == BEGINNING


async def test_what_breaks_off_while_it_gathers_is_not_taken_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "GATHER_SECONDS", 0.01)
    async with scripted(dripping(300, end=False)) as (_, upstream):
        with pytest.raises(Unavailable):
            await read_gathered(upstream)


async def test_whoever_gives_up_what_gathers_does_not_harm_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "GATHER_SECONDS", 3600.0)

    async with scripted(dripping(300)) as (server, upstream):
        reading = asyncio.ensure_future(read_gathered(upstream))
        while not (server.writers and reading.get_stack()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        async with await upstream.request("GET", "/", headers={}) as got:
            assert await got.read() == BEGINNING + 300 * b"abc"
        assert server.connections == 2


async def test_a_reply_without_length_that_falls_silent_is_not_taken_for_whole() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_line(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nthe first half")
        await reader.read()

    async with scripted(script, timeout=0.2) as (_, upstream):
        async with await upstream.request("GET", "/", headers={}) as got:
            with pytest.raises(Unavailable, match="did not answer in time"):
                await got.read()


class Clock:
    """The pool's clock, which is on by `step` seconds more with each look at a connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.step = 0.0
        self._ahead = 0.0
        check = Connection.check_patience

        def look(connection: Connection, now: float) -> None:
            self._ahead += self.step
            check(connection, now + self._ahead)
            self._looks.set()

        self._looks = asyncio.Event()
        monkeypatch.setattr(Connection, "check_patience", look)
        monkeypatch.setattr("proxy.pool._TICK_SECONDS", 0.001)

    async def looks(self, count: int) -> None:
        for _ in range(count):
            self._looks.clear()
            await self._looks.wait()


@pytest.mark.parametrize("sized", [True, False])
async def test_a_pause_of_who_sends_the_body_is_not_the_sources(sized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def pausing() -> AsyncIterator[bytes]:
        yield b"one"
        clock.step = 3600.0
        await clock.looks(3)
        clock.step = 0.0
        yield b"two"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"two")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
        if not sized:
            await reader.readuntil(b"0\r\n\r\n")

    async with scripted(script, timeout=60.0) as (_, upstream):
        body = Sized(6, pausing()) if sized else pausing()
        async with await upstream.request("PUT", "/x", headers={}, body=body) as got:
            assert got.status == 201


async def _much() -> AsyncIterator[bytes]:
    for _ in range(64):
        yield b"x" * 2**20


@pytest.mark.parametrize("body", [lambda: b"x" * 2**26, lambda: Sized(2**26, _much())])
async def test_time_to_digest_begins_with_the_last_byte(
    body: Callable[[], Body], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    takes = True

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if takes:
            await reader.readexactly(2**26)
            clock.step = 15.0
            await clock.looks(6)
            clock.step = 0.0
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
        else:
            clock.step = 61.0
        await asyncio.Event().wait()

    async with scripted(script, timeout=60.0) as (_, upstream):
        async with await upstream.request("PUT", "/x", headers={}, body=body()) as got:
            assert got.status == 201
        takes = False
        with pytest.raises(Unavailable) as caught:
            await upstream.request("PUT", "/x", headers={}, body=body())
        assert caught.value.status == 504


async def test_a_source_that_goes_on_taking_the_request_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        clock.step = 25.0  # for all of it a multiple of what the source may be silent
        for _ in range(16):
            await reader.readexactly(2**21)
            await clock.looks(1)
        clock.step = 0.0
        await reader.readexactly(2**25)  # of which the system may have held a part already
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")

    async with scripted(script, timeout=60.0) as (_, upstream):
        async with await upstream.request("PUT", "/x", headers={}, body=b"x" * 2**26) as got:
            assert got.status == 201


async def test_what_the_system_holds_of_a_request_is_still_to_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source takes it slowly, long after the last byte of it was written."""
    clock = Clock(monkeypatch)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # so that it is the system of who sends that holds the rest
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        await reader.readuntil(b"\r\n\r\n")
        clock.step = 25.0
        for _ in range(2**24 // 2**19):
            await reader.readexactly(2**19)
            await clock.looks(1)
        clock.step = 0.0
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")

    async with scripted(script, timeout=60.0) as (_, upstream):
        async with await upstream.request("PUT", "/x", headers={}, body=b"x" * 2**24) as got:
            assert got.status == 201


def endless(status: bytes, beginning: bytes) -> Script:
    """A reply that does not end."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_line(reader)
        writer.write(b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        writer.write(b"%x\r\n%b\r\n" % (len(beginning), beginning))
        while True:
            writer.write(b"10000\r\n%b\r\n" % (b" " * 2**16))
            await writer.drain()

    return script


async def test_an_error_or_a_document_that_does_not_end_is_not_read_for_ever() -> None:
    async with scripted(endless(b"500 Error", b'{"error":')) as (_, upstream):
        async with await upstream.request("GET", "/", headers={}) as got:
            error = await got.error()
            assert (error.status, error.reason) == (502, "The source answered 500 without saying why.")
        with pytest.raises(CouchError):
            await upstream.json("GET", "/", headers={})
    async with scripted(endless(b"200 OK", b'{"_id":"x",')) as (server, _):
        upstream = Upstream(Source("test", server.url), largest=2**20)
        with pytest.raises(Unavailable, match="more than 1048576 bytes"):
            await upstream.json("GET", "/x", headers={})
        async with await upstream.request("GET", "/x", headers={}) as got:
            with pytest.raises(Unavailable):
                await got.within()
        async with await upstream.request("GET", "/x", headers={}) as got:
            await got.skip()
        assert server.connections == 3
        upstream.close()


async def test_what_can_be_of_any_length_is_read_whole() -> None:
    body = b"[%b]" % (b" " * 2**20)
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with scripted(replying(whole)) as (server, _):
        upstream = Upstream(Source("test", server.url), largest=2**16)
        async with await upstream.request("GET", "/x", headers={}) as got:
            assert await got.open_revs() == []
        async with await upstream.request("GET", "/x", headers={}) as got:
            assert await got.json(None) == []
        with pytest.raises(Unavailable):
            await upstream.json("GET", "/x", headers={})
        upstream.close()
