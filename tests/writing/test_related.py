"""PUT as multipart/related: judged before the attachments are read, which then pass through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.core.lens import Chain
from tests.writing.filters import profile
from tests.writing.world import World, break_after, world

BOUNDARY = {"Content-Type": 'multipart/related; boundary="edge"'}
HIDDEN = {"i": {"content_type": "image/png", "data": "cG5n"}}
REV = "2-" + "f" * 32


def follows(data: bytes, **more: Any) -> dict[str, Any]:
    return {"follows": True, "content_type": "text/plain", "length": len(data), **more}


def related(doc: Any, *bodies: bytes, end: bytes = b"--") -> bytes:
    parts = [b"Content-Type: application/json\r\n\r\n" + json.dumps(doc).encode(), *(b"\r\n" + body for body in bodies)]
    return b"--edge\r\n" + b"\r\n--edge\r\n".join(parts) + b"\r\n--edge" + end


async def attachment(there: World, name: str) -> bytes:
    answer = await there.source("GET", f"/p1/{name}")
    assert answer.status == 200
    return answer.body


async def test_parts_arrive_in_order_and_hidden_ones_stay() -> None:
    async with world() as there:
        first = await there.put({"_id": "p1", "owner": "ann", "ssn": "1-2-3", "_attachments": HIDDEN})
        doc = {
            "_rev": REV,
            "_revisions": {"start": 2, "ids": [REV[2:], first[2:]]},
            "owner": "ann",
            "_attachments": {"z": follows(b"zzz"), "a": follows(b"--edge?"), "b": follows(b"")},
        }
        body = related(doc, b"zzz", b"--edge?", b"")
        answer = await there.ask("PUT", "/p1?new_edits=false", data=body, headers=BOUNDARY)
        assert (answer.status, answer.json) == (201, {"ok": True, "id": "p1", "rev": REV})
        assert answer.headers["ETag"] == f'"{REV}"'
        stored = await there.stored("p1")
        assert (stored["ssn"], set(stored["_attachments"])) == ("1-2-3", {"z", "a", "b", "i"})
        contents = {name: await attachment(there, name) for name in stored["_attachments"]}
        assert contents == {"z": b"zzz", "a": b"--edge?", "b": b"", "i": b"png"}
        assert there.tap.writes[0].headers["Content-Type"].startswith("multipart/related")


async def test_without_following_attachments_it_is_a_plain_document() -> None:
    async with world() as there:
        answer = await there.ask("PUT", "/p1", data=related({"owner": "ann"}), headers=BOUNDARY)
        assert answer.status == 201
        assert there.tap.writes[0].headers["Content-Type"] == "application/json"
        extra = await there.ask("PUT", "/p2", data=related({"owner": "ann"}, b"what?"), headers=BOUNDARY)
        assert extra.status == 400
        assert len(there.tap.writes) == 1


async def test_a_refusal_does_not_wait_for_the_attachments() -> None:
    async with world() as there:
        waiting = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            whole = related({"owner": "bob", "_attachments": {"a": follows(b"abc")}}, b"abc")
            cut = whole.index(b"abc")
            yield whole[:cut]
            await waiting.wait()
            yield whole[cut:]

        asking = asyncio.ensure_future(there.ask("PUT", "/p1", data=body(), headers=BOUNDARY))
        answer = await asking
        waiting.set()
        assert answer.status == 403
        assert there.tap.writes == []


@pytest.mark.parametrize(
    ("entry", "bodies", "end"),
    [
        (follows(b"abc"), [b"ab"], b"--"),
        (follows(b"abc"), [b"abcd"], b"--"),
        (follows(b"abc"), [], b"--"),
        (follows(b"abc"), [b"abc", b"more"], b"--"),
        (follows(b"abc"), [b"abc"], b""),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_not_stored(entry: Any, bodies: list[bytes], end: bytes) -> None:
    async with world() as there:
        body = related({"owner": "ann", "_attachments": {"a": entry}}, *bodies, end=end)
        answer = await there.ask("PUT", "/p1", data=body, headers=BOUNDARY)
        assert answer.error[:2] == (400, "bad_request")
        assert (await there.source("GET", "/p1")).status == 404
        assert [request.complete for request in there.tap.writes] in ([], [False])


async def test_nonsense_is_refused() -> None:
    async with world() as there:
        entry = {"follows": True, "content_type": "text/plain"}
        for data, headers in [
            (related({"owner": "ann", "_attachments": {"a": entry}}, b"abc"), BOUNDARY),
            (related([1]), BOUNDARY),
            (b"", BOUNDARY),
            (b"not multipart", BOUNDARY),
            (related({"owner": "ann"}), {"Content-Type": "multipart/related"}),
        ]:
            answer = await there.ask("PUT", "/p1", data=data, headers=headers)
            assert answer.error[:2] == (400, "bad_request")
        assert there.tap.writes == []


async def test_the_document_is_limited_and_the_attachments_are_not() -> None:
    async with world(profile(Chain()), max_body=1000) as there:
        large = b"x" * 500_000
        body = related({"_attachments": {"a": follows(large)}}, large)
        assert (await there.ask("PUT", "/p1", data=body, headers=BOUNDARY)).status == 201
        assert await attachment(there, "a") == large
        answer = await there.ask("PUT", "/p2", data=related({"x": "y" * 1000}), headers=BOUNDARY)
        assert answer.status == 413


async def test_a_revision_that_is_known_is_acknowledged() -> None:
    async with world() as there:
        body = related({"_rev": REV, "owner": "ann", "_attachments": {"a": follows(b"abc")}}, b"abc")
        for _ in range(2):
            answer = await there.ask("PUT", "/p1?new_edits=false", data=body, headers=BOUNDARY)
            assert (answer.status, answer.json["rev"]) == (201, REV)
        assert len(there.tap.writes) == 1


async def test_after_a_break_the_source_is_asked() -> None:
    async with world() as there:
        there.tap.fail("PUT", "/p1", break_after)
        body = related({"_rev": REV, "owner": "ann", "_attachments": {"a": follows(b"abc")}}, b"abc")
        answer = await there.ask("PUT", "/p1?new_edits=false", data=body, headers=BOUNDARY)
        assert (answer.status, answer.json["rev"]) == (201, REV)
        assert await attachment(there, "a") == b"abc"
