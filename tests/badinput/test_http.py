"""Bytes that are no HTTP, requests that were damaged, cut off at any point, or come very slowly."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.endpoints import Kind
from proxy.endpoint.http import call
from tests.badinput.conftest import Lab, Server, examples, servers
from tests.badinput.mutations import byte_strings
from tests.badinput.requests import ALL, DOCS, PHONE, WITH_BODY, Request
from tests.support.inprocess import site
from tests.support.sockets import Got, answer, connected

HARMLESS = [(kind, request) for kind, request in ALL if (kind, request.method) != (Kind.DATABASE, "DELETE")]

HEAD = b"Host: x\r\n"
MALFORMED: dict[str, bytes] = {
    "words": b"hello, is this CouchDB?\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": b"BREW /_up HTTP/1.1\r\n" + HEAD + b"\r\n",
    "method of another protocol": b"PROPFIND /_up HTTP/1.1\r\n" + HEAD + b"\r\n",
    "lower case": b"get /_up HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no target": b"GET HTTP/1.1\r\n" + HEAD + b"\r\n",
    "two targets": b"GET /_up /_up HTTP/1.1\r\n" + HEAD + b"\r\n",
    "other version": b"GET /_up HTTP/3.7\r\n" + HEAD + b"\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
    "authority": b"CONNECT x:80 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "broken authority": b"GET http://[::1/_up HTTP/1.1\r\n" + HEAD + b"\r\n",
    "port of an absolute target": b"GET http://x:99999999/_up HTTP/1.1\r\n" + HEAD + b"\r\n",
    "other scheme": b"GET gopher:_up HTTP/1.1\r\n" + HEAD + b"\r\n",
    "bytes in the target": b"GET /\xff\xfe HTTP/1.1\r\n" + HEAD + b"\r\n",
    "NUL in the target": b"GET /_up\x00 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "long target": b"GET /" + b"x" * 2**17 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
    "long header": b"GET /_up HTTP/1.1\r\n" + HEAD + b"X: " + b"x" * 2**17 + b"\r\n\r\n",
    "many headers": b"GET /_up HTTP/1.1\r\n" + HEAD + b"X: y\r\n" * 5000 + b"\r\n",
    "no colon": b"GET /_up HTTP/1.1\r\n" + HEAD + b"nonsense\r\n\r\n",
    "space before the colon": b"GET /_up HTTP/1.1\r\n" + HEAD + b"X : y\r\n\r\n",
    "folded header": b"GET /_up HTTP/1.1\r\n" + HEAD + b"X: y\r\n z\r\n\r\n",
    "NUL in a header": b"GET /_up HTTP/1.1\r\n" + HEAD + b"X: \x00\r\n\r\n",
    "bare CR": b"GET /_up HTTP/1.1\r\n" + HEAD + b"X: y\rY: z\r\n\r\n",
}
POST = b"POST /_session HTTP/1.1\r\n" + HEAD
FRAMING: dict[str, bytes] = {
    "more than its length": POST + b"Content-Length: 1\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "empty length": POST + b"Content-Length: \r\n\r\n{}",
    "length and chunks": POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "other transfer coding": POST + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "chunked is not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "nearly chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "no size": POST + b"Transfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n",
    "size that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "negative size": POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "size beyond 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n",
    "more than its size": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n0\r\n\r\n",
    "no line end": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
}


@pytest.mark.parametrize("sent", [*MALFORMED.values(), *FRAMING.values()], ids=[*MALFORMED, *FRAMING])
def test_malformed_http_is_refused(lab: Lab, sent: bytes) -> None:
    for server in lab.servers:
        got = lab.send(server, sent)
        lab.judge(server, sent, got)
        assert got.status == 0 or 400 <= got.status < 500, (server.name, got)
        assert lab.ask(server, Request("GET", "/{db}")).status == 200


async def _say(lab: Lab, server: Server, sent: bytes, bodiless: bool) -> Got:
    """What comes back for bytes that may be a part of a request only, after which nothing else comes."""
    async with connected(server.url) as (reader, writer):
        writer.write(sent)
        answered = asyncio.ensure_future(answer(reader, bodiless))
        for _ in range(3):  # time for the server to answer what it can answer
            if not answered.done():
                await lab.site.request("GET", f"{server.url}/_up")
        if not answered.done():
            writer.write_eof()
        return await answered


@examples(150)
@given(data=st.data())
def test_requests_that_were_damaged_on_their_way(lab: Lab, data: st.DataObject) -> None:
    _, request = data.draw(st.sampled_from(HARMLESS), label="request")
    words = (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1", b"Host: x\r\n", b"%", b"?", b"/")
    for server in lab.servers:
        sent = data.draw(byte_strings(server.bytes(request), words), label=server.name)
        if sent.startswith((b"DELETE", b"POST")) and server.name == "endpoint":
            continue  # as administrator: what is left could be to delete the database
        lab.judge(server, sent, lab.run(_say(lab, server, sent, request.method == "HEAD" or b"HEAD" in sent)))


@examples(60)
@given(sent=st.binary(max_size=300))
def test_any_bytes(lab: Lab, sent: bytes) -> None:
    for server in lab.servers:
        lab.judge(server, sent, lab.run(_say(lab, server, sent, False)))


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("which", range(len(WITH_BODY)), ids=lambda index: f"{index}-{WITH_BODY[index][0].name}")
def test_of_a_request_that_is_cut_off_nothing_is_stored(lab: Lab, which: int, chunked: bool) -> None:
    """After any number of bytes the client is gone. The server goes on, and has stored nothing."""
    _, request = WITH_BODY[which]
    assert request.body is not None
    if chunked:
        half = len(request.body) // 2
        parts = [request.body[:half], request.body[half:]]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
        request = request.with_body(body, Transfer_Encoding="chunked")

    async def cut(server: Server, sent: bytes) -> None:
        async with connected(server.url) as (_, writer):
            writer.write(sent)
            await writer.drain()
            await asyncio.sleep(0)

    before = lab.state()
    for server in lab.servers:
        whole = server.bytes(request)
        # all places around where the head ends, and a few others
        body_at = whole.index(b"\r\n\r\n")
        places = {*range(0, len(whole), 23), *range(body_at - 1, body_at + 8), *range(len(whole) - 8, len(whole))}
        for at in sorted(place for place in places if place < len(whole)):
            lab.run(cut(server, whole[:at]))
        assert lab.ask(server, Request("GET", "/{db}")).status == 200
    assert lab.state() == before
    assert lab.errors.take() == []


@examples(60)
@given(data=st.data())
def test_any_request_may_be_cut_off_anywhere(lab: Lab, data: st.DataObject) -> None:
    _, request = data.draw(st.sampled_from(HARMLESS), label="request")
    for server in lab.servers:
        whole = server.bytes(request)
        sent = whole[: data.draw(st.integers(0, len(whole) - 1), label="bytes")]

        async def cut(url: str, sent: bytes) -> None:
            async with connected(url) as (_, writer):
                writer.write(sent)
                await writer.drain()

        before = lab.state()
        lab.run(cut(server.url, sent))
        assert lab.ask(server, Request("GET", "/{db}")).status == 200
        assert lab.state() == before
        assert lab.errors.take() == []


@examples(40)
@given(data=st.data())
def test_an_answer_does_not_depend_on_how_a_request_is_cut_into_pieces(lab: Lab, data: st.DataObject) -> None:
    _, request = data.draw(st.sampled_from([pair for pair in HARMLESS if pair[1].method != "COPY"]), label="request")
    for server in lab.servers:
        whole = server.bytes(request)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6), label="cuts"))
        expected = lab.send(server, whole, request.method == "HEAD")

        async def pieces(url: str, whole: bytes, cuts: list[int]) -> Got:
            async with connected(url) as (reader, writer):
                for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                    writer.write(whole[start:end])
                    await writer.drain()
                    await asyncio.sleep(0)
                return await answer(reader, request.method == "HEAD")

        got = lab.run(pieces(server.url, whole, cuts))
        lab.judge(server, whole, got)
        assert got.status == expected.status or {got.status, expected.status} <= {200, 201, 409}


# ---- slow senders


def test_many_slow_senders_do_not_stop_others(lab: Lab) -> None:
    """Hundreds of requests that hang in their heads or bodies; each is answered once it is complete."""
    slow = Request("POST", "/{db}/_revs_diff", {"Content-Type": "application/json"}, b'{"mine":["1-a"]}')

    async def story(server: Server) -> list[int]:
        whole = server.bytes(slow)
        places = [1, 30, whole.index(b"\r\n\r\n") + 2, len(whole) - 3]
        hanging = []
        for index in range(200):
            reader, writer = await asyncio.open_connection(*_address(server.url))
            writer.write(whole[: places[index % 4]])
            hanging.append((reader, writer, whole[places[index % 4] :]))
        for _ in range(20):
            found = await lab.site.request("GET", f"{server.url}/_uuids")
            assert found.status == 200
        statuses = []
        for reader, writer, rest in hanging:
            writer.write(rest)
            statuses.append((await answer(reader)).status)
            writer.close()
        return statuses

    for server in lab.servers:
        assert lab.run(story(server)) == [200] * 200
    assert lab.errors.take() == []


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


async def test_a_body_that_stops_is_given_up_wherever_it_goes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(call, "PATIENCE", 0.1)

    async def stop(server: Server, request: Request) -> int:
        async with connected(server.url) as (reader, writer):
            writer.write(server.bytes(request)[:-1])
            return (await answer(reader)).status

    async with site(PHONE, docs=DOCS, client_timeout=0.1) as served:
        for server in servers(served):
            asked = [request for kind, request in WITH_BODY if kind is not Kind.ENSURE_FULL_COMMIT]
            statuses = await asyncio.gather(*(stop(server, request) for request in asked))
            assert statuses.count(408) > len(statuses) // 2
            assert all(400 <= status < 500 for status in statuses), statuses  # some know before that it will not do
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
