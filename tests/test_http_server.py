"""What a server makes of clients that do not speak HTTP, break off in the middle, or never come to the point."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from proxy.errors import CouchError
from proxy.http_server import Connection, HttpServer, Unsent, patient, served
from proxy.listening import listen
from proxy.sent import LARGE, Whole
from proxy.sockets import untaken
from tests.support.sockets import answer, connected, exchange, unread

JSON = [("Content-Type", "application/json")]


class Echo:
    """Answers with the body, or what went wrong with it: `/unread` without a look at it, `/held` once it is told."""

    def __init__(self) -> None:
        self.patience = 60.0
        self.reading = asyncio.Event()
        self.told = asyncio.Event()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/unread":
            return Whole(409, JSON, b"{}\n")
        self.reading.set()
        if request.path == "/held":
            await self.told.wait()
        try:
            body = b"".join([piece async for piece in patient(request.content, self.patience)])
        except CouchError as error:
            return Whole(error.status, JSON, error.reason.encode())
        return Whole(200, JSON, body)


@pytest.fixture
async def echo() -> Echo:
    return Echo()


async def serving(echo: Echo, patience: float) -> AsyncIterator[str]:
    server = HttpServer(echo.handle, patience=patience)
    async with served(server, listen("127.0.0.1", 0), seconds_to_end=0.1) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture
async def url(echo: Echo) -> AsyncIterator[str]:
    async for address in serving(echo, 60):
        yield address


@pytest.fixture
async def hurried(echo: Echo) -> AsyncIterator[str]:
    """A server with little patience for heads."""
    async for address in serving(echo, 0.05):
        yield address


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_answered_as_couchdb_would(
    url: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    got = await exchange(url, sent)
    assert (got.status, got.header("Content-Type"), got.header("Connection")) == (400, "application/json", "close")
    assert got.json == {"error": "bad_request", "reason": "The request is not well-formed HTTP."}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_body_whose_framing_breaks_is_an_error_for_who_reads_it(url: str, echo: Echo) -> None:
    """The handler waited for the rest for as long as the client stayed."""
    async with connected(url) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await echo.reading.wait()
        writer.write(b"zz\r\n")
        got = await answer(reader)
        assert (got.status, got.header("Connection")) == (400, "close")
        assert got.body == b"The request's body is not well-formed HTTP."
        assert await reader.read() == b""


async def test_a_broken_body_that_waits_behind_another_request_ends_the_connection(url: str, echo: Echo) -> None:
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with connected(url) as (reader, writer):
        writer.write(head % b"/held" + b"2\r\nab\r\n0\r\n\r\n" + head % b"/" + b"2\r\nab\r\n")
        await echo.reading.wait()
        writer.write(b"zz\r\n")
        async with connected(url) as (other, asking):  # by the time of its answer the server has read all that came
            asking.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await answer(other)).status == 200
        echo.told.set()
        assert (await answer(reader)).body == b"ab"
        assert await reader.read() == b""


async def test_a_broken_body_that_nobody_reads_ends_the_connection(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(url) as (reader, writer):
        writer.write(b"POST /unread HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        assert (await answer(reader)).status == 409
        writer.write(b"zz\r\n")
        assert await reader.read() == b""
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_client_that_does_not_come_to_the_point_is_cut_off(hurried: str, sent: bytes) -> None:
    async with connected(hurried) as (reader, writer):
        writer.write(sent)
        assert await reader.read() == b""


async def test_a_head_that_begins_after_another_request_has_its_time_too(hurried: str) -> None:
    async with connected(hurried) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await answer(reader)).status == 200
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await reader.read() == b""


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_has_its_time_though_it_came_with_the_connection(
    hurried: str, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some loops read before the task has begun that waits for requests."""
    made = Connection.connection_made

    def made_and_read(connection: Connection, transport: asyncio.BaseTransport) -> None:
        made(connection, transport)
        connection.data_received(sent)

    monkeypatch.setattr(Connection, "connection_made", made_and_read)
    async with connected(hurried) as (reader, _):
        assert await reader.read() == b""


async def test_a_head_that_begins_with_another_request_has_its_time_too(hurried: str) -> None:
    async with connected(hurried) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert (await answer(reader)).status == 200
        assert await reader.read() == b""


