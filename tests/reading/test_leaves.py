"""All leaves of documents, whatever kind of source they come from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings

from proxy.config.model import Source
from proxy.errors import CouchError, Unavailable
from proxy.fetch import fetch_leaves, fetch_revisions, look_at
from proxy.leaves import are_in_bulk, one_by_one
from proxy.sizes import AT_ONCE, at_once
from proxy.upstream import Upstream
from proxy.view import View
from tests.reading.couch import NO_PATHS, Couch, rev, revision, serving
from tests.reading.served import profile, view_of
from tests.reading.test_bulk_get import grow, trees

DOCS = [
    revision("both", "ba"),
    revision("both", "dca"),
    revision("gone", "a"),
    revision("gone", "ba", _deleted=True),
    revision("a é", "a"),
]


@asynccontextmanager
async def viewing(couch: Couch) -> AsyncIterator[View]:
    async with serving(couch):
        upstream = Upstream(Source("main", couch.url), timeout=5.0)
        yield view_of(couch.url, upstream, profile())
        upstream.close()


def answering(couch: Couch, path: str, answer: Callable[[], web.Response]) -> None:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return answer()

    couch.instead[path] = handle


async def test_couchdb_is_asked_in_bulk_and_recognised_once() -> None:
    couch = Couch(DOCS)
    async with viewing(couch) as view:
        for _ in range(2):
            assert await are_in_bulk(view)
            assert set(await fetch_leaves(view, ["both", "gone", "no"])) == {"both", "gone"}
    assert [path for _, path, _ in couch.requests] == ["/db/_bulk_get"] + ["/db/_bulk_get?revs=true"] * 2


async def test_large_documents_after_small_ones_are_asked_for_again_in_smaller_parts() -> None:
    small = [revision(f"small{number}", "a") for number in range(200)]
    large = [revision(f"large{number}", "ba", text="x" * 2**18) for number in range(200)]
    huge = [revision(f"huge{number}", "ba", text="x" * 10 * 2**20) for number in range(2)]
    couch = Couch([*small, *large, *huge])
    async with viewing(couch) as view:
        for docs in (small, large, huge):
            found = await fetch_leaves(view, [doc["_id"] for doc in docs])
            assert [leaf for leaves in found.values() for leaf in leaves] == docs
    asked = [len(body["docs"]) for _, path, body in couch.requests if path == "/db/_bulk_get?revs=true"]
    assert asked[:4] == [16, 184, 200, 6]  # of which the third was too long
    assert max(asked[4:-3]) <= 7
    assert asked[-3:] == [2, 1, 1]


async def test_pouchdb_server_is_asked_for_each_document() -> None:
    couch = Couch(DOCS)
    couch.be_pouchdb_server()
    async with viewing(couch) as view:
        assert not await are_in_bulk(view)
        assert at_once(view) == 16  # nobody knows how large they are
        found = await fetch_leaves(view, ["both", "gone", "no", "a é", "both"])
        assert at_once(view) == AT_ONCE
    assert {doc_id: len(docs) for doc_id, docs in found.items()} == {"both": 2, "gone": 1, "a é": 1}
    assert all("_revisions" in doc for docs in found.values() for doc in docs)


async def test_no_documents_are_not_asked_for() -> None:
    couch = Couch(DOCS)
    async with viewing(couch) as view:
        assert await fetch_leaves(view, []) == {}
    assert couch.requests == []


@pytest.mark.parametrize("text", [b"1", b'[{"ok":1}]', b'[{"ok":{"_id":"other","_rev":"1-a"}}]', b'{"ok":1}', b"["])
async def test_a_source_that_lies_is_as_good_as_down(text: bytes) -> None:
    couch = Couch(DOCS)
    couch.be_pouchdb_server()
    answering(couch, "/db/both", lambda: web.Response(body=text))
    async with viewing(couch) as view:
        with pytest.raises(Unavailable):
            await fetch_leaves(view, ["gone", "both"])


@pytest.mark.parametrize("in_bulk", [True, False])
@pytest.mark.parametrize("revisions", NO_PATHS, ids=repr)
async def test_a_path_that_is_none_is_a_lie(revisions: Any, in_bulk: bool) -> None:
    lie = {"ok": {"_id": "both", "_rev": rev(2, "b"), "_revisions": revisions}}
    couch = Couch(DOCS)
    if not in_bulk:
        couch.be_pouchdb_server()
    async with viewing(couch) as view:
        assert await are_in_bulk(view) is in_bulk
        answering(couch, "/db/_bulk_get", lambda: couch.json({"results": [{"id": "both", "docs": [lie]}]}))
        answering(couch, "/db/both", lambda: couch.json([lie]))
        for fetched in (fetch_leaves(view, ["both"]), fetch_revisions(view, [("both", rev(2, "b"))])):
            with pytest.raises(Unavailable, match="not of CouchDB's form"):
                await fetched


async def test_errors_of_the_source_are_its_own() -> None:
    couch = Couch(DOCS)
    couch.be_pouchdb_server()
    refusal = b'{"error":"forbidden","reason":"No."}'
    answering(couch, "/db/both", lambda: web.Response(status=403, body=refusal))
    async with viewing(couch) as view:
        with pytest.raises(CouchError) as refused:
            await one_by_one(view, ["both", "gone"], [], at_once=False)
        assert (refused.value.status, refused.value.reason) == (403, "No.")
    answering(couch, "/db/_bulk_get", lambda: web.Response(status=403, body=refusal))
    async with viewing(couch) as view:
        with pytest.raises(CouchError):
            await are_in_bulk(view)
        del couch.instead["/db/_bulk_get"]
        assert await are_in_bulk(view)  # a failure is not remembered


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"results":[]}', b'{"results":[{"docs":[{"ok":{}}]}]}'])
async def test_what_is_neither_kind_is_not_guessed(text: bytes) -> None:
    couch = Couch(DOCS)
    answering(couch, "/db/_bulk_get", lambda: web.Response(body=text))
    async with viewing(couch) as view:
        with pytest.raises(Unavailable):
            await are_in_bulk(view)


async def test_ancestors_are_only_asked_for_where_they_are_wanted() -> None:
    couch = Couch(DOCS)
    first, third = rev(1, "a"), rev(3, "d")
    async with viewing(couch) as view:
        young = await look_at(view, [("a é", first), ("gone", first), ("no", first)], dict, revs=False)
        old = await look_at(view, [("a é", first), ("both", third)], dict)
    assert set(young) == {("a é", first), ("gone", first)}
    assert not any("_revisions" in doc for doc in young.values())
    assert set(old) == {("a é", first), ("both", third)}
    assert all("_revisions" in doc for doc in old.values())
    assert [path for _, path, _ in couch.requests][1:] == ["/db/_bulk_get", "/db/_bulk_get?revs=true"]


@given(trees)
@settings(max_examples=25, deadline=None)
async def test_both_kinds_of_source_give_the_same_leaves(steps: list[tuple[str, bool, int]]) -> None:
    found = []
    for pouchdb in (False, True):
        couch = Couch(grow("d", steps))
        if pouchdb:
            couch.be_pouchdb_server()
        async with viewing(couch) as view:
            leaves = await fetch_leaves(view, ["d"])
            found.append({doc["_rev"]: doc for doc in leaves["d"]})
    assert found[0] == found[1]
