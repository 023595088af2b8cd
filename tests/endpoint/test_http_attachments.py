"""Attachments over HTTP: up, down, in ranges, in multipart messages, in forms."""

from __future__ import annotations

import asyncio
import base64
import email
import gzip
import hashlib
import json
import random
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoint.http.ranges import parse_ranges
from proxy.errors import RangeNotSatisfiable
from tests.endpoint.http_client import JSON, Answer, Wire, serving

BLOB = random.Random(1).randbytes(200_000)
TEXT = b"hello attachment " * 200


@pytest.fixture(params=["memory", "sqlite"])
async def wire(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Wire]:
    async with serving(directory=tmp_path if request.param == "sqlite" else None) as wire:
        await wire("PUT", "/db")
        yield wire


async def put(wire: Wire, target: str, data: bytes, kind: str = "application/octet-stream", **headers: str) -> Answer:
    return await wire("PUT", target, data, {"Content-Type": kind, **headers})


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def parts(answer: Answer) -> list[Message]:
    """The leaf parts of a multipart answer, as an independent parser sees them."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    return [part for part in email.message_from_bytes(head + answer.body).walk() if not part.is_multipart()]


def payload(part: Message) -> bytes:
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data


def related(doc: dict[str, Any], *bodies: bytes, end: bytes = b"--BND--") -> tuple[bytes, dict[str, str]]:
    """A multipart/related body with its Content-Type."""
    sections = [b"Content-Type: application/json\r\n\r\n" + json.dumps(doc).encode(), *[b"\r\n" + b for b in bodies]]
    data = b"".join([b"--BND\r\n" + section + b"\r\n" for section in sections]) + end
    return data, {"Content-Type": 'multipart/related; boundary="BND"'}


async def test_put_get_delete(wire: Wire) -> None:
    made = await put(wire, "/db/x/a%2Fb/c.png", BLOB, "image/png")
    assert made.status == 201
    assert made.headers["location"] == f"{wire.running.url}/db/x/a%2Fb%2Fc.png"
    got = await wire("GET", "/db/x/a/b/c.png")
    assert (got.status, got.body, got.headers["content-type"]) == (200, BLOB, "image/png")
    assert got.headers["etag"] == f'"{digest(BLOB)}"'
    assert (await wire("GET", "/db/x/a/b/c.png", None, {"If-None-Match": got.headers["etag"]})).status == 304
    head = await wire("HEAD", "/db/x/a/b/c.png")
    assert head.headers["content-length"] == str(len(BLOB))
    assert (await wire("DELETE", "/db/x/a/b/c.png")).status == 409
    assert (await wire("DELETE", "/db/x/nosuch?rev=" + made.json["rev"])).status == 404
    assert (await wire("DELETE", "/db/x/a/b/c.png?rev=" + made.json["rev"])).status == 200
    gone = await wire("GET", "/db/x/a/b/c.png")
    assert (gone.status, gone.json["reason"]) == (404, "Document is missing attachment")
    assert (await wire("GET", "/db/x/a/b/c.png?rev=" + made.json["rev"])).body == BLOB
    assert (await wire("GET", "/db/nosuch/a")).json["reason"] == "missing"


async def test_a_conflict_is_told_before_the_upload(wire: Wire) -> None:
    await wire("PUT", "/db/x", {})
    async with wire.open() as connection:
        headers = {"Content-Type": "a/b", "Content-Length": "1000000000", "Expect": "100-continue"}
        await connection.send("PUT", "/db/x/big", None, headers)
        answer = await connection.receive()
    assert (answer.status, answer.headers["connection"]) == (409, "close")


MISSING_REV = (409, "not_found", "missing_rev")
CONFLICT = (409, "conflict", "Document update conflict.")
NO_ATTACHMENT = (404, "not_found", "Document is missing attachment")


async def test_wrong_revisions(wire: Wire) -> None:
    unknown = "1-" + "a" * 32
    doc = {"n": 1, "_attachments": {"a": {"data": "YQ=="}}}
    old = (await wire("PUT", "/db/x", doc)).json["rev"]
    rev = (await wire("PUT", f"/db/x?rev={old}", {**doc, "n": 2})).json["rev"]

    async def error(method: str, target: str) -> tuple[int, str, str]:
        answer = await wire(method, f"/db/{target}", b"x" if method == "PUT" else None, {"Content-Type": "a/b"})
        return answer.status, answer.json["error"], answer.json["reason"]

    for target in ("none/a", "x/a", "x/b", "_design/x/a"):
        for wrong in (unknown, "0-1", "7-x"):
            assert await error("PUT", f"{target}?rev={wrong}") == MISSING_REV
            assert await error("DELETE", f"{target}?rev={wrong}") == MISSING_REV
    assert await error("PUT", "x/a") == await error("DELETE", "x/a") == CONFLICT
    assert await error("PUT", f"x/b?rev={old}") == await error("DELETE", f"x/a?rev={old}") == CONFLICT
    assert await error("DELETE", f"x/b?rev={old}") == await error("DELETE", "x/b") == NO_ATTACHMENT
    assert await error("DELETE", "none/a") == (404, "not_found", "missing")
    tombstone = (await wire("DELETE", f"/db/x?rev={rev}")).json["rev"]
    for known in (old, rev, tombstone):
        assert await error("PUT", f"x/a?rev={known}") == CONFLICT
    assert await error("DELETE", f"x/a?rev={rev}") == CONFLICT
    assert await error("DELETE", f"x/a?rev={tombstone}") == NO_ATTACHMENT
    assert await error("PUT", f"x/a?rev={unknown}") == await error("DELETE", f"x/a?rev={unknown}") == MISSING_REV


async def test_an_upload_that_breaks_off_leaves_nothing(wire: Wire) -> None:
    async with wire.open() as connection:
        await connection.send("PUT", "/db/x/a", None, {"Content-Type": "a/b", "Content-Length": "100000"})
        connection.writer.write(b"x" * 50_000)
        await connection.writer.drain()
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)
    assert (await wire("GET", "/db/x")).status == 404


async def test_chunked_uploads(wire: Wire) -> None:
    async with wire.open() as connection:
        await connection.send("PUT", "/db/x/a", None, {"Content-Type": "a/b", "Transfer-Encoding": "chunked"})
        for start in range(0, len(BLOB), 30_000):
            piece = BLOB[start : start + 30_000]
            connection.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.writer.write(b"0\r\n\r\n")
        assert (await connection.receive()).status == 201
    assert (await wire("GET", "/db/x/a")).body == BLOB


async def test_gzip_is_kept_and_undone_for_who_does_not_take_it(wire: Wire) -> None:
    packed = gzip.compress(TEXT)
    await put(wire, "/db/x/t.txt", packed, "text/plain", **{"Content-Encoding": "gzip"})
    got = await wire("GET", "/db/x/t.txt", None, {"Accept-Encoding": "gzip"})
    assert (got.body, got.headers["content-encoding"]) == (packed, "gzip")
    for refused in ({}, {"Accept-Encoding": "identity"}, {"Accept-Encoding": "gzip;q=0"}):
        got = await wire("GET", "/db/x/t.txt", None, refused)
        assert (got.body, got.headers.get("content-encoding")) == (TEXT, None)
        assert got.headers["transfer-encoding"] == "chunked"  # nobody counted the plain bytes yet
    assert (await wire("GET", "/db/x/t.txt", None, {"Range": "bytes=0-3"})).status == 200
    inline = (await wire("GET", "/db/x?attachments=true", None, {"Accept": "application/json"})).json
    assert base64.b64decode(inline["_attachments"]["t.txt"]["data"]) == TEXT
    stub = (await wire("GET", "/db/x?att_encoding_info=true")).json["_attachments"]["t.txt"]
    assert (stub["encoding"], stub["encoded_length"]) == ("gzip", len(packed))
    assert (await put(wire, "/db/y/t", b"x", "a/b", **{"Content-Encoding": "br"})).status == 415


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        ("bytes=0-0", 206, (0, 1)),
        ("bytes=-5", 206, (199_995, 200_000)),
        ("bytes=70000-140000", 206, (70_000, 140_001)),
        ("bytes=199990-", 206, (199_990, 200_000)),
        ("bytes=10-9999999", 206, (10, 200_000)),
        ("items=0-1", 200, (0, 200_000)),
        ("bytes=200000-", 416, None),
        ("bytes=5-4", 416, None),
        ("bytes=200000-200001", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=0-1,5-4,0-", 416, None),
        ("bytes=1-99999999999999999999", 206, (1, 200_000)),
        ("bytes=99999999999999999999-", 416, None),
        ("bytes=-99999999999999999999", 206, (0, 200_000)),
        ("bytes=,1-2, ", 206, (1, 3)),
        *[
            (f"bytes={whole}", 200, (0, 200_000))
            for whole in ("x", "", "-", "0-", "0-1,0-", "0-,5-4", "1-2-3", "1 -2", "5-4,x", "0-1;1-2")
        ],
        ("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9", 200, (0, 200_000)),
    ],
)
async def test_ranges(wire: Wire, header: str, status: int, expected: tuple[int, int] | None) -> None:
    await put(wire, "/db/x/a", BLOB)
    answer = await wire("GET", "/db/x/a", None, {"Range": header})
    assert answer.status == status
    if expected is None:
        assert answer.json["error"] == "requested_range_not_satisfiable"
        return
    start, end = expected
    assert answer.body == BLOB[start:end]
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/200000"


async def test_several_ranges(wire: Wire) -> None:
    await put(wire, "/db/x/a", BLOB, "image/png")
    answer = await wire("GET", "/db/x/a", None, {"Range": "bytes=0-3,100000-170000,-1"})
    assert answer.status == 206
    got = [(part["Content-Range"], payload(part)) for part in parts(answer)]
    assert got == [
        ("bytes 0-3/200000", BLOB[:4]),
        ("bytes 100000-170000/200000", BLOB[100_000:170_001]),
        ("bytes 199999-199999/200000", BLOB[-1:]),
    ]


@given(st.integers(0, 50), st.text("0123456789-,x ", max_size=12))
def test_ranges_lie_within_the_attachment(length: int, text: str) -> None:
    try:
        ranges = parse_ranges(f"bytes={text}", length)
    except RangeNotSatisfiable:
        return
    assert ranges is None or all(0 <= start < end <= length for start, end in ranges)


async def test_multipart_in_and_out(wire: Wire) -> None:
    packed = gzip.compress(TEXT)
    doc = {
        "v": 1,
        "_attachments": {
            "b.bin": {"follows": True, "content_type": "image/png", "length": len(BLOB)},
            "inline": {"content_type": "text/plain", "data": base64.b64encode(b"inline").decode()},
            "t.txt": {
                "follows": True,
                "content_type": "text/plain",
                "length": len(TEXT),
                "encoding": "gzip",
                "encoded_length": len(packed),
            },
        },
    }
    made = await wire("PUT", "/db/x", *related(doc, BLOB, packed))
    assert made.status == 201, made.body
    assert (await wire("GET", "/db/x/b.bin")).body == BLOB
    assert (await wire("GET", "/db/x/t.txt")).body == TEXT
    answer = await wire("GET", "/db/x?attachments=true", None, {"Accept": "multipart/related"})
    assert answer.headers["content-length"] == str(len(answer.body))
    first, *rest = parts(answer)
    document = json.loads(payload(first))
    assert [stub["follows"] for stub in document["_attachments"].values()] == [True] * 3
    bodies = dict(zip(document["_attachments"], [payload(part) for part in rest], strict=True))
    assert bodies == {"b.bin": BLOB, "inline": b"inline", "t.txt": packed}
    again = await wire("PUT", "/db/y", answer.body, {"Content-Type": answer.headers["content-type"]})
    assert again.status in (201, 409), again.body  # `_rev` of another document


async def test_a_document_with_attachments_goes_over_to_another(wire: Wire) -> None:
    """As CouchDB's replicator does it: open_revs out, multipart in with new_edits=false."""
    await put(wire, "/db/x/b.bin", BLOB)
    rev = (await wire("GET", "/db/x")).json["_rev"]
    target = f'/db/x?revs=true&open_revs=["{rev}"]&latest=true'.replace('"', "%22")
    answer = await wire("GET", target, None, {"Accept": "multipart/mixed"})
    text = answer.body.decode("latin-1")
    inner = text.partition("\r\n\r\n")[2].rpartition("\r\n--")[0].encode("latin-1")
    kind = text.partition("Content-Type: ")[2].partition("\r\n")[0]
    await wire("PUT", "/copy")
    assert (await wire("PUT", "/copy/x?new_edits=false", inner, {"Content-Type": kind})).status == 201
    assert (await wire("GET", "/copy/x/b.bin")).body == BLOB
    assert (await wire("GET", "/copy/x")).body == (await wire("GET", "/db/x")).body


