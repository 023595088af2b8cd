"""The server's databases: names, creation, deletion, what a restart keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.endpoint.server import Server
from proxy.errors import BadRequest, CouchError, NotFound, PreconditionFailed


@pytest.fixture(params=["memory", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(None if request.param == "memory" else tmp_path)
    yield made
    await made.close()


async def test_create_list_delete(server: Server) -> None:
    assert server.names() == ["_users"]
    for name in ("b", "a/b+c$(d)-e_f", "_replicator"):
        assert (await server.create(name)).name == name
    assert server.names() == ["_replicator", "_users", "a/b+c$(d)-e_f", "b"]
    await server.delete("a/b+c$(d)-e_f")
    assert server.names() == ["_replicator", "_users", "b"]
    with pytest.raises(NotFound, match=r"Database does not exist\."):
        server.database("a/b+c$(d)-e_f")
    with pytest.raises(NotFound, match=r"Database does not exist\."):
        await server.delete("none")
    with pytest.raises(PreconditionFailed) as caught:
        await server.create("b")
    assert caught.value.error == "file_exists"
    assert caught.value.reason == "The database could not be created, the file already exists."


@pytest.mark.parametrize("name", ["", "A", "1a", "_x", "a.b", "a b", "..", "é", "a\n"])
async def test_illegal_names(server: Server, name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await server.create(name)
    assert caught.value.error == "illegal_database_name"
    assert caught.value.reason == (
        f"Name: '{name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters "
        "_, $, (, ), +, -, and / are allowed. Must begin with a letter."
    )
    with pytest.raises(NotFound):
        server.database(name)


async def test_names_that_are_too_long(server: Server) -> None:
    with pytest.raises(BadRequest) as caught:
        await server.create("a" * 300)
    assert caught.value.error == "database_name_too_long"


async def test_a_deleted_database_answers_nobody(server: Server) -> None:
    database = await server.create("a")
    await database.put("x", {})
    waiting = asyncio.ensure_future(database.wait_for_change(database.update_seq))
    rows = database.changes(0)
    await asyncio.sleep(0)
    await server.delete("a")
    with pytest.raises(NotFound, match=r"Database does not exist\."):
        await waiting
    with pytest.raises(NotFound):
        database.get("x")
    with pytest.raises(NotFound):
        next(rows)
    with pytest.raises(NotFound):
        await database.put("y", {})


async def test_a_database_created_again_is_another_one(server: Server) -> None:
    first = await server.create("a")
    await first.put("x", {})
    since = first.seq_text(1)
    await server.delete("a")
    second = await server.create("a")
    with pytest.raises(NotFound):
        second.get("x")
    await second.put("y", {})
    assert second.seq_text(1) != since
    assert second.parse_seq(since) == 0
    assert second.parse_seq(second.seq_text(1)) == 1


async def test_deleting_and_creating_at_once(server: Server) -> None:
    for number in range(5):
        database = await server.create("a")
        writes = [asyncio.ensure_future(database.put(f"d{n}", {"n": number})) for n in range(20)]
        await asyncio.sleep(0)
        deleted, again = await asyncio.gather(server.delete("a"), server.create("a"), return_exceptions=True)
        assert deleted is None
        if isinstance(again, BaseException):  # it came first
            assert isinstance(again, PreconditionFailed)
            again = await server.create("a")
        await asyncio.gather(*writes, return_exceptions=True)
        assert again.update_seq == 0
        await server.delete("a")


async def test_a_deletion_goes_on_when_nobody_waits(server: Server) -> None:
    database = await server.create("a")
    await database.put("x", {})
    deletion = asyncio.ensure_future(server.delete("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    deletion.cancel()
    again = await server.create("a")
    assert again.update_seq == 0


def test_uuids(server: Server) -> None:
    found = server.uuids(10_000)
    assert len(set(found)) == 10_000
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in found)
    assert found[:100] == sorted(found[:100])


async def test_a_restart_keeps_databases_and_identity(tmp_path: Path) -> None:
    first = Server(tmp_path)
    database = await first.create("a/b")
    await database.put("x", {"n": 1})
    await database.set_security({"members": {"names": ["ann"]}})
    await database.set_revs_limit(5)
    before = (first.uuid, first.secret, database.instance_start_time, database.seq_text(1))
    await first.close()
    await first.close()

    second = Server(tmp_path)
    again = second.database("a/b")
    assert second.names() == ["_users", "a/b"]
    assert (second.uuid, second.secret, again.instance_start_time, again.seq_text(1)) == before
    assert again.get("x").body == b'{"n":1}'
    assert again.security() == {"members": {"names": ["ann"]}}
    assert again.revs_limit() == 5
    await second.close()


async def test_two_servers_cannot_share_a_directory(tmp_path: Path) -> None:
    first = Server(tmp_path)
    with pytest.raises(CouchError, match="is another endpoint running on it"):
        Server(tmp_path)
    await first.close()
    await Server(tmp_path).close()
