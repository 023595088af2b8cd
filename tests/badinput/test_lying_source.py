"""A source that lies, whatever it is asked: clients get a clear error or a cut connection, and nothing hidden.

`_session` is answered honestly, or else nobody would come far enough to be lied to.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from proxy.app import running
from proxy.config.model import Config, Database, Server, Source
from proxy.core.endpoints import Kind
from tests.badinput.conftest import Server as Address
from tests.badinput.requests import ALL, HIDDEN_ID, PHONE, SECRET, Request
from tests.support.inprocess import basic
from tests.support.sockets import Got, answer, connected

REV = "1-" + "a" * 32
HIDDEN = {"_id": HIDDEN_ID, "_rev": REV, "facility": "f2", "ssn": SECRET, "_revisions": {"start": 1, "ids": ["a" * 32]}}
SESSION = json.dumps({"ok": True, "userCtx": {"name": "ann", "roles": ["nurse", "facility:f1"]}}).encode()


def reply(body: bytes, status: str = "200 OK", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


SHAPES: list[object] = [
    *(
        None,
        True,
        5,
        -1.5,
        "x",
        SECRET,
        [],
        {},
        [[]],
        [{}],
        [None],
        [SECRET],
        {"": {}},
        {"ok": True},
        {"ok": HIDDEN},
        [{"ok": 5}],
    ),
    *(
        {"_id": 5, "_rev": 5},
        {"_id": "mine"},
        {"_id": "mine", "_rev": None},
        {"_id": "mine", "_rev": "x"},
        HIDDEN,
        [HIDDEN],
    ),
    *({"_id": "mine", "_rev": REV, "facility": "f1", "_attachments": 5, "_revisions": 5},),
    *({"_id": "mine", "_rev": REV, "facility": "f1", "_attachments": {"note.txt": 5}, "_revisions": {"start": "1"}},),
    *({"_id": "mine", "_rev": REV, "facility": "f1", "_attachments": {"note.txt": {"length": -1, "content_type": 5}}},),
    *({"_id": "_design/app", "_rev": REV, "_attachments": [], "_conflicts": 5, "_revs_info": "x", "_local_seq": []},),
    *(
        {"rows": 5},
        {"rows": [None]},
        {"rows": [[]]},
        {"rows": [{}]},
        {"rows": [{"id": 5, "key": [], "value": 5, "doc": 5}]},
    ),
    *(
        {"rows": [{"id": "mine", "key": "mine", "value": {"rev": REV}, "doc": HIDDEN}]},
        {"rows": [HIDDEN], "total_rows": []},
    ),
    *({"results": 5}, {"results": [None]}, {"results": [{}], "last_seq": {}}, {"results": [{"id": 5, "docs": 5}]}),
    *({"results": [{"id": "mine", "docs": [5]}]}, {"results": [{"id": "mine", "docs": [{"ok": 5}]}]}),
    *(
        {"results": [{"id": "mine", "docs": [{"ok": HIDDEN}]}]},
        {"results": [{"id": "mine", "docs": [{"error": SECRET}]}]},
    ),
    *(
        {"results": [{"seq": [], "id": "mine", "changes": 5}]},
        {"results": [{"seq": 1, "id": None, "changes": [{"rev": 5}]}]},
    ),
    *(
        {
            "results": [{"seq": 1, "id": "mine", "changes": [{"rev": REV}], "doc": HIDDEN}],
            "last_seq": 1,
            "pending": "x",
        },
    ),
    *({"mine": 5}, {"mine": {"missing": 5}}, {"mine": {"missing": [5], "possible_ancestors": 5}}, {"missing_revs": 5}),
    *({"id": 5, "rev": 5}, {"ok": False, "id": "x", "rev": []}, [{"id": "b1"}], [{"id": 5, "error": 5, "reason": 5}]),
    *(
        {"error": 5, "reason": [SECRET]},
        {"error": SECRET},
        {"update_seq": [], "instance_start_time": 5, "doc_count": {}},
    ),
    *({"uuid": [], "couchdb": 5, "version": {}}, {"userCtx": 5}, {"status": 5}),
]
"""JSON that is no answer to anything, or to something else."""

LIES: dict[str, bytes] = {
    **{f"{shape!r:.60}": reply(json.dumps(shape).encode()) for shape in SHAPES},
    **{
        f"{status} {shape!r:.40}": reply(json.dumps(shape).encode(), status)
        for status in ("201 Created", "404 Not Found", "409 Conflict", "500 Error", "999 What")
        for shape in (
            None,
            [SECRET],
            {"error": 5, "reason": 5},
            {"error": "x", "reason": 5},
            {"error": "x", "reason": "y"},
            {},
        )
    },
    "nothing": b"",
    "words": b"hello\r\n\r\n",
    "no status": b"HTTP/1.1 \r\n\r\n",
    "status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "interim reply only": b"HTTP/1.1 100 Continue\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "redirect": reply(b"", "302 Found", "Location: http://127.0.0.1:1/"),
    "no JSON": reply(b"<html>" + SECRET.encode() + b"</html>"),
    "no UTF-8": reply(b'{"_id":"\xff"}'),
    "deep": reply(b"[" * 5000 + b"]" * 5000),
    "deep results": reply(b'{"results":' + b"[" * 5000),
    "huge number": reply(b'{"_rev":' + b"9" * 10_000 + b"}"),
    "lone surrogate": reply(b'{"_id":"\\ud800","rows":["\\ud800"],"results":["\\ud800"]}'),
    "gzip": reply(gzip.compress(b"{}"), "200 OK", "Content-Encoding: gzip"),
    "longer than it says": reply(b"{}") + SECRET.encode() + reply(json.dumps(HIDDEN).encode()),
    "shorter than it says": reply(json.dumps(HIDDEN).encode())[:-5],
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n{}",
    "length and chunks": reply(b"2\r\n{}\r\n0\r\n\r\n", "200 OK", "Transfer-Encoding: chunked"),
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "half a chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"results":[',
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "no length, rows and then nothing": b'HTTP/1.1 200 OK\r\n\r\n{"rows":[{"id":"mine","key":"mine"},',
    "line breaks in headers": reply(b"{}", "200 OK", "ETag: x\ry", "Location: \x7f", "Content-Disposition: \xff"),
    "head that does not end": b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 80_000,
}


@asynccontextmanager
async def lied_to(lie: bytes) -> AsyncIterator[Address]:
    """A proxy before a source that says `lie` to everything but `_session`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"get /_session"):
                    writer.write(reply(SESSION))
                    continue
                if b"content-length: " in head:
                    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                elif b"transfer-encoding: chunked" in head:
                    await reader.readuntil(b"0\r\n\r\n")
                writer.write(lie)
                await writer.drain()
                break
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    source = Source("main", f"http://{host}:{port}", auth="service", username="x", password="y")
    config = Config(
        Server(port=0, secret=b"a secret of the tests", timeout=5.0),
        {"main": source},
        {"clinic": Database("clinic", source, "clinic")},
        {PHONE.name: PHONE},
    )
    async with running(config) as (host, port):
        yield Address("proxy", f"http://{host}:{port}", "clinic-phone", basic(("ann", "ann"))["Authorization"])
    listener.close()


async def asked(server: Address, request: Request) -> Got:
    async with connected(server.url) as (reader, writer):
        writer.write(server.bytes(request))
        return await answer(reader, request.method == "HEAD")


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_lie_is_an_error_or_a_cut_connection(
    lie: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.writing.settle._PAUSES", (0.0, 0.0, 0.0))
    told_500 = lie.startswith(b"HTTP/1.1 500")
    async with lied_to(lie) as server:
        for kind, request in ALL:
            got = await asked(server, request)
            where = (kind, request.target, got)
            shown = got.head + got.body
            if kind is not Kind.SESSION:  # that is the source's own talk with the client
                assert SECRET.encode() not in shown, where
                assert HIDDEN_ID.encode() not in shown, where
            assert got.status != 500 or told_500, where
            if got.status >= 400 and got.body and kind not in (Kind.UP, Kind.SESSION):
                assert got.json.keys() == {"error", "reason"}, where
        assert (await asked(server, Request("GET", "/_uuids"))).status == 200
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in told] == []
