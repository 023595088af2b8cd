"""Attachments by themselves and within documents: whole, or not at all."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientPayloadError, web

from proxy.core.endpoints import Kind
from proxy.leaves import not_in_bulk
from proxy.reading.attachments import coded_bodies, get_attachment
from proxy.reading.bulk_get import post_bulk_get
from proxy.reading.document import get_document
from proxy.resolve import shown_as
from tests.reading.couch import NO_PATHS, Couch, rev, revision, serving
from tests.reading.served import front

ENTRY = {"content_type": "image/png", "revpos": 1, "digest": "md5-y==", "length": 3, "stub": True}
HANDLERS: dict[Any, Any] = {
    Kind.ATTACHMENT: get_attachment,
    Kind.BULK_GET: post_bulk_get,
    Kind.DOCUMENT: get_document,
}


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    couch = Couch([revision("photo", "a", owner="ann", _attachments={"i.bin": ENTRY})])
    couch.bodies["photo", "i.bin"] = b"\0\1\2"
    async with serving(couch):
        yield couch


@pytest.mark.parametrize("given", [b"\0\1\2", b"", b"\0\1", b"\0\1\2\3"], ids=len)
async def test_an_attachment_of_another_length_is_not_given_as_a_whole(couch: Couch, given: bytes) -> None:
    couch.bodies["photo", "i.bin"] = given
    async with front(couch, HANDLERS) as ann:
        for method, path, body in (
            ("GET", "/db-phone/photo/i.bin", None),
            ("GET", "/db-phone/photo?attachments=true", None),
            ("POST", "/db-phone/_bulk_get?attachments=true", {"docs": [{"id": "photo"}]}),
        ):
            try:
                status, text, _ = await ann.raw(method, path, body)
            except ClientPayloadError:  # it had begun
                assert len(given) != 3
                continue
            if len(given) == 3:
                assert status == 200
                assert given in text or base64.b64encode(given) in text
            else:
                assert status == 502, path
                assert b"not of the length that it announced" in text


async def test_an_attachment_of_no_known_revision_is_sent_as_well(couch: Couch) -> None:
    """CouchDB stores a `revpos` of 0 where a replicator sends none, and sends such attachments."""
    couch.docs["photo"] = [revision("photo", "a", owner="ann", _attachments={"i.bin": {**ENTRY, "revpos": 0}})]
    async with front(couch, HANDLERS) as ann:
        found = await ann.json("POST", "/db-phone/_bulk_get?attachments=true", {"docs": [{"id": "photo"}]})
        whole = found["results"][0]["docs"][0]["ok"]
        assert base64.b64decode(whole["_attachments"]["i.bin"]["data"]) == b"\0\1\2"


async def test_a_source_without_bulk_get_is_not_asked_by_it(couch: Couch) -> None:
    entries = {"i.bin": ENTRY, "j.bin": ENTRY}
    couch.bodies["photo", "j.bin"] = b"\0\1\2"
    photo = revision("photo", "a", owner="ann", _attachments=entries)
    async with front(couch, HANDLERS) as ann:
        for has in (True, False):
            couch.requests.clear()
            if not has:
                not_in_bulk(ann.view)
            async with await coded_bodies(ann.view, [(shown_as(photo, photo), list(entries))]) as bodies:
                for name in entries:
                    assert [piece async for piece in bodies.of(shown_as(photo, photo), name)] == [b"AAEC"]
            assert any("_bulk_get" in path for _, path, _ in couch.requests) is has


def answers(couch: Couch, status: int, body: bytes, **headers: str) -> None:
    """What the source answers for the attachment. Underscores in names of headers stand for hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=named)
        if not named.pop("Transfer-Encoding", ""):
            response.content_length = len(body)
        await response.prepare(request)
        await response.write(body)
        return response

    couch.instead["/db/photo/i.bin"] = answer


