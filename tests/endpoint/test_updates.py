"""Random requests that CouchDB 3.5.0 was given, and what it made of them.

Each line of `updates.jsonl` is one database: `_bulk_docs` requests in order with the answers (edits and replication;
attachments, deletions, conflicts, small `revs_limit`s), then what `open_revs`, GET and `_changes` said in the end.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.core import jsonio
from proxy.endpoint.database import Database, Document, Updated
from proxy.endpoint.server import Server
from proxy.errors import BadRequest, Conflict, CouchError, NotFound

RECORDED = [json.loads(line) for line in (Path(__file__).parent / "data/updates.jsonl").read_text().splitlines()]
A, B, C = (letter * 32 for letter in "abc")


@pytest.fixture(params=["memory", "sqlite"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    server = Server(None if request.param == "memory" else tmp_path)
    yield await server.create("db")
    await server.close()


def shown(updated: Updated) -> dict[str, Any]:
    if updated.error is None:
        return {"ok": True, "id": updated.id, "rev": updated.rev}
    assert isinstance(updated.error, CouchError)
    return {"id": updated.id, "error": updated.error.error, "reason": updated.error.reason}


async def answer(database: Database, request: dict[str, Any]) -> Any:
    new_edits = request.get("new_edits", True)
    try:
        results = await database.bulk_docs(request["docs"], new_edits=new_edits)
    except CouchError as error:
        return {"error": error.error, "reason": error.reason}
    return [shown(updated) for updated in results if new_edits or updated.error is not None]


def winner(database: Database, doc_id: str) -> dict[str, Any]:
    try:
        document = database.get(doc_id, revs_info=True, conflicts=True, deleted_conflicts=True)
    except NotFound as error:
        return {"error": error.error, "reason": error.reason}
    value: dict[str, Any] = jsonio.loads(document.json())
    return value


@pytest.mark.parametrize("recorded", RECORDED, ids=range(len(RECORDED)))
async def test_random_requests_end_as_in_couchdb(database: Database, recorded: dict[str, Any]) -> None:
    await database.set_revs_limit(recorded["revs_limit"])
    for step in recorded["steps"]:
        assert await answer(database, step["request"]) == step["response"]
    for doc_id, expected in recorded["documents"].items():
        found = [one for one in database.open_revs(doc_id, None, revs=True) if isinstance(one, Document)]
        assert [jsonio.loads(document.json()) for document in found] == expected["open_revs"]
        assert winner(database, doc_id) == expected["get"]
    assert {change.id: list(change.leaves) for change in database.changes()} == recorded["changes"]


async def test_one_request_may_go_on_from_its_own_revisions(database: Database) -> None:
    one = "1-967a00dff5e02add41819138abb3284d"
    results = await database.bulk_docs([{"_id": "a"}, {"_id": "a", "_rev": one, "_deleted": True}, {"_id": "a"}])
    assert [updated.rev and updated.rev[:2] for updated in results] == ["1-", "2-", "3-"]
    assert database.update_seq == 1


async def test_a_strict_request_goes_by_what_was_there_before(database: Database) -> None:
    one = "1-967a00dff5e02add41819138abb3284d"
    design = {"_id": "_design/x"}
    results = await database.bulk_docs([{"_id": "a"}, {"_id": "a", "_rev": one, "_deleted": True}, design])
    assert [updated.error is None for updated in results] == [True, False, True]
    results = await database.bulk_docs(
        [{"_id": "a", "_rev": one, "_deleted": True}, {"_id": "a"}, {"_id": "_design/y"}]
    )
    assert [updated.error is None for updated in results] == [True, False, True]
    results = await database.bulk_docs([{"_id": "new", "_rev": one}, {"_id": "_design/z"}])
    assert [updated.error is None for updated in results] == [False, True]


async def test_an_edit_of_an_unknown_document_is_a_conflict(database: Database) -> None:
    path = {"start": 2, "ids": [B, A]}
    docs = [{"_id": "a", "_rev": f"1-{A}"}, {"_id": "b", "_revisions": path}, {"_id": "c"}]
    results = await database.bulk_docs([*docs, {"_id": "d", "_rev": f"1-{A}", "_deleted": True}, {"_id": "a"}])
    assert [updated.error is None for updated in results] == [False, False, True, False, True]
    with pytest.raises(Conflict):
        await database.put("e", {"n": 1}, rev=f"1-{A}")
    with pytest.raises(Conflict):
        await database.copy("c", None, "f", f"1-{A}")
    with pytest.raises(Conflict):
        await database.put("g", {"_rev": f"1-{A}", "_attachments": {"x": {"stub": True}}})
    assert [change.id for change in database.changes()] == ["a", "c"]


async def test_generation_0_is_of_no_revision(database: Database) -> None:
    await database.bulk_docs([{"_id": "a"}, {"_id": "gone", "_deleted": True}])
    of_zero: list[dict[str, Any]] = [{"_rev": "0-1"}, {"_rev": f"0-{A}"}, {"_revisions": {"start": 0, "ids": ["1"]}}]
    for member in of_zero:
        for doc_id in ("a", "gone", "none", "_design/none"):
            results = await database.bulk_docs([{"_id": doc_id, **member}, {"_id": "new", "_rev": f"1-{A}"}])
            assert [shown(updated).get("error") for updated in results] == ["conflict", "conflict"]
        with pytest.raises(BadRequest, match="Invalid rev format"):
            await database.bulk_docs([{"_id": "none", **member}], new_edits=False)
    with pytest.raises(Conflict):
        await database.delete("a", "0-1")
    with pytest.raises(NotFound, match="missing"):
        await database.delete("none", "0-1")
    assert database.update_seq == 2


async def test_an_ancestor_gets_its_body_later(database: Database) -> None:
    path = {"start": 3, "ids": [C, B, A]}
    await database.bulk_docs([{"_id": "a", "_revisions": path}], new_edits=False)
    late = {"_id": "a", "n": 2, "_rev": f"2-{B}"}
    await database.bulk_docs([late, {"_id": "_design/x", "_rev": f"1-{A}"}], new_edits=False)
    with pytest.raises(NotFound):
        database.get("a", f"2-{B}")
    await database.bulk_docs([late], new_edits=False)
    assert database.get("a", f"2-{B}").body == b'{"n":2}'
    before = database.update_seq
    await database.bulk_docs([{**late, "n": 3}], new_edits=False)
    assert database.get("a", f"2-{B}").body == b'{"n":2}'
    assert database.update_seq == before


async def test_a_known_revision_may_bring_a_longer_history(database: Database) -> None:
    await database.bulk_docs([{"_id": "a", "_rev": f"3-{C}"}], new_edits=False)
    path = {"start": 3, "ids": [C, B, A]}
    await database.bulk_docs([{"_id": "a", "_revisions": path, "n": 1}], new_edits=False)
    document = database.get("a", revs=True)
    assert document.revisions == (3, (C, B, A))
    assert document.body == b"{}"
