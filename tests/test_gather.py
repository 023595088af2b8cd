"""Look-ups that share a request: the same answers as alone, never older, and no turn is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import gather
from proxy.config.model import Source
from proxy.contract import Doc
from proxy.errors import CouchError
from proxy.gather import AT_ONCE, look_up
from proxy.reading.visible import visible_document
from proxy.resolve import view_leaves
from proxy.upstream import Upstream
from proxy.view import View
from tests.reading.couch import Couch, rev, revision, serving
from tests.reading.served import PLAIN, profile, view_of
from tests.reading.test_bulk_get import grow, trees

MANY = [revision(f"d{number}", "a", owner="ann", n=number) for number in range(30)]


@asynccontextmanager
async def viewing(couch: Couch, **options: Any) -> AsyncIterator[View]:
    async with serving(couch):
        upstream = Upstream(Source("main", couch.url), timeout=5.0)
        try:
            yield view_of(couch.url, upstream, profile(**options))
            assert not turns_of(upstream)  # none is taken for ever
        finally:
            upstream.close()


def turns_of(upstream: Upstream) -> object:
    """The look-ups of which somebody has a turn."""
    source = gather._sources.get(upstream)
    return source and source.kinds


async def told(view: View, doc_id: str, name: str | None = None, **options: Any) -> Any:
    """The document, or the error."""
    try:
        return (await visible_document(view, doc_id, name, **options)).doc
    except CouchError as error:
        return error.status, error.error, error.reason


def bulk(couch: Couch) -> list[list[Doc]]:
    """The entries of the requests that were shared, without the question what kind of source this is."""
    asked = [body["docs"] for _, path, body in couch.requests if path.startswith("/db/_bulk_get")]
    return [docs for docs in asked if not docs[0]["id"].startswith("tailor-")]


async def test_one_after_the_other_they_are_asked_alone() -> None:
    couch = Couch(MANY)
    async with viewing(couch) as view:
        for doc in MANY:
            assert (await told(view, doc["_id"]))["n"] == doc["n"]
    assert [path for _, path, _ in couch.requests] == [f"/db/{doc['_id']}" for doc in MANY]


async def test_at_the_same_time_they_share_requests() -> None:
    couch = Couch(MANY)
    async with viewing(couch) as view:
        found = await asyncio.gather(*(told(view, doc["_id"]) for doc in [*MANY, *MANY]))
    assert [doc["n"] for doc in found] == [doc["n"] for doc in [*MANY, *MANY]]
    assert len(couch.requests) < 10
    assert all(len({entry["id"] for entry in docs}) == len(docs) for docs in bulk(couch))  # each once


@given(st.lists(trees, min_size=1, max_size=4), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
async def test_the_answers_are_those_that_each_gets_alone(
    forest: list[list[tuple[str, bool, int]]], hides: bool, pouchdb: bool
) -> None:
    docs = [doc for index, steps in enumerate(forest) for doc in grow(f"d{index}", steps)]
    couch = Couch(docs)
    if pouchdb:
        couch.be_pouchdb_server()
    async with viewing(couch, **({} if hides else {"filters": PLAIN})) as view:
        asked: list[tuple[str, str | None]] = [(doc_id, None) for doc_id in ("absent", *couch.docs)]
        asked += [(doc["_id"], doc["_rev"]) for doc in docs] + [("d0", rev(1, "f")), ("absent", rev(1, "a"))]
        asked += asked[::-1]
        for extra in ([], [("revs", "true")]):
            alone = [await told(view, *each, extra=extra) for each in asked]
            assert await asyncio.gather(*(told(view, *each, extra=extra) for each in asked)) == alone


@pytest.mark.parametrize("other", ["zz", "Z", "a" * 31, "0"])
async def test_the_winner_is_couchdbs_also_of_hashes_that_others_made(other: str) -> None:
    leaves = [revision("d", "f", owner="ann"), revision("d", "5", owner="ann"), revision("d", "a", owner="ann")]
    leaves[2] = {**leaves[2], "_rev": f"1-{other}", "_revisions": {"start": 1, "ids": [other]}}
    couch = Couch(leaves)
    async with viewing(couch) as view:
        alone = await told(view, "d")
        assert alone["_rev"] == couch.leaves("d")[0]["_rev"]
        assert await asyncio.gather(*(told(view, "d") for _ in range(12))) == [alone] * 12
        judged = (await view_leaves(view, ["d"]))["d"]
        assert [leaf.rev for leaf in judged] == [doc["_rev"] for doc in couch.leaves("d")]


async def test_an_answer_is_never_older_than_the_question() -> None:
    couch = Couch([revision("d", "a", owner="ann", n=0)])
    chance = random.Random(1)

    async def ask(view: View) -> None:
        for _ in range(20):
            await asyncio.sleep(chance.random() * 0.003)
            before = couch.docs["d"][0]["n"]
            assert (await told(view, "d"))["n"] >= before

    async def write() -> None:
        while True:
            couch.docs["d"] = [{**couch.docs["d"][0], "n": couch.docs["d"][0]["n"] + 1}]
            await asyncio.sleep(0.0002)

    async with viewing(couch) as view:
        writing = asyncio.ensure_future(write())
        await asyncio.gather(*(ask(view) for _ in range(20)))
        writing.cancel()
    assert bulk(couch)


async def test_credentials_and_parameters_are_not_mixed() -> None:
    couch = Couch(MANY)
    async with viewing(couch) as view:
        other = replace(view, headers={"Authorization": "Basic b3RoZXI="})
        asking = [told(each, doc["_id"]) for doc in MANY for each in (view, other)]
        asking += [told(view, doc["_id"], extra=[("revs", "true")]) for doc in MANY]
        found = await asyncio.gather(*asking)
    assert [("_revisions" in doc) for doc in found] == [False] * 60 + [True] * 30
    assert sum(map(len, bulk(couch))) == 3 * (30 - AT_ONCE)


@pytest.mark.parametrize("status", [200, 401, 413, 500])
@pytest.mark.parametrize(
    "reply",
    [
        b'{"error":"e","reason":"r"}',
        b"[]",
        b'{"results":[]}',
        b'{"results":[{"id":"d3","docs":[{"ok":{"_id":"d4","_rev":"1-a"}}]}]}',
        b"no JSON",
    ],
)
async def test_what_cannot_be_answered_together_is_asked_for_alone(status: int, reply: bytes) -> None:
    couch = Couch(MANY)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        entries = (await request.json())["docs"]
        if entries[0]["id"].startswith("tailor-"):
            return couch.json({"results": [couch.bulk_result(entries[0], {})]})
        return web.Response(status=status, body=reply)

    couch.instead["/db/_bulk_get"] = answer
    async with viewing(couch) as view:
        found = await asyncio.gather(*(told(view, doc["_id"]) for doc in MANY))
    assert [doc["n"] for doc in found] == [doc["n"] for doc in MANY]


async def test_results_that_are_not_in_order_are_not_mixed_up() -> None:
    couch = Couch(MANY)

    async def shuffled(request: web.BaseRequest) -> web.StreamResponse:
        entries = (await request.json())["docs"]
        return couch.json({"results": [couch.bulk_result(entry, request.query) for entry in entries[::-1]]})

    couch.instead["/db/_bulk_get"] = shuffled
    async with viewing(couch) as view:
        found = await asyncio.gather(*(told(view, doc["_id"]) for doc in MANY))
    assert [doc["n"] for doc in found] == [doc["n"] for doc in MANY]


async def test_an_error_is_ones_own() -> None:
    couch = Couch(MANY)

    async def refused(request: web.BaseRequest) -> web.StreamResponse:
        return couch.json({"error": "forbidden", "reason": "No."}, 403)

    couch.instead["/db/d7"] = refused
    couch.instead["/db/_bulk_get"] = refused
    async with viewing(couch) as view:
        found = await asyncio.gather(*(told(view, doc["_id"]) for doc in MANY))
    assert [doc if isinstance(doc, tuple) else doc["n"] for doc in found] == [
        (403, "forbidden", "No.") if number == 7 else number for number in range(30)
    ]


async def test_nobody_waits_long_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that the source does not come to terms with holds up nobody but those who want it."""
    couch, go = Couch(MANY), asyncio.Event()

    async def stuck(request: web.BaseRequest) -> web.StreamResponse:
        await go.wait()
        return couch.json(couch.dress(couch.docs["d0"][0], {}))

    async def stuck_with_others(request: web.BaseRequest) -> web.StreamResponse:
        entries = (await request.json())["docs"]
        if any(entry["id"] == "d0" for entry in entries):
            await go.wait()
        return couch.json({"results": [couch.bulk_result(entry, request.query) for entry in entries]})

    couch.instead |= {"/db/d0": stuck, "/db/_bulk_get": stuck_with_others}
    monkeypatch.setattr(gather, "REPLY_SECONDS", 0.05)
    async with viewing(couch) as view:
        waiting = [asyncio.ensure_future(told(view, "d0")) for _ in range(5)]
        found = await asyncio.gather(*(told(view, doc["_id"]) for doc in MANY[1:]))
        assert [doc["n"] for doc in found] == list(range(1, 30))
        assert not any(task.done() for task in waiting)
        # and for a while nobody is kept waiting for a shared reply of this source
        shared = len(bulk(couch))
        await asyncio.gather(*(told(view, doc["_id"]) for doc in MANY[1:]))
        assert len(bulk(couch)) == shared
        go.set()
        assert [doc["n"] for doc in await asyncio.gather(*waiting)] == [0] * 5


