"""What a connection takes that is gone, on the loop that a serving process runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from filters.select import Select
from proxy.config.model import Config, Database, Server, Source
from proxy.errors import Unavailable
from proxy.feeds.messages import Closed, encode
from proxy.feeds.remote import RemoteFeeds
from proxy.loop import run_loop, send
from tests.support.inprocess import profile


def _indexed(data: Path) -> Config:
    source = Source("main", "http://127.0.0.1:1", auth="service", username="tailor", password="secret")
    databases = {"clinic": Database("clinic", source, "clinic")}
    own = profile("own", Select(where="owner == client.name"))
    return Config(Server(port=0, secret=b"a secret of the tests", data=data), {"main": source}, databases, {"own": own})


async def _listen_until_gone(path: Path, *, said: bytes = b"") -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()
        writer.close()

    return await asyncio.start_unix_server(connected, str(path))


def test_what_is_sent_arrives_until_the_connection_is_gone(tmp_path: Path) -> None:
    async def work() -> None:
        async with await _listen_until_gone(tmp_path / "socket"):
            _, writer = await asyncio.open_unix_connection(str(tmp_path / "socket"))
            send(writer, b"something")
            writer.transport.abort()
            for _ in range(5):
                with pytest.raises(ConnectionResetError, match="the connection is gone"):
                    send(writer, b"something")
                await asyncio.sleep(0)

    run_loop(work())


@pytest.mark.parametrize("turns", range(6))
def test_there_is_no_follower_from_the_moment_that_its_connection_is_gone(tmp_path: Path, turns: int) -> None:
    """`turns`: of the loop, after which its reader has or has not heard of it."""

    async def work() -> None:
        async with await _listen_until_gone(tmp_path / "feeds", said=encode(Closed("clinic"))):
            feeds = RemoteFeeds(_indexed(tmp_path), tmp_path / "feeds")
            feeds.start()
            while not feeds._told:
                await asyncio.sleep(0.01)
            assert feeds._writer is not None
            feeds._writer.transport.abort()
            for _ in range(turns):
                await asyncio.sleep(0)
            feeds._renew("clinic", b"damaged")
            with pytest.raises(Unavailable, match=r"There is no follower\."):
                await feeds._catch_up("clinic")
            assert feeds._asked == {}
            await feeds.stop()

    run_loop(work())
