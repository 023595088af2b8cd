"""Bodies that are not what they should be, to everything that reads one."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.endpoints import Kind
from tests.badinput.conftest import MAX_BODY, Lab, examples
from tests.badinput.mutations import byte_strings, json_texts
from tests.badinput.requests import ALL, BOUNDARY, FORM, REV, Request, form, related

JSON_REQUESTS = [
    (kind, request)
    for kind, request in ALL
    if request.headers.get("Content-Type") == "application/json"
    and kind not in (Kind.ENSURE_FULL_COMMIT, Kind.DESIGN)  # where nobody looks at the body
]
MULTIPART = [(kind, request) for kind, request in ALL if "multipart" in request.headers.get("Content-Type", "")]
_DEEP = 100_000

NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "cut": b'{"docs":[{"_id":"x","facility":"f1"',
    "text after it": b'{"docs":[]} {}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "no UTF-8": b'{"x":"\xff"}',
    "half a surrogate pair": b'{"x":"\\ud800"}',
    "half a surrogate pair in bytes": b'{"x":"\xed\xa0\x80"}',
    "control character": b'{"x":"\x01"}',
    "NaN": b'{"x":NaN}',
    "beyond floats": b'{"x":1e999}',
    "comment": b"{/* no */}",
    "single quotes": b"{'x':1}",
    "deep arrays": b'{"x":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    "deep objects": b'{"x":' * (MAX_BODY // 6 - 1),
    "open brackets": b"[" * MAX_BODY,
    "huge integer": b'{"x":' + b"9" * _DEEP + b"}",
    "another type": b"[]",
    "a number": b"5",
    "null": b"null",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused_and_not_stored(lab: Lab, body: bytes) -> None:
    before = lab.state()
    for kind, request in JSON_REQUESTS:
        for server in lab.servers:
            got = lab.ask(server, request.with_body(body))
            assert 400 <= got.status < 500, (server.name, kind, got)
    assert lab.state() == before


def test_of_duplicate_keys_the_last_is_judged_and_stored(lab: Lab) -> None:
    """Otherwise one of them would be judged, and the other stored."""
    body = b'{"_id":"twice","facility":"f2","_id":"once","facility":"f1","n":[{"a":1,"a":2}]}'
    request = Request("POST", "/{db}", {"Content-Type": "application/json"}, body)
    assert lab.ask(lab.proxy, request).json["id"] == "once"
    stored = lab.ask(lab.endpoint, Request("GET", "/{db}/once"))
    assert b'"facility":"f1","n":[{"a":2}]' in stored.body
    body = body.replace(b'"f1"', b'"f3"').replace(b"once", b"never")
    assert lab.ask(lab.proxy, request.with_body(body)).status == 403
    assert lab.ask(lab.endpoint, Request("GET", "/{db}/never")).status == 404


OVERSIZED = b'{"docs":[],"x":"' + b"x" * MAX_BODY + b'"}'


@pytest.mark.parametrize("chunked", [False, True])
def test_oversized_bodies_are_refused(lab: Lab, chunked: bool) -> None:
    for kind, request in JSON_REQUESTS:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(OVERSIZED), OVERSIZED) if chunked else OVERSIZED
        coding = {"Transfer_Encoding": "chunked"} if chunked else {}
        got = lab.ask(lab.proxy, request.with_body(body, **coding))
        assert got.status in (0, 413), (kind, got)  # cut while the client is still sending


def _bomb() -> bytes:
    """200 times as large as what may come, in less than that."""
    return gzip.compress(b'{"x":"' + b" " * (200 * MAX_BODY) + b'"}')


BAD_GZIP: dict[str, bytes] = {
    "not gzip": b"{}",
    "cut": gzip.compress(b'{"docs":[]}')[:-9],
    "no trailer": gzip.compress(b'{"docs":[]}')[:-8],
    "other checksum": gzip.compress(b'{"docs":[]}')[:-8] + b"\0" * 8,
    "something after it": gzip.compress(b'{"docs":[]}') + b"x",
    "countless members": gzip.compress(b"") * 10_000,
    "bomb": _bomb(),
    "bomb of members": gzip.compress(b" " * MAX_BODY) * 15,
    "bomb in a bomb": gzip.compress(_bomb()),
    "nothing": b"",
}


@pytest.mark.parametrize("body", BAD_GZIP.values(), ids=BAD_GZIP)
def test_bad_gzip_is_refused(lab: Lab, body: bytes) -> None:
    before = lab.state()
    for kind, request in JSON_REQUESTS:
        got = lab.ask(lab.proxy, request.with_body(body, Content_Encoding="gzip"))
        assert got.status in (400, 413), (kind, got)
    assert lab.state() == before


@pytest.mark.parametrize(
    "coding", ["GZIP", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "\xff", ""]
)
def test_other_codings_are_not_undone(lab: Lab, coding: str) -> None:
    for kind, request in JSON_REQUESTS:
        if kind is not Kind.SESSION:
            got = lab.ask(lab.proxy, replace(request, headers={**request.headers, "Content-Encoding": coding}))
            assert got.status == 415, (kind, got)


@examples(120)
@given(data=st.data())
def test_json_with_something_else_in_it(lab: Lab, data: st.DataObject) -> None:
    _, request = data.draw(st.sampled_from(JSON_REQUESTS), label="request")
    assert request.body is not None
    body = data.draw(json_texts(request.body), label="body")
    for server in lab.servers:
        lab.ask(server, replace(request, body=body))


@examples(60)
@given(data=st.data())
def test_bodies_that_were_damaged(lab: Lab, data: st.DataObject) -> None:
    _, request = data.draw(st.sampled_from(JSON_REQUESTS), label="request")
    assert request.body is not None
    body = data.draw(byte_strings(request.body), label="body")
    for server in lab.servers:
        lab.ask(server, replace(request, body=body))


# ---- multipart

_DELIMITERS = (
    b"--" + BOUNDARY.encode(),
    b"\r\n--" + BOUNDARY.encode() + b"\r\n",
    b"\r\n--" + BOUNDARY.encode() + b"--",
)


@examples(120)
@given(data=st.data())
def test_multipart_bodies_that_were_damaged(lab: Lab, data: st.DataObject) -> None:
    """What is refused is not stored, and what is stored is what was announced."""
    _, request = data.draw(st.sampled_from(MULTIPART), label="request")
    assert request.body is not None
    body = data.draw(byte_strings(request.body, _DELIMITERS), label="body")
    for server in lab.servers:
        before = lab.state()
        got = lab.ask(server, replace(request, body=body))
        if not 200 <= got.status < 300:
            assert lab.state() == before
            continue
        read = Request("GET", f"/{{db}}/{got.json['id']}?attachments=true")
        for entry in lab.ask(lab.endpoint, read).json.get("_attachments", {}).values():
            assert len(entry["data"]) in (4, entry.get("length", 4))


TYPES = [
    *(
        "multipart/related",
        "multipart/related; boundary=",
        'multipart/related; boundary=""',
        "multipart/related;boundary",
    ),
    *(
        "multipart/related; boundary=" + "x" * 300,
        'multipart/related; boundary="\xff"',
        "multipart/related; boundary=other",
    ),
    *('multipart/related; boundary="unclosed', "multipart/related; boundary=a; boundary=b", "multipart/related;;;=;"),
]


@pytest.mark.parametrize("content_type", TYPES)
def test_a_multipart_type_without_a_boundary_that_is_there(lab: Lab, content_type: str) -> None:
    for kind, request in MULTIPART:
        kind_of_form = content_type.replace("related", "form-data") if request.method == "POST" else content_type
        for server in lab.servers:
            got = lab.ask(server, replace(request, headers={**request.headers, "Content-Type": kind_of_form}))
            assert got.status in (400, 401, 403), (server.name, kind, got)


def _follows(**entry: object) -> dict[str, object]:
    return {"follows": True, "content_type": "text/plain", **entry}


_A, _B = _follows(length=3), _follows(length=4)
BROKEN: dict[str, bytes] = {
    "too few parts": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _A, "b": _B}}, b"aaa"),
    "too many parts": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _A}}, b"aaa", b"bbbb"),
    "parts in another order": related(
        {"_rev": REV, "facility": "f1", "_attachments": {"a": _A, "b": _B}}, b"bbbb", b"aaa"
    ),
    "shorter": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _A}}, b"aa"),
    "longer": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _A}}, b"aaaa"),
    "no length": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _follows()}}, b"aaa"),
    "negative length": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _follows(length=-3)}}, b"aaa"),
    "huge length": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _follows(length=10**30)}}, b"aaa"),
    "length of another type": related(
        {"_rev": REV, "facility": "f1", "_attachments": {"a": _follows(length="3")}}, b"aaa"
    ),
    "no document": related({"_rev": REV, "facility": "f1"}, b"aaa"),
    "not the document first": related([], b"aaa"),
    "no end": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _A}}, b"aaa")[:-2],
    "no parts": b"--" + BOUNDARY.encode() + b"--",
    "another boundary": related({"_rev": REV, "facility": "f1", "_attachments": {"a": _A}}, b"aaa").replace(
        b"--a-b", b"--c-d"
    ),
    "nothing": b"",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_multipart_bodies_that_do_not_hold_what_they_announce(lab: Lab, body: bytes) -> None:
    before = lab.state()
    for kind, request in MULTIPART:
        if request.method == "PUT" and kind is Kind.DOCUMENT:
            got = lab.ask(lab.proxy, replace(request, target="/{db}/broken?new_edits=false", body=body))
            assert 400 <= got.status < 500, got
    assert lab.state() == before


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {},
            {"_rev": ""},
            {"_rev": "1-" + "z" * 32},
            {"_rev": "9" * 5000},
            {"_doc": ""},
            {"_doc": "[]"},
            {"_doc": "[" * 5000},
        ),
        *(
            {"_doc": "\\ud800"},
            {"_doc": '{"_attachments":5}'},
            {"_doc": '{"_id":5}'},
            {"_doc": '{"_rev":5}'},
            {"x": "y"},
        ),
    ],
    ids=lambda fields: json.dumps(fields)[:40],
)
def test_forms_without_a_document(lab: Lab, fields: dict[str, str]) -> None:
    before = lab.state()
    for server in lab.servers:
        assert 400 <= lab.ask(server, replace(FORM, body=form(**fields))).status < 500, server.name
    assert lab.state() == before
