"""The four `_changes` feeds over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.endpoint.http_client import Connection, Wire, serving


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving() as wire:
        await wire("PUT", "/db")
        for number in range(5):
            await wire("PUT", f"/db/d{number}", {"n": number, "even": number % 2 == 0})
        yield wire


def ids(feed: dict[str, Any]) -> list[str]:
    return [row["id"] for row in feed["results"]]


def number(seq: str) -> int:
    return int(seq.partition("-")[0])


async def test_the_layout_to_the_byte(wire: Wire) -> None:
    """TouchDB on Android reads this line by line."""
    lines = (await wire("GET", "/db/_changes?limit=2")).body.split(b"\n")
    assert lines[0] == b'{"results":['
    assert lines[1].endswith(b"},\r")
    assert json.loads(lines[1][:-2])["id"] == "d0"
    assert json.loads(lines[2])["id"] == "d1"
    assert lines[3] == b"],"
    assert lines[4].startswith(b'"last_seq":"2-')
    assert lines[4].endswith(b',"pending":3}')
    assert lines[5:] == [b"", b""]
    assert (await wire("GET", "/db/_changes?since=now")).body.startswith(b'{"results":[\n\n],\n"last_seq":"5-')


async def test_pages(wire: Wire) -> None:
    since, seen = "0", []
    while True:
        page = (await wire("GET", f"/db/_changes?limit=2&since={since}")).json
        if not page["results"]:
            break
        seen += ids(page)
        since = page["last_seq"]
        assert page["results"][-1]["seq"] == since
        assert page["pending"] == 5 - len(seen)
    assert seen == ["d0", "d1", "d2", "d3", "d4"]


async def test_since(wire: Wire) -> None:
    seq = (await wire("GET", "/db/_changes?limit=3")).json["last_seq"]
    assert ids((await wire("GET", f"/db/_changes?since=%22{seq}%22")).json) == ["d3", "d4"]
    assert ids((await wire("GET", f"/db/_changes?last-event-id={seq}")).json) == ["d3", "d4"]
    assert ids((await wire("GET", f"/db/_changes?since=0&SINCE={seq}")).json) == ["d3", "d4"]
    assert (await wire("GET", "/db/_changes?since=bogus")).status == 400
    assert (await wire("GET", "/db/_changes?since=99999")).status == 400
    nothing = (await wire("GET", "/db/_changes?limit=0")).json
    assert (nothing["results"], number(nothing["last_seq"]), nothing["pending"]) == ([], 0, 5)


async def test_descending_style_and_documents(wire: Wire) -> None:
    docs = [{"_id": "d0", "_rev": "1-" + "f" * 32, "n": "conflict"}]
    await wire("POST", "/db/_bulk_docs", {"new_edits": False, "docs": docs})
    feed = (await wire("GET", "/db/_changes?descending=true&limit=2")).json
    assert ids(feed) == ["d0", "d4"]
    row = feed["results"][0]
    assert len(row["changes"]) == 1
    row = (await wire("GET", "/db/_changes?style=all_docs&include_docs=true&conflicts=true")).json["results"][-1]
    assert [change["rev"] for change in row["changes"]] == [row["doc"]["_rev"], *row["doc"]["_conflicts"]]
    rev = (await wire("GET", "/db/d1")).json["_rev"]
    await wire("DELETE", f"/db/d1?rev={rev}")
    row = (await wire("GET", "/db/_changes?include_docs=true")).json["results"][-1]
    assert (row["id"], row["deleted"], row["doc"]["_deleted"]) == ("d1", True, True)


@pytest.mark.parametrize(
    ("query", "last", "pending"),
    [("", 1, 0), ("&limit=2", 4, 3), ("&limit=0", 5, 5), ("&since=now", 1, 0), ("&filter=_design", 5, 0)],
)
async def test_what_is_left_downwards(wire: Wire, query: str, last: int, pending: int) -> None:
    feed = (await wire("GET", f"/db/_changes?descending=true{query}")).json
    assert (number(feed["last_seq"]), feed["pending"]) == (last, pending)


async def test_inline_attachments(wire: Wire) -> None:
    await wire("PUT", "/db/a/t", b"text", {"Content-Type": "text/plain"})
    target = '/db/_changes?filter=_doc_ids&doc_ids=["a"]&include_docs=true'.replace('"', "%22")
    stub = (await wire("GET", target)).json["results"][0]["doc"]["_attachments"]["t"]
    assert stub["stub"] is True
    stub = (await wire("GET", target + "&attachments=true")).json["results"][0]["doc"]["_attachments"]["t"]
    assert stub["data"] == "dGV4dA=="


async def test_seq_interval(wire: Wire) -> None:
    rows = (await wire("GET", "/db/_changes?seq_interval=3")).json["results"]
    assert [row["seq"] is None for row in rows] == [False, True, True, False, True]


async def test_filters(wire: Wire) -> None:
    await wire("PUT", "/db/_design/d", {"filters": {"f": "function() {return true}"}})
    by_ids: dict[str, Any] = {"doc_ids": ["d3", "d1", "nosuch"]}
    assert ids((await wire("POST", "/db/_changes?filter=_doc_ids", by_ids)).json) == ["d1", "d3"]
    assert ids((await wire("GET", "/db/_changes?filter=_design")).json) == ["_design/d"]
    selector: dict[str, Any] = {"selector": {"even": True}, "fields": ["n"]}
    feed = (await wire("POST", "/db/_changes?filter=_selector&include_docs=true&limit=2", selector)).json
    assert [row["doc"] for row in feed["results"]] == [{"n": 0}, {"n": 2}]
    assert number(feed["last_seq"]) == 3
    all_of_it = (await wire("POST", "/db/_changes?filter=_selector", selector)).json
    assert ids(all_of_it) == ["d0", "d2", "d4"]
    assert (number(all_of_it["last_seq"]), all_of_it["pending"]) == (6, 0)
    assert (await wire("GET", "/db/_changes?filter=d/f")).status == 501


async def test_a_selector_judges_each_leaf_that_a_row_would_name(wire: Wire) -> None:
    """As CouchDB 3.5 answers; the document of the row is the winner all the same."""
    leaves = [("1-aa", 1), ("1-bb", 5), ("1-ab", 5), ("1-ac", 1)]
    docs: list[dict[str, Any]] = [{"_id": "s", "_rev": rev, "m": m} for rev, m in leaves]
    docs.append({"_id": "s", "_rev": "2-dd", "m": 1, "_deleted": True, "_revisions": {"start": 2, "ids": ["dd", "cc"]}})
    await wire("POST", "/db/_bulk_docs", {"new_edits": False, "docs": docs})
    selector = {"selector": {"m": 1}}

    async def rows(query: str) -> Any:
        return (await wire("POST", f"/db/_changes?filter=_selector&include_docs=true{query}", selector)).json["results"]

    [row] = await rows("&style=all_docs")
    assert row["changes"] == [{"rev": "1-ac"}, {"rev": "1-aa"}, {"rev": "2-dd"}]
    assert row["doc"] == {"_id": "s", "_rev": "1-bb", "m": 5}
    assert await rows("") == []
    selector["selector"] = {"m": 7}
    assert await rows("&style=all_docs") == []


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("filter=nosuch/f", "missing"),
        ("filter=d/g", "missing json key: g"),
        ("filter=odd/f", "json_mismatch"),
        ("filter=_view&view=d/f", "missing json key: views"),
        ("filter=_view&view=odd/f", "missing json key: f"),
    ],
)
async def test_functions_that_are_not_there(wire: Wire, query: str, reason: str) -> None:
    await wire("PUT", "/db/_design/d", {"filters": {"f": "function() {return true}"}})
    await wire("PUT", "/db/_design/odd", {"filters": "none", "views": {}})
    answer = await wire("GET", f"/db/_changes?{query}")
    assert (answer.status, answer.json) == (404, {"error": "not_found", "reason": reason})


@pytest.mark.parametrize(
    ("query", "body", "reason"),
    [
        ("feed=bogus", None, "Supported `feed` types: normal, continuous, live, longpoll, eventsource"),
        ("filter=foo", None, "`filter` must be of the form `designname/filtername`"),
        ("filter=_foo", None, "unknown builtin filter name"),
        ("filter=_doc_ids", None, "`doc_ids` filter parameter is not a list of doc ids."),
        ("filter=_doc_ids", {"doc_ids": 1}, "`doc_ids` filter parameter is not a list of doc ids."),
        ("filter=_doc_ids", {"doc_ids": [1]}, "`doc_ids` filter parameter is not a list of doc ids."),
        ("filter=_doc_ids", {"doc_ids": ["d0", {}]}, "`doc_ids` filter parameter is not a list of doc ids."),
        ("filter=_doc_ids&doc_ids=[%22d0%22,1]", None, "`doc_ids` filter parameter is not a list of doc ids."),
        ("filter=_selector", None, "Selector must be specified in POST payload"),
        ("filter=_selector", {"selector": 1}, "Selector error: expected a JSON object"),
        ("filter=_selector", {}, "Selector error: expected a JSON object"),
        ("filter=_selector", {"selector": {"n": {"$in": 1}}, "fields": 1}, "Bad argument for operator $in: 1"),
        ("filter=_selector", {"selector": {"n": {"$mod": 1}}}, "Bad argument for operator $mod: 1"),
        ("filter=_selector", {"selector": {"n": {"$foo": 1}}}, "Invalid operator: $foo"),
        ("filter=_selector", {"selector": {}, "fields": 1}, "Selector error: fields must be JSON array"),
        ("filter=_selector", {"selector": {}, "fields": None}, "Selector error: fields must be JSON array"),
        ("filter=_selector&include_docs=true", {"selector": {}, "fields": [1]}, "Invalid JSON for field spec: 1"),
        ("filter=_selector&include_docs=true", {"selector": {}, "fields": ["a..b"]}, "Invalid field name: a..b"),
        ("seq_interval=0", None, "invalid_seq_interval"),
        ("heartbeat=0", None, "The heartbeat value should be a positive integer (in milliseconds)."),
        ("heartbeat=x", None, "Invalid heartbeat value. Expecting a positive integer value (in milliseconds)."),
    ],
)
async def test_mistakes(wire: Wire, query: str, body: dict[str, Any] | None, reason: str) -> None:
    answer = await wire("GET" if body is None else "POST", f"/db/_changes?{query}", body)
    assert (answer.status, answer.json) == (400, {"error": "bad_request", "reason": reason})


async def test_the_tag_of_a_normal_feed(wire: Wire) -> None:
    tag = (await wire("GET", "/db/_changes?limit=1")).headers["etag"]
    assert (await wire("GET", "/db/_changes", None, {"If-None-Match": tag})).status == 304
    await wire("PUT", "/db/new", {})
    assert (await wire("GET", "/db/_changes", None, {"If-None-Match": tag})).status == 200
    assert "etag" not in (await wire("GET", "/db/_changes?feed=longpoll")).headers


async def test_longpoll_answers_at_once_if_there_is_something(wire: Wire) -> None:
    assert ids((await wire("GET", "/db/_changes?feed=longpoll&heartbeat=60000")).json)[-1] == "d4"


async def test_longpoll_waits_for_one_change_and_says_that_it_is_up(wire: Wire) -> None:
    async with wire.open() as connection:
        await connection.send("GET", "/db/_changes?feed=longpoll&since=now")
        await connection.head()
        assert await connection.chunk() == b'{"results":[\n\n'
        await wire("PUT", "/db/new", {})
        rest = b""
        while piece := await connection.chunk():
            rest += piece
        assert json.loads(b'{"results":[' + rest)["results"][0]["id"] == "new"
        assert (await connection("GET", "/db")).status == 200  # the connection is good for more


async def test_longpoll_gives_up_after_its_timeout(wire: Wire) -> None:
    answer = await wire("GET", "/db/_changes?feed=longpoll&since=now&timeout=10")
    assert answer.body.startswith(b'{"results":[\n\n\n],\n"last_seq":"5-')


async def test_longpoll_with_a_filter_passes_over_others(wire: Wire) -> None:
    async with wire.open() as connection:
        await connection.send("GET", "/db/_changes?feed=longpoll&since=now&filter=_design&heartbeat=60000")
        await connection.head()
        await connection.chunk()
        await wire("PUT", "/db/other", {})
        await wire("PUT", "/db/_design/d", {})
        rest = b""
        while piece := await connection.chunk():
            rest += piece
    assert ids(json.loads(b'{"results":[' + rest)) == ["_design/d"]


async def lines(connection: Connection) -> AsyncIterator[str]:
    """The lines of a streamed answer, without empty ones."""
    rest = b""
    while piece := await connection.chunk():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line:
                yield line.decode()


@pytest.mark.parametrize("feed", ["continuous", "live"])
async def test_continuous_goes_on_to_its_limit(wire: Wire, feed: str) -> None:
    async with wire.open() as connection:
        await connection.send("GET", f"/db/_changes?feed={feed}&limit=7&heartbeat=5")
        await connection.head()
        rows = lines(connection)
        assert [json.loads(await anext(rows))["id"] for _ in range(5)] == [f"d{n}" for n in range(5)]
        for name in ("x", "y"):
            await wire("PUT", f"/db/{name}", {})
            assert json.loads(await anext(rows))["id"] == name
        last = json.loads(await anext(rows))
        assert (number(last["last_seq"]), last["pending"]) == (7, 0)
        assert [line async for line in rows] == []


async def test_continuous_ends_when_nothing_comes(wire: Wire) -> None:
    body = (await wire("GET", "/db/_changes?feed=continuous&timeout=10&since=now")).body
    assert body.startswith(b'\n{"last_seq":"5-')
    assert body.endswith(b'"pending":0}\n\n')


async def test_heartbeats_of_each_feed(wire: Wire) -> None:
    for feed, beat in (("longpoll", b"\n"), ("continuous", b"\n"), ("eventsource", b"event: heartbeat\ndata: \n\n")):
        async with wire.open() as connection:
            await connection.send("GET", f"/db/_changes?feed={feed}&since=now&heartbeat=5")
            await connection.head()
            await connection.chunk()
            assert [await connection.chunk() for _ in range(3)] == [beat] * 3


async def test_eventsource_and_its_way_back(wire: Wire) -> None:
    answer = await wire("GET", "/db/_changes?feed=eventsource&timeout=10")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    events = answer.body.decode().removesuffix("\n").split("\n\n")[:5]
    data, last = events[2].split("\n")
    assert json.loads(data.removeprefix("data: "))["id"] == "d2"
    last_id = last.removeprefix("id: ")
    again = await wire("GET", "/db/_changes?feed=eventsource&timeout=10&since=0", None, {"Last-Event-ID": last_id})
    assert json.loads(again.body.decode().split("\n")[0].removeprefix("data: "))["id"] == "d3"


async def test_a_client_that_hangs_up_is_forgotten(wire: Wire) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(5):
        async with wire.open() as connection:
            await connection.send("GET", "/db/_changes?feed=continuous&heartbeat=60000")
            await connection.head()
    for _ in range(100):
        if len(asyncio.all_tasks()) <= before:
            break
        await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) <= before


async def test_a_deleted_database_ends_its_feeds(wire: Wire) -> None:
    async with wire.open() as connection:
        await connection.send("GET", "/db/_changes?feed=continuous&since=now&heartbeat=60000")
        await connection.head()
        await connection.chunk()
        await wire("DELETE", "/db")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await connection.chunk()
