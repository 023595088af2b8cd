"""`_changes` with the bodies of attachments: rows are written as these come, and to their end."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.reading.changes import get_changes
from tests.reading.couch import Couch, dump, revision, serving
from tests.reading.served import Front, front

CHUNK = b"abc" * 100_000
"""More than is held of a row."""
FEEDS = ["normal", "longpoll", "continuous", "eventsource"]


class Film:
    """An attachment that the source gives in chunks, with a pause of the test's own before the last."""

    def __init__(self, chunks: int) -> None:
        self.whole = CHUNK * chunks
        self.begun = asyncio.Event()
        """All but the last chunk has been given."""
        self.go_on: Callable[[], Awaitable[None]] = self._at_once
        self.given = 0

    async def _at_once(self) -> None:
        pass

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(self.whole)
        await response.prepare(request)
        while self.given < len(self.whole):
            if self.given == len(self.whole) - len(CHUNK):
                self.begun.set()
                await self.go_on()
            await response.write(CHUNK)
            self.given += len(CHUNK)
        await response.write_eof()
        return response


def couch_with(film: Film, *, late: bool = False) -> Couch:
    """A source whose feed has a small document, one with the film, and a small one; `late`: after those there are."""
    entry = {"content_type": "x/y", "revpos": 1, "digest": "md5-y==", "length": len(film.whole), "stub": True}
    couch = Couch()
    docs = [revision("a", "a", owner="ann"), revision("film", "a", owner="ann", _attachments={"f": entry})]
    docs.append(revision("z", "a", owner="ann"))

    async def changes(request: web.BaseRequest) -> web.StreamResponse:
        waits = request.query.get("feed") == "longpoll"
        since = json.loads(request.query.get("since", "0"))
        if waits and since == len(docs):
            await asyncio.Event().wait()
        rows = []
        for seq, doc in enumerate(docs, 1):
            shown = {name: value for name, value in doc.items() if name != "_revisions"}
            rows.append({"seq": seq, "id": doc["_id"], "changes": [{"rev": doc["_rev"]}], "doc": shown})
        wanted = rows[since:] if waits or not late else []
        last = len(docs) if wanted else since
        return web.Response(
            body=dump({"results": wanted, "last_seq": last, "pending": 0}), content_type="application/json"
        )

    couch.instead = {"/db/_changes": changes, "/db/film/f": film.handle}
    return couch


def path(feed: str, **more: Any) -> str:
    pairs = "".join(f"&{name}={value}" for name, value in more.items())
    return f"/db-phone/_changes?include_docs=true&attachments=true&feed={feed}{pairs}"


def rows_of(feed: str, body: bytes) -> list[Any]:
    if feed in ("normal", "longpoll"):
        found: list[Any] = json.loads(body)["results"]
        return found
    lines = [line.removeprefix(b"data: ") for line in body.splitlines()]
    return [row for line in lines if line.startswith(b"{") and "id" in (row := json.loads(line))]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("feed", FEEDS)
async def test_every_feed_has_large_rows_and_small_ones(feed: str, late: bool) -> None:
    film = Film(3)
    if feed == "normal" and late:
        return
    async with serving(couch_with(film, late=late)) as couch, front(couch, get_changes) as ann:
        status, body, _ = await ann.raw("GET", path(feed, limit=3))
    assert status == 200
    rows = rows_of(feed, body)
    assert [row["id"] for row in rows] == ["a", "film", "z"]
    assert rows[1]["doc"]["_attachments"]["f"]["data"] == b64encode(film.whole).decode()
    if feed == "eventsource":
        assert [line for line in body.splitlines() if line.startswith(b"id: ")] == [
            b"id: " + dump(row["seq"]) for row in rows
        ]
    elif feed == "longpoll":
        assert json.loads(body)["last_seq"] == rows[2]["seq"]


async def test_a_client_that_does_not_read_holds_the_source_back() -> None:
    film = Film(200)
    async with serving(couch_with(film)) as couch, front(couch, get_changes) as ann:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(ann.url.rpartition(":")[2]), limit=1024)
        writer.write(b"GET " + path("normal").encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        given = -1
        while given < film.given:  # until nothing moves any more
            given = film.given
            await asyncio.sleep(0.3)
        assert given < len(film.whole) / 2
        writer.close()


@pytest.mark.parametrize("feed", ["normal", "continuous"])
async def test_heartbeats_are_put_between_rows_only(feed: str) -> None:
    film = Film(3)
    film.go_on = lambda: asyncio.sleep(0.3)
    async with serving(couch_with(film)) as couch, front(couch, get_changes) as ann:
        _, body, _ = await ann.raw("GET", path(feed, limit=3, heartbeat=20))
    rows = rows_of(feed, body)
    assert rows[1]["doc"]["_attachments"]["f"]["data"] == b64encode(film.whole).decode()


@pytest.mark.parametrize("feed", ["longpoll", "continuous", "eventsource"])
async def test_the_end_of_a_feeds_time_leaves_no_row_in_the_middle(feed: str) -> None:
    film = Film(3)
    film.go_on = lambda: asyncio.sleep(0.5)
    async with serving(couch_with(film, late=True)) as couch, front(couch, get_changes) as ann:
        _, body, _ = await ann.raw("GET", path(feed, timeout=200))
    rows = rows_of(feed, body)
    assert [row["id"] for row in rows] == ["a", "film"]
    assert rows[1]["doc"]["_attachments"]["f"]["data"] == b64encode(film.whole).decode()
    if feed != "eventsource":
        last = json.loads(body if feed == "longpoll" else body.split()[-1])["last_seq"]
        assert last == rows[-1]["seq"]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("feed", FEEDS)
async def test_a_source_that_breaks_off_within_a_row_breaks_the_clients_connection(feed: str, late: bool) -> None:
    film = Film(3)

    async def fail() -> None:
        raise ConnectionResetError

    film.go_on = fail
    async with serving(couch_with(film, late=late and feed != "normal")) as couch, front(couch, get_changes) as ann:
        with pytest.raises(aiohttp.ClientError):
            await ann.raw("GET", path(feed))


@pytest.fixture
async def waiting() -> AsyncIterator[tuple[Front, Film]]:
    film = Film(3)
    async with serving(couch_with(film)) as couch, front(couch, get_changes) as ann:
        yield ann, film


async def test_what_is_read_for_a_client_that_is_gone_is_let_go_of(waiting: tuple[Front, Film]) -> None:
    ann, film = waiting
    left = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    film.go_on = wait
    reader, writer = await asyncio.open_connection("127.0.0.1", int(ann.url.rpartition(":")[2]))
    writer.write(b"GET " + path("continuous").encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    await film.begun.wait()
    await reader.readuntil(b'"data":"')
    writer.close()
    await asyncio.wait_for(left.wait(), 3)