async def test_atts_since_leaves_out_what_is_known(wire: Wire) -> None:
    one = (await put(wire, "/db/x/a", b"aaa")).json["rev"]
    two = (await put(wire, f"/db/x/b?rev={one}", b"bbb")).json["rev"]
    for since, inline in (([one], {"b"}), ([two], set()), (["1-" + "0" * 32], {"a", "b"}), ([], {"a", "b"})):
        target = "/db/x?atts_since=" + json.dumps(since).replace('"', "%22")
        doc = (await wire("GET", target, None, {"Accept": "application/json"})).json
        assert {name for name, stub in doc["_attachments"].items() if "data" in stub} == inline
        assert "_revisions" not in doc
        body = {"docs": [{"id": "x", "rev": two, "atts_since": since}]}
        doc = (await wire("POST", "/db/_bulk_get", body)).json["results"][0]["docs"][0]["ok"]
        expected = inline if since else set()  # CouchDB takes an empty list as none, here alone
        assert {name for name, stub in doc["_attachments"].items() if "data" in stub} == expected


@pytest.mark.parametrize("cut", [10, 60, 150, 260, 100_000, -12])
async def test_a_multipart_body_that_breaks_off_is_refused(wire: Wire, cut: int) -> None:
    stub = {"follows": True, "content_type": "a/b", "length": len(BLOB)}
    data, kind = related({"_attachments": {"b": stub}}, BLOB)
    answer = await wire("PUT", "/db/x", data[:cut], kind)
    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert (await wire("GET", "/db/x")).status == 404


