"""The multipart decoder and CouchDB's layouts, against CouchDB's own bodies and each other."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import jsonio
from proxy.core.wire import WireError
from proxy.core.wire.envelope import Attachment, BulkGet, Envelope, OpenRevs, Related, new_boundary
from proxy.core.wire.header import boundary_of, parse_header
from proxy.core.wire.multipart import End, MultipartDecoder, MultipartEvent, PartBegin, PartData, PartEnd
from tests.core.wire.cuts import cuts, decode, fails_every_way
from tests.core.wire.recordings import REPLIES

Part = tuple[dict[str, str], bytes]


def collect(events: list[MultipartEvent]) -> list[Part]:
    """The parts that the events tell of; they must come in the one order that makes sense."""
    parts: list[Part] = []
    is_open = False
    for event in events[:-1]:
        if isinstance(event, PartBegin):
            assert not is_open
            parts.append((dict(event.headers), b""))
            is_open = True
        elif isinstance(event, PartData):
            assert is_open
            assert event.data
            parts[-1] = (parts[-1][0], parts[-1][1] + event.data)
        else:
            assert isinstance(event, PartEnd)
            assert is_open
            is_open = False
    assert not is_open
    assert events[-1:] in ([End()], [])
    return parts


def parts_of(body: bytes, boundary: bytes, **limits: int) -> list[Part]:
    results = [collect(decode(MultipartDecoder(boundary, **limits), pieces)) for pieces in cuts(body)]
    assert all(result == results[0] for result in results)
    return results[0]


OPEN_REVS = [27, 28, 30, 31, 33, 36, 37, 93, 94]
BULK_GET = [168, 169]
RELATED = [90, 95]


@pytest.mark.parametrize("number", OPEN_REVS + BULK_GET + RELATED)
def test_no_prefix_of_a_reply_is_taken_for_whole(number: int) -> None:
    reply = REPLIES[number]
    boundary = boundary_of(reply.content_type)
    end = reply.body.rindex(b"--" + boundary + b"--") + len(boundary) + 4
    for size in {1, end // 3, end // 2, end - 10, end - 2, end - 1}:
        fails_every_way(lambda: MultipartDecoder(boundary), reply.body[:size], WireError)


def reencode(parts: list[Part], envelope: Envelope) -> bytes:
    out = envelope.head()
    for headers, body in parts:
        content_type = parse_header(headers["content-type"])
        if content_type.params.get("error") == "true":
            out += envelope.error(body)
            continue
        inner, bodies = related_of(headers["content-type"], body)
        doc = jsonio.loads(inner.head().split(b"\r\n\r\n")[-1].split(b"\r\n--")[0])
        out += envelope.document(inner, doc["_id"], doc["_rev"]) + inner.encode(bodies) + envelope.end_document()
    return out + envelope.tail()


def related_of(content_type: str, body: bytes) -> tuple[Related, list[bytes]]:
    if content_type == "application/json":
        return Related(b"unused", body), []
    boundary = boundary_of(content_type)
    (headers, document), *rest = parts_of(body, boundary)
    assert headers == {"content-type": "application/json"}
    attachments = []
    for part, data in rest:
        disposition = parse_header(part["content-disposition"])
        assert disposition.value == "attachment"
        assert int(part["content-length"]) == len(data)
        name = disposition.params["filename"]
        attachments.append(Attachment(name, part["content-type"], len(data), part.get("content-encoding")))
    return Related(boundary, document, attachments), [data for _, data in rest]


@pytest.mark.parametrize("number", RELATED)
def test_a_related_document_as_couchdb_writes_it(number: int) -> None:
    reply = REPLIES[number]
    related, bodies = related_of(reply.content_type, reply.body)
    assert related.content_type == reply.content_type
    assert related.encode(bodies) == reply.body
    assert related.length == len(reply.body)


def test_the_attachments_of_a_recorded_document() -> None:
    reply = REPLIES[90]
    (_, document), *rest = parts_of(reply.body, boundary_of(reply.content_type))
    stubs = jsonio.loads(document)["_attachments"]
    assert [headers["content-disposition"] for headers, _ in rest] == [
        f'attachment; filename="{name}"' for name in ("sub/dir.txt", "note.txt", "img.bin")
    ]
    assert gzip.decompress(rest[1][1]).decode() == "hello attachment " * 20
    assert len(rest[2][1]) == stubs["img.bin"]["length"]


@pytest.mark.parametrize("number", OPEN_REVS)
def test_open_revs_as_couchdb_writes_it(number: int) -> None:
    reply = REPLIES[number]
    boundary = boundary_of(reply.content_type)
    envelope = OpenRevs(boundary)
    assert envelope.content_type == reply.content_type
    assert reencode(parts_of(reply.body, boundary), envelope) == reply.body


@pytest.mark.parametrize("number", BULK_GET)
def test_bulk_get_as_couchdb_writes_it(number: int) -> None:
    reply = REPLIES[number]
    boundary = boundary_of(reply.content_type)
    envelope = BulkGet(boundary, parse_header(reply.content_type).value)
    assert envelope.content_type == reply.content_type
    parts = parts_of(reply.body, boundary)
    assert [headers.get("x-doc-id") for headers, _ in parts if "x-doc-id" in headers] == ["photo:1"]
    assert reencode(parts, envelope) == reply.body


def test_a_bulk_get_of_nothing_is_empty() -> None:
    envelope = BulkGet(b"--b")
    assert envelope.head() + envelope.tail() == b""
    assert parts_of(b"", b"--b") == []


def test_names_cannot_break_out_of_their_header() -> None:
    name, doc_id = 'a"\r\nX: y\r\n\r\n.txt', "d\r\n\r\n--B"
    related = Related(b"B", b"{}", [Attachment(name, "text/plain\r\nX: y", 3, "gz\nip")])
    body = related.encode([b"abc"])
    assert len(body) == related.length
    (_, _), (headers, data) = parts_of(body, b"B")
    assert set(headers) == {"content-disposition", "content-type", "content-length", "content-encoding"}
    assert data == b"abc"
    envelope = BulkGet(b"--O")
    reply = envelope.head() + envelope.document(related, doc_id, "1-a") + body + envelope.end_document()
    ((headers, inner),) = parts_of(reply + envelope.tail(), b"--O")
    assert headers["x-doc-id"] == "d%0D%0A%0D%0A--B"
    assert inner == body


def test_content_types_keep_their_parameters() -> None:
    header = Related(b"B", b"{}", [Attachment("a", 'text/plain; charset="utf-8"', 0)]).part(0)
    assert b'\r\nContent-Type: text/plain; charset="utf-8"\r\n' in header


def test_attachments_and_bodies_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Related(b"B", b"{}", [Attachment("a", "b", 1)]).encode([])


def test_what_a_client_may_send() -> None:
    body = b"--BND\r\ncontent-type: application/json\r\n\r\n{}\r\n--BND\r\n\r\nPNG\r\n--BND--"
    assert parts_of(body, b"BND") == [({"content-type": "application/json"}, b"{}"), ({}, b"PNG")]


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
def test_preamble_padding_and_epilogue(eol: bytes) -> None:
    lines = [
        b"preamble --B",
        b"--B \t ",
        b"A: 1",
        b"A : 3",
        b"",
        b"x --B",
        b"-B--",
        b"--B\t",
        b"C:",
        b"",
        b"",
        b"--B--",
    ]
    body = eol.join([*lines, b"epilogue", b"--B", b""])
    assert parts_of(body, b"B") == [({"a": "3"}, b"x --B" + eol + b"-B--"), ({"c": ""}, b"")]


def test_line_feeds_are_data_where_lines_end_with_crlf() -> None:
    data = b"\n--B--\n\n--B\r--B\r\r\n-\r\n--\r\n--b"
    assert parts_of(b"--B\r\n\r\n" + data + b"\r\n--B--", b"B") == [({}, data)]


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"--B",
        b"--B-",
        b"--B\r\n",
        b"--B\r\n\r\n",
        b"--B\r\nA: 1\r\n",
        b"--B\r\n\r\ndata",
        b"--B\r\n\r\ndata\r\n--B",
        b"--B\r\n\r\ndata\r\n--B\r\n",
        b"--Bx\r\n\r\n\r\n--B--",
        b"--B\r\n\r\ndata\r\n--Bx\r\n\r\n--B--",
        b"--B\r\nno colon\r\n\r\ndata\r\n--B--",
        b"--B\r\n: no name\r\n\r\ndata\r\n--B--",
        b"--B\r\nA: 1\nB: 2\r\n\r\ndata\r\n--B--",
        b"--B\r\n\r\ndata\n--B--",
        b"--C\r\n\r\ndata\r\n--C--",
        b"x--B\r\n\r\ndata\r\n",
    ],
)
def test_malformed(body: bytes) -> None:
    fails_every_way(lambda: MultipartDecoder(b"B"), body, WireError)


def test_limits() -> None:
    def body(header: int, parts: int) -> bytes:
        return b"--B" + b"\r\nA:%b\r\n\r\nx\r\n--B".replace(b"%b", b"x" * (header - 2)) * parts + b"--"

    assert len(parts_of(body(50, 3), b"B", max_header=50, max_parts=3)) == 3
    fails_every_way(lambda: MultipartDecoder(b"B", max_header=50), body(51, 1), WireError)
    fails_every_way(lambda: MultipartDecoder(b"B", max_parts=3), body(50, 4), WireError)
    fails_every_way(lambda: MultipartDecoder(b"B", max_header=50), b"--B" + b" " * 90, WireError)


def test_a_failed_decoder_stays_failed() -> None:
    decoder = MultipartDecoder(b"B")
    with pytest.raises(WireError):
        decoder.feed(b"--B!\r\n")
    with pytest.raises(WireError):
        decoder.feed(b"\r\n--B--")
    with pytest.raises(WireError):
        decoder.close()


def test_bodies_are_not_held() -> None:
    decoder = MultipartDecoder(b"B")
    decoder.feed(b"--B\r\n\r\n")
    for _ in range(10):
        (event,) = decoder.feed(b"x" * 1000)
        assert event == PartData(b"x" * 1000)


def test_boundaries_differ() -> None:
    assert len({new_boundary() for _ in range(20)}) == 20


near_delimiters = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"-", b"B", b"B1", b"x", b"\x00\xff", b"--B"]), max_size=12
).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(bodies=st.lists(near_delimiters | st.binary(max_size=30), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_what_is_encoded_is_decoded(bodies: list[bytes], seed: int) -> None:
    boundary = b"B12"
    bodies = [body.replace(b"\r\n--B12", b"") for body in bodies]
    bodies = [body for body in bodies if b"\r\n--" + boundary not in b"\r\n" + body]
    attachments = [Attachment(f"n{i}", "a/b", len(body), "gzip") for i, body in enumerate(bodies)]
    related = Related(boundary, b'{"_id":"x"}', attachments)
    body = related.encode(bodies)
    assert len(body) == related.length
    if not bodies:
        assert body == b'{"_id":"x"}'
        return
    for pieces in cuts(body + b"\r\n", seed=seed, rounds=2):
        parts = collect(decode(MultipartDecoder(boundary), pieces))
        assert [data for _, data in parts[1:]] == bodies


@settings(max_examples=200, deadline=None)
@given(data=near_delimiters | st.binary(max_size=40), seed=st.integers(0, 99))
def test_any_bytes_come_out_the_same_however_cut(data: bytes, seed: int) -> None:
    def outcome(pieces: list[bytes]) -> Any:
        try:
            return collect(decode(MultipartDecoder(b"B"), pieces))
        except WireError:
            return None

    body = b"--B\r\n\r\n" + data + b"\r\n--B--"
    results = [outcome(pieces) for pieces in cuts(body, seed=seed, rounds=3)]
    assert all(result == results[0] for result in results)
