"""A follower and serving processes that listen to it, over a real Unix socket, in one process."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from filters.select import Select
from proxy.config.model import Config, Database, Server, Source
from proxy.contract import Client
from proxy.endpoint.serve import Running, start
from proxy.errors import Unavailable
from proxy.feeds import remote, server
from proxy.feeds.hub import Hub
from proxy.feeds.index import key_number
from proxy.feeds.local import make_follower
from proxy.feeds.looks import stored_keys
from proxy.feeds.messages import CatchUp, Done, Message, encode
from proxy.feeds.remote import RemoteFeeds
from proxy.feeds.server import Followers
from proxy.feeds.watcher import Watcher
from proxy.upstream import Upstream
from tests.support.inprocess import ADMIN, basic, profile


class Lab:
    """A database, the socket behind which it is followed, and the follower, which comes and goes."""

    def __init__(self, source: Running, session: aiohttp.ClientSession, directory: Path) -> None:
        self._session = session
        upstream = Source("main", source.url, auth="service", username=ADMIN[0], password=ADMIN[1])
        self.config = Config(
            Server(port=0, secret=b"a secret of the tests", data=directory / "data"),
            {"main": upstream},
            {"clinic": Database("clinic", upstream, "clinic")},
            {"own": profile("own", Select(where="owner == client.name"))},
        )
        self.path = directory / "feeds"
        self._source = source
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen()
        self._stop = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def write(self, *ids: str) -> None:
        for doc_id in ids:
            url = f"{self._source.url}/clinic/{doc_id}"
            async with self._session.put(url, json={"owner": "ann"}, headers=basic(ADMIN)) as reply:
                assert reply.status == 201

    async def build(self) -> None:
        """Bring the index to the source's end, with nobody listening."""
        database = self.config.databases["clinic"]
        upstream = Upstream(database.source)
        await make_follower(self.config, database, upstream, Watcher()).build()
        upstream.close()

    def begin(self) -> None:
        self._stop = asyncio.Event()
        self._following = asyncio.ensure_future(Followers(self.config).run(self._listening, self._stop))

    async def end(self) -> None:
        self._stop.set()
        if self._following is not None:
            await self._following

    def close(self) -> None:
        self._listening.close()

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Hub]:
        feeds = RemoteFeeds(self.config, self.path)
        feeds.start()
        yield feeds.hubs["clinic"]
        await feeds.stop()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with await start(admins=dict([ADMIN]), iterations=10) as source, aiohttp.ClientSession() as session:
        await source.server.create("clinic")
        lab = Lab(source, session, tmp_path)
        lab.begin()
        yield lab
        await lab.end()
        lab.close()


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def fresh(hub: Hub) -> None:
    while not await hub.fresh():
        await asyncio.sleep(0.01)


async def test_workers_know_what_the_follower_knows(lab: Lab) -> None:
    await lab.write("a", "b")
    async with lab.worker() as first:
        await fresh(first)
        assert first.end == 2
        async with lab.worker() as late:
            await until(lambda: late.index is not None)
            assert late.end == 2
            await lab.write("c")
            assert await first.fresh()
            assert first.end == 3
            await until(lambda: late.end == 3)


async def test_whoever_waits_is_woken_by_a_key(lab: Lab) -> None:
    async with lab.worker() as hub:
        await fresh(hub)
        audience = lab.config.profiles["own"].audience
        assert audience is not None
        held = stored_keys(audience, audience.held_by(Client("ann")))
        mine = asyncio.ensure_future(hub.wait(held))
        others = asyncio.ensure_future(hub.wait(frozenset((key_number("nobody's"),))))
        await asyncio.sleep(0)
        await lab.write("a")
        await mine
        assert hub.end == 1
        assert not others.done()
        others.cancel()


async def test_without_a_follower_nobody_can_say_whether_the_index_is_at_its_end(lab: Lab) -> None:
    async with lab.worker() as hub:
        await fresh(hub)
        asking = asyncio.ensure_future(_ask_on(hub))
        await lab.end()
        assert not await asking
        index = hub.index
        assert index is not None
        assert not await hub.fresh()
        await lab.write("a")
        lab.begin()
        await fresh(hub)
        assert hub.end == 1
        assert hub.index is index


async def test_everybody_is_woken_who_may_have_missed_something(lab: Lab) -> None:
    async with lab.worker() as hub:
        await fresh(hub)
        index = hub.index
        await lab.end()
        waiting = asyncio.ensure_future(hub.wait(frozenset((1,))))
        await asyncio.sleep(0)
        await lab.write("a")
        await lab.build()
        lab.begin()
        await waiting
        assert hub.index is index
        assert hub.end == 1