@pytest.mark.parametrize("status", [201, 202, 204, 206])
async def test_a_status_that_was_not_asked_for_is_no_attachment(couch: Couch, status: int) -> None:
    answers(couch, status, b"" if status == 204 else b"\0\1\2", Content_Range="bytes 0-2/3")
    async with front(couch, HANDLERS) as ann:
        assert (await ann.error("GET", "/db-phone/photo/i.bin"))[0] == 502
        assert (await ann.raw("HEAD", "/db-phone/photo/i.bin"))[0] == 502


@pytest.mark.parametrize(
    ("content_range", "body"),
    [
        ("bytes 0-1/3", b"\0"),
        ("bytes 0-1/3", b"\0\1\2"),
        ("bytes 1-0/3", b""),
        ("bytes 0-1/4", b"\0\1"),
        ("bytes 0-3/3", b"\0\1\2\3"),
        ("lines 0-1/3", b"\0\1"),
        ("", b"\0\1"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_part_that_is_not_what_it_says_is_not_given_as_one(
    couch: Couch, content_range: str, body: bytes, chunked: bool
) -> None:
    framing = {"Transfer_Encoding": "chunked"} if chunked else {}
    answers(couch, 206, body, **framing, **({"Content_Range": content_range} if content_range else {}))
    async with front(couch, HANDLERS) as ann:
        try:
            status, _, _ = await ann.raw("GET", "/db-phone/photo/i.bin", headers={"Range": "bytes=0-1"})
        except ClientPayloadError:  # it had begun
            return
        assert status == 502


@pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n", b"Content-Length: 3\r\n"])
async def test_what_a_client_has_already_is_not_counted(couch: Couch, length: bytes) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n%b\r\n' % length)
        request.transport.close()
        return web.Response()

    couch.instead["/db/photo/i.bin"] = answer
    async with front(couch, HANDLERS) as ann:
        status, body, headers = await ann.raw("GET", "/db-phone/photo/i.bin", headers={"If-None-Match": '"x"'})
        assert (status, body, headers["ETag"]) == (304, b"", '"x"')


@pytest.mark.parametrize("total", ["3", "*"])
async def test_a_part_that_was_asked_for_is_given(couch: Couch, total: str) -> None:
    answers(couch, 206, b"\1\2", Content_Range=f"bytes 1-2/{total}")
    async with front(couch, HANDLERS) as ann:
        status, body, headers = await ann.raw("GET", "/db-phone/photo/i.bin", headers={"Range": "bytes=1-"})
        assert (status, body, headers["Content-Range"]) == (206, b"\1\2", f"bytes 1-2/{total}")


async def test_several_parts_are_given_as_they_are(couch: Couch) -> None:
    parts = b"--x\r\nContent-Range: bytes 0-0/3\r\n\r\n\0\r\n--x--"
    answers(couch, 206, parts, Content_Type='multipart/byteranges; boundary="x"')
    async with front(couch, HANDLERS) as ann:
        status, body, _ = await ann.raw("GET", "/db-phone/photo/i.bin", headers={"Range": "bytes=0-0,2-2"})
        assert (status, body) == (206, parts)


async def test_what_ends_with_the_connection_and_cannot_be_counted_is_not_given(couch: Couch) -> None:
    """It may be anything less than the whole."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b")
        request.transport.close()
        return web.Response()

    couch.instead["/db/photo/i.bin"] = answer
    async with front(couch, HANDLERS) as ann:
        assert (await ann.error("GET", "/db-phone/photo/i.bin"))[0] == 502


@pytest.mark.parametrize("revisions", NO_PATHS, ids=repr)
async def test_a_path_that_is_none_is_a_lie(revisions: Any, caplog: pytest.LogCaptureFixture) -> None:
    lie = {**revision("photo", "ba", owner="ann", _attachments={"i.bin": ENTRY}), "_revisions": revisions}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(lie)

    async with serving(Couch()) as couch, front(couch, HANDLERS) as ann:
        couch.instead["/db/photo"] = answer
        for query in ("revs=true", "revs_info=true", f'atts_since=["{rev(1, "a")}"]'):
            assert (await ann.error("GET", f"/db-phone/photo?{query}"))[0] == 502
    assert [record for record in caplog.records if record.exc_info] == []