@pytest.mark.parametrize("bodies", [[], [BLOB, b"more"], [BLOB[:-1]], [BLOB + b"x"]])
async def test_parts_must_be_those_announced(wire: Wire, bodies: list[bytes]) -> None:
    stub = {"follows": True, "content_type": "a/b", "length": len(BLOB)}
    answer = await wire("PUT", "/db/x", *related({"_attachments": {"b": stub}}, *bodies))
    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert (await wire("GET", "/db/x")).status == 404


async def test_forms(wire: Wire) -> None:
    def section(name: str, data: bytes, more: str = "", kind: str = "") -> bytes:
        head = f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{kind}\r\n'
        return head.encode() + data + b"\r\n"

    upload = section("_attachments", BLOB, '; filename="b.bin"', "Content-Type: image/png\r\n")
    page = {"Content-Type": "multipart/form-data; boundary=B", "Referer": f"{wire.running.url}/page"}
    made = await wire("POST", "/db/f", section("_doc", b'{"v":1}') + upload + b"--B--", page)
    assert made.status == 201, made.body
    rev = made.json["rev"].encode()
    more = section("_attachments", b"two", '; filename="2.txt"', "Content-Type: text/plain\r\n")
    assert (await wire("POST", "/db/f", section("_rev", rev) + more + b"--B--", page)).status == 201
    assert (await wire("POST", "/db/f", section("_rev", rev) + more + b"--B--", page)).status == 409
    doc = (await wire("GET", "/db/f")).json
    assert (doc["v"], set(doc["_attachments"])) == (1, {"b.bin", "2.txt"})
    assert (await wire("GET", "/db/f/b.bin")).body == BLOB
    elsewhere = {**page, "Referer": "http://evil.test/"}
    answer = await wire("POST", "/db/g", section("_doc", b"{}") + b"--B--", elsewhere)
    assert answer.json["reason"] == "Referer host must match host."
    assert (await wire("POST", "/db/g", b"{}", {**JSON, "Referer": page["Referer"]})).status == 415


async def test_an_empty_type_is_kept(wire: Wire) -> None:
    """As CouchDB 3.5 does."""
    await wire("PUT", "/db/e/a", b"hello", {"Content-Type": ""})
    assert (await wire("GET", "/db/e")).json["_attachments"]["a"]["content_type"] == ""
    answer = await wire("GET", "/db/e/a")
    assert (answer.headers["content-type"], answer.body) == ("", b"hello")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity", "Identity"])
async def test_codings_in_any_case(wire: Wire, coding: str) -> None:
    data = gzip.compress(b"hello") if coding.lower() == "gzip" else b"hello"
    headers = {"Content-Encoding": coding, "Content-Type": "image/png"}
    assert (await wire("PUT", "/db/c/a", data, headers)).status == 201
    assert (await wire("GET", "/db/c/a")).body == b"hello"
