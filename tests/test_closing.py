"""What becomes of requests when the server is to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy import app
from proxy.app import running
from proxy.closing import Closing
from proxy.config.model import Config, Database, Server, Source
from proxy.core import jsonio
from proxy.core.endpoints import Kind
from proxy.endpoint.serve import start
from proxy.exchange import Exchange
from proxy.feeds.local import Feeds
from tests.support.inprocess import ADMIN, USERS, basic, profile


@dataclass
class Ending:
    """A proxy that can be told to end while it is asked something."""

    url: str
    session: aiohttp.ClientSession
    feeds: Feeds
    stack: AsyncExitStack

    async def ask(self, path: str) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", **basic(("ann", "ann"))}
        async with self.session.get(self.url + path, headers=headers) as got:
            return got.status, await got.read()

    async def waiting(self, path: str, heard: str = "\n") -> tuple[asyncio.Task[bytes], Any]:
        """The rest of a feed that has begun to wait, and its response."""
        headers = {"Accept": "application/json", **basic(("ann", "ann"))}
        got = await self.session.get(self.url + path, headers=headers)
        assert got.status == 200
        await got.content.readuntil(heard.encode())
        return asyncio.ensure_future(got.read()), got


@asynccontextmanager
async def ending(data: Path | None) -> AsyncIterator[Ending]:
    async with (
        await start(admins=dict([ADMIN]), users=USERS) as endpoint,
        aiohttp.ClientSession() as session,
        AsyncExitStack() as stack,
    ):
        async with session.put(f"{endpoint.url}/clinic", headers=basic(ADMIN)) as made:
            assert made.status == 201
        source = Source("main", endpoint.url, auth="service", username=ADMIN[0], password=ADMIN[1])
        config = Config(
            Server(port=0, secret=b"a secret of the tests", data=data),
            {"main": source},
            {"clinic": Database("clinic", source, "clinic")},
            {"phone": profile("phone")},
        )
        feeds = Feeds(config)
        host, port = await stack.enter_async_context(running(config, feeds))
        for hub in feeds.hubs.values():
            while hub.index is None:
                await asyncio.sleep(0.005)
        yield Ending(f"http://{host}:{port}", session, feeds, stack)


@pytest.mark.parametrize("indexed", [True, False])
async def test_feeds_that_wait_end_well_and_at_once_and_others_get_their_time(
    indexed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, told = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> web.StreamResponse:
        asked.set()
        await told.wait()
        return exchange.json({"ok": True})

    monkeypatch.setitem(app.HANDLERS, (Kind.DATABASE, "GET"), slow)
    async with ending(tmp_path / "data" if indexed else None) as there:
        changes = "/clinic-phone/_changes?since=now&heartbeat=10&feed="
        longpoll, _ = await there.waiting(changes + "longpoll", '{"results":[\n\n')
        continuous, _ = await there.waiting(changes + "continuous")
        events, _ = await there.waiting(changes + "eventsource")
        working = asyncio.ensure_future(there.ask("/clinic-phone"))
        await asked.wait()
        closing = asyncio.ensure_future(there.stack.aclose())
        assert jsonio.loads(b'{"results":[' + await longpoll).keys() == {"results", "last_seq", "pending"}
        assert jsonio.loads((await continuous).split()[-1]).keys() == {"last_seq", "pending"}
        await events
        assert not closing.done()
        told.set()
        assert await working == (200, b'{"ok":true}\n')
        await closing


async def test_who_comes_to_wait_later_does_not_begin() -> None:
    closing, began = Closing(), asyncio.Event()

    async def wait() -> str:
        async with closing.wait():
            began.set()
            await asyncio.Event().wait()
        return "ended"

    first = asyncio.ensure_future(wait())
    await began.wait()
    closing.begin()
    assert [await first, await wait()] == ["ended", "ended"]


async def test_another_time_out_within_is_not_swallowed() -> None:
    closing = Closing()
    with pytest.raises(TimeoutError):
        async with closing.wait():
            raise TimeoutError
    closing.begin()
