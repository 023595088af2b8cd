"""What counts as a difference, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from proxy.traffic.binding import Bindings
from proxy.traffic.compare import differences
from proxy.traffic.exchange import Reply, Request
from tests.core.json_strategies import values
from tests.traffic.samples import JSON, asked, recording, said

A, B, C, D = "a" * 32, "b" * 32, "c" * 32, "d" * 32
READ, WRITE = asked("GET", "/db/x"), asked("PUT", "/db/x", {})


def where(request: Request, recorded: Reply, live: Reply, bindings: Bindings | None = None, *ignored: str) -> list[str]:
    return [each.where for each in differences(request, recorded, live, bindings or Bindings(), frozenset(ignored))]


@pytest.mark.parametrize("name", ["couchdb35-surface", "pouchdb9-pull", "couchdb35-replicator-push"])
def test_a_recording_is_as_itself(name: str) -> None:
    bindings = Bindings()
    for each in recording(name):
        assert each.reply is not None
        assert bindings.request(each.request).body == each.request.body
        assert differences(each.request, each.reply, each.reply, bindings) == []


@settings(max_examples=50, deadline=None)
@given(values(), values())
def test_other_values_differ(one: Any, other: Any) -> None:
    found = where(READ, said(200, {"x": one}), said(200, {"x": other}))
    assert bool(found) == (not same(one, other))


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def test_places_are_named() -> None:
    recorded = said(200, {"a": [{"b": 1}], "gone": 0}, ("ETag", '"1"'), ("Date", "then"))
    live = said(200, {"a": [{"b": True}], "new": 0}, ("Cache-Control", "no-cache"), ("Date", "now"))
    assert where(READ, recorded, live) == [
        *("header etag", "header cache-control", "body.a[0].b", "body.gone", "body.new"),
    ]
    assert where(READ, recorded, live, None, "etag", "cache-control", "b", "gone", "new") == []
    (status,) = differences(READ, recorded, said(404, {"error": "not_found", "reason": "missing"}), Bindings())
    assert str(status) == 'status\n  recorded  200\n  live      "404 not_found: missing"'


def test_revisions_are_made_by_writes_alone() -> None:
    recorded, live = said(201, {"ok": True, "rev": f"1-{A}"}), said(201, {"ok": True, "rev": f"1-{B}"})
    bindings = Bindings()
    assert where(READ, recorded, live) == ["body.rev"]
    assert where(WRITE, recorded, live, bindings) == []
    got, other = (
        said(200, {"_rev": f"1-{A}"}, ("ETag", f'"1-{A}"')),
        said(200, {"_rev": f"1-{B}"}, ("ETag", f'"1-{B}"')),
    )
    assert where(READ, got, other, bindings) == []
    assert where(READ, got, got, bindings) == ["header etag", "body._rev"]


def test_generated_ids() -> None:
    bindings = Bindings()
    post = asked("POST", "/db", {})
    location = ("Location", f"http://a/db/{A}"), ("Location", f"http://b/db/{B}")
    assert where(post, said(201, {"id": A}, location[0]), said(201, {"id": B}, location[1]), bindings) == []
    assert where(READ, said(200, {"_id": A}), said(200, {"_id": B}), bindings) == []
    assert where(READ, said(200, {"_id": C}), said(200, {"_id": D}), bindings) == ["body._id"]
    uuids = asked("GET", "/_uuids?count=2")
    assert where(uuids, said(200, {"uuids": [C, "1" * 32]}), said(200, {"uuids": [D, "2" * 32]}), bindings) == []
    assert where(uuids, said(200, {"uuids": [C]}), said(200, {"uuids": [A]}), bindings) == ["body.uuids[0]"]


def test_cookies() -> None:
    bindings = Bindings()
    login = asked("POST", "/_session", b"")
    recorded = said(200, {}, ("Set-Cookie", "AuthSession=abc; Path=/; HttpOnly; Expires=then"))
    assert where(login, recorded, said(200, {}, ("Set-Cookie", "AuthSession=xyz; HttpOnly; Path=/")), bindings) == []
    later = bindings.request(asked("GET", "/", None, ("Cookie", "AuthSession=abc")))
    assert later.headers == [("Cookie", "AuthSession=xyz")]
    assert where(login, recorded, said(200, {}, ("Set-Cookie", "AuthSession=x; Path=/"))) == [
        "header set-cookie AuthSession"
    ]
    assert where(login, recorded, said(200, {})) == ["header set-cookie AuthSession"]


def row(doc_id: str, seq: str, **more: Any) -> dict[str, Any]:
    return {"id": doc_id, "seq": seq, "changes": [{"rev": f"1-{A}"}], **more}


def feed(*rows: dict[str, Any], pending: int = 0) -> Reply:
    return said(200, {"results": rows, "last_seq": "9-z", "pending": pending})


def test_a_feed_is_a_set_of_rows() -> None:
    changes = asked("GET", "/db/_changes")
    recorded = feed(row("a", "1-x"), row("b", "2-y"))
    assert where(changes, recorded, feed(row("b", "1-p"), row("a", "2-q"))) == []
    assert where(changes, recorded, feed(row("a", "1-p"), row("c", "2-q"))) == ["body row b", "body row c"]
    assert where(changes, recorded, feed(row("a", "1-p"), row("b", "2-q", deleted=True))) == ["body row b.deleted"]
    assert where(changes, recorded, feed(row("a", "1-x"), row("b", "2-y"), pending=3)) == ["body.pending"]


def test_pages_of_a_feed_may_hold_other_rows() -> None:
    page = asked("GET", "/db/_changes?limit=1")
    assert where(page, feed(row("a", "1-x"), pending=1), feed(row("b", "1-x"), pending=2)) == []
    assert where(page, feed(row("a", "1-x")), feed()) == ["body: number of rows"]
    assert where(page, feed(row("a", "1-x")), feed(row("a", "1-x", deleted=True))) == ["body row a.deleted"]


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_continuous_feeds(kind: str) -> None:
    lines = [b'{"seq":"1-x","id":"a","changes":[]}', b"", b'{"last_seq":"1-x","pending":0}']
    changes = asked("GET", "/db/_changes?feed=continuous")

    def reply(*lines: bytes) -> Reply:
        prefix = b"data: " if kind.startswith("text") else b""
        return said(200, b"".join(prefix + line + b"\n" for line in lines if line) + b"\n", ("Content-Type", kind))

    assert where(changes, reply(*lines), reply(lines[0].replace(b"1-x", b"1-y"), lines[2])) == []
    assert where(changes, reply(*lines), reply(lines[2])) == ["body row a"]


def mixed(boundary: str, *docs: bytes) -> Reply:
    parts = [b"--%s\r\ncontent-type: application/json\r\n\r\n%s\r\n" % (boundary.encode(), doc) for doc in docs]
    kind = ("Content-Type", f'multipart/mixed; boundary="{boundary}"')
    return said(200, b"".join(parts) + b"--%s--" % boundary.encode(), kind)


def test_parts_are_compared_and_boundaries_are_not() -> None:
    asks = asked("GET", "/db/x?open_revs=all")
    one, two = b'{"_rev":"1-%s"}' % A.encode(), b'{"_rev":"1-%s","v": 2}' % B.encode()
    assert where(asks, mixed("aa", one, two), mixed("bb", two, one)) == []
    assert where(asked("GET", "/db/_bulk_get"), mixed("aa", one, two), mixed("bb", two, one)) != []
    assert where(asks, mixed("aa", one), mixed("bb", one, two)) == ["body: number of parts"]
    changed = two.replace(b"2}", b"3}")
    assert where(asks, mixed("aa", two), mixed("aa", changed)) == ["body part 0.v"]


def test_bytes() -> None:
    png = ("Content-Type", "image/png")
    assert where(READ, said(200, b"\xff", png), said(200, b"\xff", png)) == []
    assert where(READ, said(200, b"\xff", png), said(200, b"\xfe", png)) == ["body"]
    assert where(READ, said(200, b"{}", JSON), said(200, b"[", JSON)) == ["body"]
    assert where(READ, said(200, b"\xff", png), said(200, b"\xff", JSON)) == ["header content-type"]


def test_a_list_with_generated_ids_is_in_the_order_of_the_live_ones() -> None:
    bindings = Bindings()
    for recorded, live in ((A, D), (B, C)):
        assert bindings.bind(recorded, live)

    def listed(*ids: str) -> Reply:
        return said(200, {"rows": [{"id": each, "key": each} for each in ids]})

    everything = asked("GET", "/db/_all_docs")
    assert where(everything, listed(A, B), listed(C, D), bindings) == []
    assert where(everything, listed(A, B), listed(C, A), bindings) != []
    assert where(everything, listed("x", "y"), listed("y", "x")) != []