async def test_after_a_while_without_a_follower_feeds_come_from_the_source(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "GRACE_SECONDS", 0.05)
    async with lab.worker() as hub:
        await until(lambda: hub.index is not None)
        waiting = asyncio.ensure_future(hub.wait(None))
        await asyncio.sleep(0)
        await lab.end()
        with pytest.raises(Unavailable):
            await waiting
        assert hub.index is None
        lab.begin()
        await fresh(hub)


async def test_a_follower_that_hangs_is_as_good_as_none(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote, "_QUIET_SECONDS", 0.05)
    monkeypatch.setattr(remote, "GRACE_SECONDS", 0.05)
    hangs, take = asyncio.Event(), server._Worker._take

    async def take_or_not(self: server._Worker, message: Message) -> None:
        while hangs.is_set():
            await asyncio.sleep(0.01)
        await take(self, message)

    monkeypatch.setattr(server._Worker, "_take", take_or_not)
    async with lab.worker() as hub:
        await fresh(hub)
        await asyncio.sleep(0.3)  # nothing is said but signs of life
        assert caplog.messages == []
        waiting = asyncio.ensure_future(hub.wait(None))
        hangs.set()
        assert not await _ask_on(hub)
        await until(lambda: "the follower does not answer: feeds are read from the source until it does" in caplog.text)
        with pytest.raises(Unavailable):
            await waiting
        assert hub.index is None
        hangs.clear()
        await fresh(hub)
        assert "the follower answers again" in caplog.messages


async def test_a_worker_that_does_not_read_is_in_nobodys_way(lab: Lab) -> None:
    deaf = socket.socket(socket.AF_UNIX)
    deaf.connect(str(lab.path))
    deaf.setblocking(False)
    async with lab.worker() as hub:
        await fresh(hub)
        questions = b"".join(encode(CatchUp("clinic", number)) for number in range(100_000))
        loop = asyncio.get_running_loop()
        asking = asyncio.ensure_future(loop.sock_sendall(deaf, questions))
        for number in range(20):
            await lab.write(f"doc{number}")
            await fresh(hub)
            assert hub.end == number + 1
        assert not asking.done()  # it is not listened to until it reads
        heard, last = b"", encode(Done(99_999))
        while not heard.endswith(last):
            heard = heard[-len(last) :] + await loop.sock_recv(deaf, 2**16)
        await asking
    deaf.close()


async def test_a_worker_that_dies_with_its_questions_open_is_forgotten(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MOST_ASKED", 10)
    served: set[server._Worker] = set()
    serve = server._Worker.serve

    async def serve_and_tell(self: server._Worker, reader: asyncio.StreamReader) -> None:
        served.add(self)
        try:
            await serve(self, reader)
        finally:
            served.discard(self)

    async def never(self: server._Worker, question: CatchUp) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server._Worker, "serve", serve_and_tell)
    monkeypatch.setattr(server._Worker, "_answer", never)
    dying = socket.socket(socket.AF_UNIX)
    dying.connect(str(lab.path))
    dying.sendall(b"".join(encode(CatchUp("clinic", number)) for number in range(100)))
    await until(lambda: any(len(worker._answering) == 10 for worker in served))
    dying.close()
    await lab.write("doc")  # of which it would be told
    await until(lambda: not served)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b'["done",1]\n', b'["catch_up","stock",1]\n'])
async def test_who_says_something_else_is_hung_up_on(lab: Lab, data: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(lab.path))
    writer.write(data)
    with suppress(ConnectionError):
        while await reader.read(1000):
            pass
    writer.close()
    async with lab.worker() as hub:
        await fresh(hub)


async def test_an_index_that_cannot_be_read_is_made_anew_once(lab: Lab) -> None:
    await lab.write("a")
    async with lab.worker() as first, lab.worker() as second:
        await until(lambda: first.index is not None and second.index is not None)
        old = first.index
        assert old is not None
        old_id = old.index_id
        first.complain(Exception("it is torn"))
        await until(lambda: first.index is not None and second.index is not None and second.index.index_id != old_id)
        assert first.index is not None
        new_id = first.index.index_id
        assert new_id != old_id
        assert second.renew is not None
        second.renew(old_id)  # late
        await fresh(second)
        await fresh(second)
        assert second.index is not None
        assert second.index.index_id == new_id


async def _ask_on(hub: Hub) -> bool:
    """Ask until the answer is no."""
    while await hub.fresh():
        pass
    return False


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system does not say")
async def test_the_follower_knows_which_processes_serve(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[Watcher] = []
    made = make_follower

    def make(config: Config, database: Database, upstream: Upstream, watcher: Watcher) -> Any:
        followed.append(watcher)
        return made(config, database, upstream, watcher)

    monkeypatch.setattr(server, "make_follower", make)
    await lab.end()
    lab.begin()
    async with lab.worker() as hub:
        await fresh(hub)
        assert list(followed[0].serving()) == [os.getpid()]
    await until(lambda: not list(followed[0].serving()))
