"""Compaction: leaves keep their bodies, all other revisions lose theirs; on both repositories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.core import jsonio
from proxy.endpoint.database import Database, Document
from proxy.endpoint.reading import PAGE
from proxy.endpoint.repository import Repository, Transaction
from proxy.endpoint.server import Server
from proxy.errors import NotFound, PreconditionFailed
from tests.endpoint.http_client import JSON, serving

A, B, C, D = (letter * 32 for letter in "abcd")


@pytest.fixture(params=["memory", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(None if request.param == "memory" else tmp_path)
    yield server
    await server.close()


@pytest.fixture
async def database(server: Server) -> Database:
    return await server.create("db")


async def compacted(database: Database) -> None:
    """Compact, and wait for the end."""
    await database.compact()
    await asyncio.sleep(0)
    assert not database.compact_running


def shown(document: Document) -> dict[str, Any]:
    value: dict[str, Any] = jsonio.loads(document.json())
    return value


async def graft(database: Database, *paths: list[str], deleted: bool = False) -> None:
    """Replicate revisions of `d`, newest hash first; the body is the newest hash's first letter."""
    docs = [
        {"_id": "d", "_deleted": deleted, "_revisions": {"start": len(path), "ids": path}, "x": path[0][0]}
        for path in paths
    ]
    assert [one.error for one in await database.bulk_docs(docs, new_edits=False)] == [None] * len(docs)


async def test_only_leaves_keep_their_bodies(database: Database) -> None:
    await graft(database, [A], [B, A], [C, B, A], [D, A])
    before = database.get("d", revs=True, conflicts=True).json(), database.update_seq
    await compacted(database)
    assert (database.get("d", revs=True, conflicts=True).json(), database.update_seq) == before
    assert shown(database.get("d", f"3-{C}"))["x"] == "c"
    assert shown(database.get("d", f"2-{D}"))["x"] == "d"
    for gone in (f"1-{A}", f"2-{B}"):
        with pytest.raises(NotFound, match="missing"):
            database.get("d", gone)
    statuses = [step["status"] for step in shown(database.get("d", revs_info=True))["_revs_info"]]
    assert statuses == ["available", "missing", "missing"]
    assert database.revs_diff({"d": [f"1-{A}", f"2-{B}"]}) == {}


async def test_a_tombstone_is_a_leaf(database: Database) -> None:
    await graft(database, [A])
    await graft(database, [B, A], deleted=True)
    await compacted(database)
    assert shown(database.get("d", f"2-{B}")) == {"_id": "d", "_rev": f"2-{B}", "_deleted": True, "x": "b"}
    created = await database.put("d", {"again": True})
    await compacted(database)
    assert shown(database.get("d"))["_rev"] == created.rev
    assert [change.rev for change in database.changes()] == [created.rev]
    with pytest.raises(NotFound, match="missing"):
        database.get("d", f"2-{B}")


async def test_a_replicated_revision_gets_its_body_again(database: Database) -> None:
    await graft(database, [A], [B, A])
    await compacted(database)
    await graft(database, [A])
    assert shown(database.get("d", f"1-{A}"))["x"] == "a"
    assert shown(database.get("d"))["x"] == "b"


async def test_attachments_of_leaves_stay(database: Database) -> None:
    data = {"t": {"content_type": "text/plain", "data": "dGV4dA=="}}
    first = await database.put("d", {"_attachments": data})
    stub = {"t": {"content_type": "text/plain", "stub": True}}
    second = await database.put("d", {"_rev": first.rev, "_attachments": stub})
    await compacted(database)
    [attachment] = database.get("d").attachments
    assert await database.attachment_data(attachment) == b"text"
    third = await database.put("d", {"_rev": second.rev, "_attachments": stub})
    assert shown(database.get("d"))["_rev"] == third.rev


async def test_a_stub_of_a_forgotten_body_is_missing(database: Database) -> None:
    data = {"t": {"content_type": "text/plain", "data": "dGV4dA=="}}
    first = await database.put("d", {"_attachments": data})
    await database.put("d", {"_rev": first.rev})
    await compacted(database)
    assert first.rev is not None
    branch = {"start": 2, "ids": [D, first.rev[2:]]}
    stub = {"t": {"content_type": "text/plain", "stub": True, "revpos": 1}}
    with pytest.raises(PreconditionFailed, match="Invalid attachment stub in d for t"):
        await database.bulk_docs([{"_id": "d", "_revisions": branch, "_attachments": stub}], new_edits=False)


async def test_many_documents_and_writes_meanwhile(database: Database) -> None:
    ids = [f"{number:04}" for number in range(2 * PAGE + 3)]
    firsts = await database.bulk_docs([{"_id": doc_id} for doc_id in ids])
    await database.bulk_docs([{"_id": one.id, "_rev": one.rev, "n": 2} for one in firsts])
    running = database.compact()
    assert database.compact() is running  # one at a time
    assert database.info()["compact_running"] is True
    late = await database.put("late", {"n": 1})
    await running
    for one in firsts:
        assert shown(database.get(one.id))["n"] == 2
        with pytest.raises(NotFound):
            database.get(one.id, one.rev)
    assert database.get("late").rev == late.rev


async def test_it_is_kept_over_a_restart(tmp_path: Path) -> None:
    server = Server(tmp_path)
    database = await server.create("db")
    await graft(database, [A], [B, A])
    await compacted(database)
    await server.close()
    again = Server(tmp_path)
    try:
        with pytest.raises(NotFound):
            again.database("db").get("d", f"1-{A}")
        assert shown(again.database("db").get("d"))["x"] == "b"
    finally:
        await again.close()


async def test_deleting_the_database_ends_it(server: Server, database: Database) -> None:
    await graft(database, [A], [B, A])
    running = database.compact()
    await server.delete("db")
    assert running.done()
    assert not database.compact_running


async def test_what_goes_wrong_is_logged(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await graft(database, [A], [B, A])

    async def full(_self: Repository, job: Any) -> Transaction:
        raise OSError("no space left")

    monkeypatch.setattr(type(database._repository), "write", full)
    await asyncio.wait((database.compact(),))
    await asyncio.sleep(0)
    assert "the compaction of db failed: no space left" in caplog.text
    assert shown(database.get("d", f"1-{A}"))["x"] == "a"
    monkeypatch.undo()
    await compacted(database)


async def test_over_http() -> None:
    async with serving() as wire:
        await wire("PUT", "/db")
        first = (await wire("PUT", "/db/d", {})).json["rev"]
        await wire("PUT", f"/db/d?rev={first}", {"n": 2})
        answer = await wire("POST", "/db/_compact", headers=JSON)
        assert (answer.status, answer.json) == (202, {"ok": True})
        while (await wire("GET", "/db")).json["compact_running"]:
            await asyncio.sleep(0)
        gone = await wire("GET", f"/db/d?rev={first}")
        assert (gone.status, gone.json) == (404, {"error": "not_found", "reason": "missing"})
        assert (await wire("GET", "/db/d")).json["n"] == 2
