"""Parameters and headers that nobody meant, revisions that cannot be, and tokens that were tampered with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.endpoints import Kind
from tests.badinput.conftest import Lab, examples
from tests.badinput.mutations import headers, queries
from tests.badinput.requests import ALL, JSON, REV, Request

# dropping the database at the endpoint is what an administrator may do
TRIED = [(kind, request) for kind, request in ALL if (kind, request.method) != (Kind.DATABASE, "DELETE")]


@examples(250)
@given(data=st.data())
def test_queries_of_any_kind(lab: Lab, data: st.DataObject) -> None:
    _, good = data.draw(st.sampled_from(TRIED), label="request")
    request = data.draw(queries(good), label="request")
    for server in lab.servers:
        lab.ask(server, request)


@examples(120)
@given(data=st.data())
def test_headers_of_any_kind(lab: Lab, data: st.DataObject) -> None:
    _, good = data.draw(st.sampled_from(TRIED), label="request")
    more = data.draw(headers(), label="headers")
    override = more.get("X-HTTP-Method-Override")
    assume(not (good.method == "POST" and override == "DELETE" and good.target == "/{db}"))
    for server in lab.servers:
        lab.ask(server, replace(good, headers={**good.headers, **more}))


BAD_REVS = [
    *("", "1", "-", "1-", "-1-a", "a-1", "1-" + "z" * 32, "1-\x00", "1-\x1f", "1-a\r\nX: y", "\u0661-a", "1 -a"),
    *("9" * 5000 + "-a", "1e3-a", "0x1-a", "1.0-a", "+1-a"),
]
"""No revisions; `1-` is one with an empty hash, as for CouchDB."""
ABSENT_REVS = ["1-" + "x" * 5000, "999999999999999-a", "9" * 20 + "-a", "1-\u00ff", "0-0", REV.upper()]
"""Revisions, but not of this database."""
NOT_REVS: list[object] = [5, None, True, [], {}, [["1-a"]], 1e300, "1-a" * 1000 + "\x00"]


@pytest.mark.parametrize("rev", [*BAD_REVS, *ABSENT_REVS])
def test_revisions_in_queries(lab: Lab, rev: str) -> None:
    listed = quote(json.dumps([rev]), safe="")
    before = lab.state()
    for method, target in (
        ("GET", f"mine?rev={quote(rev, safe='')}"),
        ("GET", f"mine?open_revs={listed}"),
        ("GET", f"mine?open_revs={listed}&latest=true"),
        ("GET", f"mine?atts_since={listed}&attachments=true"),
        ("GET", f"mine/note.txt?rev={quote(rev, safe='')}"),
        ("PUT", f"mine/note.txt?rev={quote(rev, safe='')}"),
        ("PUT", f"mine?rev={quote(rev, safe='')}"),
        ("PUT", f"mine?rev={quote(rev, safe='')}&new_edits=false"),
        ("DELETE", f"mine?rev={quote(rev, safe='')}"),
        ("DELETE", f"mine/note.txt?rev={quote(rev, safe='')}"),
        ("COPY", f"mine?rev={quote(rev, safe='')}"),
        ("PUT", f"_local/x?rev={quote(rev, safe='')}&batch=no"),
    ):
        body = b'{"facility":"f2"}' if method == "PUT" else None  # what is not visible: nothing is to be stored
        request = Request(method, "/{db}/" + target, {"Destination": "copied", **(JSON if body else {})}, body)
        got = lab.ask(lab.proxy, request)
        if rev in BAD_REVS and rev != "1-" and "_local" not in target:
            assert got.status in (400, 403, 404, 409), (request, got)
    assert lab.state()[0] == before[0]


@pytest.mark.parametrize("rev", [*BAD_REVS, *ABSENT_REVS, *NOT_REVS], ids=lambda rev: repr(rev)[:30])
def test_revisions_in_bodies(lab: Lab, rev: object) -> None:
    docs = [
        {"_id": "mine", "facility": "f2", "_rev": rev},
        {"_id": "mine", "facility": "f2", "_rev": REV, "_revisions": rev},
        {"_id": "mine", "facility": "f2", "_revisions": {"start": 1, "ids": [rev]}},
        {"_id": "mine", "facility": "f2", "_revisions": {"start": rev, "ids": ["a"]}},
        {"_id": "mine", "facility": "f2", "_revisions": {"start": 2, "ids": rev}},
    ]
    before = lab.state()
    for doc in docs:
        for new_edits in (True, False):
            sent = {"docs": [doc], "new_edits": new_edits}
            lab.ask(lab.proxy, Request("POST", "/{db}/_bulk_docs", JSON, json.dumps(sent).encode()))
            put = Request("PUT", f"/{{db}}/mine?new_edits={json.dumps(new_edits)}", JSON, json.dumps(doc).encode())
            lab.ask(lab.proxy, put)
    for target, value in (
        ("_revs_diff", {"mine": [rev], "nobody": [rev, rev]}),
        ("_missing_revs", {"mine": [rev]}),
        ("_bulk_get", {"docs": [{"id": "mine", "rev": rev}, {"id": "mine", "atts_since": [rev]}, {"id": rev}]}),
        ("_bulk_get?latest=true&revs=true", {"docs": [{"id": "mine", "rev": rev}]}),
    ):
        for server in lab.servers:
            lab.ask(server, Request("POST", "/{db}/" + target, JSON, json.dumps(value).encode()))
    assert lab.state() == before


@pytest.mark.parametrize("spelling", [str.upper, lambda rev: "00" + rev])
def test_a_revision_is_found_in_any_spelling(lab: Lab, spelling: Callable[[str], str]) -> None:
    rev = lab.ask(lab.proxy, Request("GET", "/{db}/mine")).json["_rev"]
    asked = quote(spelling(rev))
    for server in lab.servers:
        assert lab.ask(server, Request("GET", f"/{{db}}/mine?rev={asked}")).json["_rev"] == rev
        found = lab.ask(server, Request("GET", f"/{{db}}/mine?open_revs=%5B%22{asked}%22%5D"))
        assert found.json[0]["ok"]["_rev"] == rev


def test_an_empty_list_of_open_revs_is_as_if_there_were_none(lab: Lab) -> None:
    for server in lab.servers:
        plain = lab.ask(server, Request("GET", "/{db}/mine?revs=true")).json
        assert lab.ask(server, Request("GET", "/{db}/mine?revs=true&open_revs=%5B%5D")).json == plain


@pytest.mark.parametrize("rev", BAD_REVS)
def test_revisions_in_headers(lab: Lab, rev: str) -> None:
    if not rev.isprintable() or not rev.isascii():
        rev = rev.encode("ascii", "replace").decode()
    before = lab.state()
    for method, target in (("PUT", "mine"), ("DELETE", "mine"), ("PUT", "mine/x"), ("DELETE", "mine/note.txt")):
        body = b'{"facility":"f2"}' if method == "PUT" else None
        for header in (rev, f'"{rev}"', f'W/"{rev}"'):
            got = lab.ask(lab.proxy, Request(method, "/{db}/" + target, {"If-Match": header}, body))
            assert got.status in (400, 403, 404, 409), got
    copied = lab.ask(lab.proxy, Request("COPY", "/{db}/mine", {"Destination": f"hidden?rev={rev}"}))
    assert copied.status in (400, 409) or rev == "1-"
    assert lab.state() == before


def _token(lab: Lab) -> str:
    token = lab.ask(lab.proxy, Request("GET", "/{db}/_changes?limit=1")).json["last_seq"]
    assert isinstance(token, str)
    return token


_CHARACTERS = '0123456789-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ=+/%" \u00e9'


@st.composite
def _tampered(draw: st.DrawFn, genuine: str) -> str:
    at = draw(st.integers(0, len(genuine) - 1))
    before, after = genuine[:at], genuine[at:]
    new = draw(st.text(_CHARACTERS, min_size=1, max_size=3))
    return draw(
        st.sampled_from([before + new + after, before + new + after[1:], before, after, genuine + new, genuine * 2])
    )


@pytest.fixture(scope="module", params=["lab", "indexed"])
def genuine(request: pytest.FixtureRequest) -> tuple[Lab, str]:
    """A proxy, and one token of its: another one is longer or shorter while the index is behind."""
    lab: Lab = request.getfixturevalue(request.param)
    return lab, _token(lab)


@examples(100)
@given(data=st.data())
def test_sequences_that_were_tampered_with_are_malformed(genuine: tuple[Lab, str], data: st.DataObject) -> None:
    lab, token = genuine
    forged = data.draw(_tampered(token), label="token")
    assume(forged.strip('"') not in (token, "0", "", "now"))
    quoted = quote(forged, safe="")
    for asked in (
        Request("GET", f"/{{db}}/_changes?since={quoted}"),
        Request("GET", f"/{{db}}/_changes?last-event-id={quoted}&feed=longpoll&timeout=1"),
        Request("GET", f"/{{db}}/_changes?since={quoted}&feed=continuous&timeout=1"),
        Request("POST", f"/{{db}}/_changes?since={quoted}&filter=_doc_ids", JSON, b'{"doc_ids":["mine"]}'),
    ):
        got = lab.ask(lab.proxy, asked)
        assert (got.status, got.json["error"]) == (400, "bad_request")
    header = forged.encode("ascii", "replace").decode()
    if header.strip() and header.strip().strip('"') not in (token, "0", "now"):
        feed = Request("GET", "/{db}/_changes?feed=eventsource&timeout=1", {"Last-Event-ID": header})
        assert lab.ask(lab.proxy, feed).status == 400


@examples(60)
@given(data=st.data())
def test_bookmarks_that_were_tampered_with_are_invalid(lab: Lab, data: st.DataObject) -> None:
    for asked in ({"selector": {}, "limit": 1}, {"selector": {}, "limit": 1, "sort": ["n"]}):
        first = lab.ask(lab.proxy, Request("POST", "/{db}/_find", JSON, json.dumps(asked).encode())).json
        forged = data.draw(_tampered(first["bookmark"]), label="bookmark")
        assume(forged.strip('"') not in (first["bookmark"], "", "nil"))
        body = json.dumps({**asked, "bookmark": forged}).encode()
        got = lab.ask(lab.proxy, Request("POST", "/{db}/_find", JSON, body))
        assert (got.status, got.json["error"]) == (400, "invalid_bookmark")


def test_tokens_do_not_do_for_bookmarks_nor_bookmarks_for_tokens(lab: Lab) -> None:
    found = lab.ask(lab.proxy, Request("POST", "/{db}/_find", JSON, b'{"selector":{},"limit":1}')).json["bookmark"]
    asked = json.dumps({"selector": {}, "bookmark": _token(lab)}).encode()
    assert lab.ask(lab.proxy, Request("POST", "/{db}/_find", JSON, asked)).status == 400
    assert lab.ask(lab.proxy, Request("GET", f"/{{db}}/_changes?since={quote(found)}")).status == 400
