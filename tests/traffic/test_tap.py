"""Taking HTTP apart, however it is cut."""

from __future__ import annotations

from itertools import count

import pytest

from proxy.traffic import TrafficError
from proxy.traffic.exchange import Exchange
from proxy.traffic.tap import Tap

REQUESTS = (
    b"PUT /a/b?c HTTP/1.1\r\nHost: here:1\r\nX-A: \xc3\xbc\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
    b"HEAD /h HTTP/1.1\r\nHost: here:1\r\n\r\n"
    b"POST /p HTTP/1.1\r\nhost: here:1\r\nContent-Length: 4\r\n\r\nbody"
    b"GET /n HTTP/1.1\r\nHost: here:1\r\n\r\n"
)
REPLIES = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)


def tap(**options: str) -> Tap:
    return Tap(lambda: 5, count().__next__, **options)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_pipelined_exchanges(size: int) -> None:
    listening = tap()
    sent = b"".join(listening.from_client(piece) for piece in cut(REQUESTS, size))
    assert sent == REQUESTS
    done: list[Exchange] = [each for piece in cut(REPLIES, size) for each in listening.from_server(piece)]
    assert [each.n for each in done] == [0, 1, 2, 3]
    assert [(each.request.method, each.request.target, each.request.body) for each in done] == [
        ("PUT", "/a/b?c", b"abcde"),
        ("HEAD", "/h", b""),
        ("POST", "/p", b"body"),
        ("GET", "/n", b""),
    ]
    assert done[0].request.chunks == (3, 2)
    assert done[0].request.headers[1] == ("X-A", "ü")
    replies = [each.reply for each in done if each.reply is not None]
    assert [(reply.status, reply.body) for reply in replies] == [(201, b"{}"), (200, b""), (304, b""), (200, b"ok")]
    assert (replies[0].chunks, replies[0].chunks_ms) == ((1, 1), (0, 0))
    assert replies[1].chunks is None
    assert listening.end(by_server=True) == []


def test_host_and_prefix_are_those_of_the_server() -> None:
    sent = tap(host="there:2", prefix="/couch").from_client(b"GET /a HTTP/1.1\r\nhost: here:1\r\nA: b\r\n\r\n")
    assert sent == b"GET /couch/a HTTP/1.1\r\nHost: there:2\r\nA: b\r\n\r\n"


def test_a_body_that_ends_with_the_connection() -> None:
    listening = tap()
    listening.from_client(b"GET / HTTP/1.1\r\n\r\n")
    assert listening.from_server(b"HTTP/1.0 200 OK\r\n\r\nall of") == []
    assert listening.from_server(b" it") == []
    (exchange,) = listening.end(by_server=True)
    assert exchange.reply is not None
    assert exchange.reply.body == b"all of it"


@pytest.mark.parametrize("by_server", [True, False])
def test_a_reply_that_is_cut_short_is_partial(by_server: bool) -> None:
    listening = tap()
    listening.from_client(b"GET / HTTP/1.1\r\n\r\n")
    listening.from_server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n5\r\ncd")
    (exchange,) = listening.end(by_server=by_server)
    assert exchange.reply is None
    assert exchange.partial is not None
    assert (exchange.partial.body, exchange.partial.chunks) == (b"ab", (2,))


def test_a_request_without_a_reply() -> None:
    listening = tap()
    listening.from_client(b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")
    (exchange,) = listening.end(by_server=False)
    assert (exchange.reply, exchange.partial, exchange.request.body) == (None, None, b"half")


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET http://absolute/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 300_000,
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(TrafficError):
        tap().from_client(data)


@pytest.mark.parametrize(
    "data", [b"SMTP ready\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 \r\n\r\n"]
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    listening = tap()
    listening.from_client(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(TrafficError):
        listening.from_server(data)


def test_a_reply_to_nothing_is_refused() -> None:
    with pytest.raises(TrafficError, match="nobody asked"):
        tap().from_server(b"HTTP/1.1 200 OK\r\n\r\n")