async def test_a_slow_body_is_not_a_slow_head(hurried: str, echo: Echo) -> None:
    async with connected(hurried) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na")
        await echo.reading.wait()
        for piece in (b"b", b"c", b"d"):
            await asyncio.sleep(0.04)  # in all longer than a head may take
            writer.write(piece)
        assert (await answer(reader)).body == b"abcd"


async def test_a_connection_may_rest_between_two_requests(hurried: str) -> None:
    async with connected(hurried) as (reader, writer):
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await answer(reader)).status == 200
            await asyncio.sleep(0.1)


async def test_a_body_that_does_not_go_on_is_given_up(url: str, echo: Echo) -> None:
    echo.patience = 0.05
    got = await exchange(url, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na")
    assert (got.status, got.body, got.header("Connection")) == (408, b"The request's body does not go on.", "close")


class Flood:
    """Answers with more than a client that does not read takes, in every way there is."""

    def __init__(self) -> None:
        self.given = 0
        self.server = HttpServer(self.handle, patience=0.2)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.given += 1
        if request.path == "/whole":
            return Whole(200, JSON, b"x" * 2**26)
        if request.path == "/small":
            return Whole(200, JSON, b"x" * LARGE)
        response = web.StreamResponse()
        await response.prepare(request)
        assert request.transport is not None
        while request.path == "/streamed" or not request.transport.get_write_buffer_size():
            await response.write(b"x" * LARGE)
        return response


@pytest.mark.parametrize("path", ["/streamed", "/whole", "/small", "/rest"])
async def test_a_client_that_does_not_take_its_answer_is_cut_off(path: str, caplog: pytest.LogCaptureFixture) -> None:
    flood = Flood()
    caplog.set_level(logging.INFO, "couch_tailor.http")
    ask = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with (
        served(flood.server, listen("127.0.0.1", 0), seconds_to_end=0.1) as (host, port),
        unread(f"http://{host}:{port}", ask * (2000 if path == "/small" else 1)),
    ):
        while not flood.server.connections:
            await asyncio.sleep(0.01)
        while flood.server.connections:
            await asyncio.sleep(0.01)
    assert 0 < flood.given < 1000  # what nobody takes does not pile up either
    assert [record.getMessage() for record in caplog.records if "does not take its answer" in record.getMessage()]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_who_takes_a_little_now_and_then_is_not_cut_off() -> None:
    unsent = Unsent()
    assert [unsent.look(left, now) for left, now in [(0, 100), (9, 110), (9, 120), (9, 130)]] == [0, 0, 10, 20]
    assert [unsent.look(left, now) for left, now in [(8, 140), (9, 150), (7, 160), (7, 170)]] == [0, 10, 0, 10]
    unsent.resumed = True  # and as much was written
    assert [unsent.look(left, now) for left, now in [(7, 180), (7, 190), (0, 200), (7, 300)]] == [0, 10, 0, 0]


async def test_what_a_slow_client_takes_counts_before_the_kernel_asks_for_more() -> None:
    """It does so after megabytes: a client that takes kilobytes a second would look like one that takes nothing."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
    with client:
        transport.write(bytes(32 * 2**20))
        while True:  # until the kernel holds all that it will
            before = transport.get_write_buffer_size()
            await asyncio.sleep(0)
            if transport.get_write_buffer_size() == before:
                break
        left, waiting = untaken(transport), transport.get_write_buffer_size()
        assert left > waiting > 0
        taken = 0
        while untaken(transport) == left:
            taken += len(client.recv(16 * 1024))
            assert taken < 2**20
        assert transport.get_write_buffer_size() == waiting
    transport.abort()


@pytest.mark.parametrize("turns", range(8))
async def test_who_is_accepted_as_the_server_ends_is_let_go(turns: int) -> None:
    (listening,) = listen("127.0.0.1", 0)

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="taken")

    with socket.socket() as client:
        async with served(web.Server(handle), [listening], seconds_to_end=0.1) as address:
            client.connect(address)
            for _ in range(turns):
                await asyncio.sleep(0)
        client.setblocking(False)
        gone = asyncio.get_running_loop().sock_recv(client, 1)
        try:
            async with asyncio.timeout(5):  # what is not told waits for ever
                assert await gone == b""
        except ConnectionResetError:
            pass