async def test_a_source_that_is_silent_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    couch = Couch(MANY)

    async def silent(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async with viewing(couch) as view:
        await told(view, "d0")
        couch.instead |= {f"/db/{doc['_id']}": silent for doc in MANY} | {"/db/_bulk_get": silent}
        monkeypatch.setattr(gather, "REPLY_SECONDS", 0.05)
        view.upstream._timeout = 0.3
        began = asyncio.get_running_loop().time()
        found = await asyncio.gather(*(told(view, doc["_id"]) for doc in MANY))
        assert {status for status, _, _ in found} == {504}
        asked = [path for _, path, _ in couch.requests[1:] if not path.startswith("/db/_bulk_get")]
        assert sorted(asked) == sorted(f"/db/{doc['_id']}" for doc in MANY)  # each once
        assert asyncio.get_running_loop().time() - began >= 0.3


async def test_large_documents_are_not_read_together() -> None:
    large = [revision(f"d{number}", "a", owner="ann", n=number, text="x" * 1_000_000) for number in range(20)]
    couch = Couch(large)
    async with viewing(couch) as view:
        found = await asyncio.gather(*(told(view, doc["_id"]) for doc in large))
    assert [doc["n"] for doc in found] == list(range(20))
    alone = [path for method, path, _ in couch.requests if method == "GET"]
    assert 20 > len(alone) > 10


@given(st.integers())
@settings(max_examples=40, deadline=None)
async def test_whoever_hangs_up_takes_nothing_with_them(seed: int) -> None:
    """`alone` and the batch take random times, askers leave at random: every other gets an answer, no turn is lost."""
    couch, chance = Couch(MANY), random.Random(seed)

    async def ask(view: View, number: int) -> int:
        async def alone() -> list[Doc]:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                raise CouchError("own")
            return [{"n": number}]

        try:
            [doc] = await look_up(view, (f"d{number}", None), [], alone)
        except CouchError:
            return number
        found: int = doc["n"]
        return found

    async with viewing(couch) as view:
        asking = []
        for number in range(30):
            asking.append(asyncio.ensure_future(ask(view, number)))
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() * 0.001)
            if chance.random() < 0.5:
                asking[chance.randrange(len(asking))].cancel()
        results = await asyncio.gather(*asking, return_exceptions=True)
        for number, result in enumerate(results):
            assert result == number or isinstance(result, asyncio.CancelledError)
        while turns_of(view.upstream):  # a batch that nobody waits for any more ends by itself
            await asyncio.sleep(0.001)
