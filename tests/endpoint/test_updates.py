"""Random requests that CouchDB 3.5.0 was given, and what it made of them.

Each line of `updates.jsonl` is one database: `_bulk_docs` requests in order with the answers (edits and replication;
attachments, deletions, conflicts, small `revs_limit`s; the last ones bring the same revisions again and again, with
more or less of their history), then what `open_revs`, GET and `_changes` said in the end.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from proxy.core import jsonio
from proxy.core.revisions import Rev, Revisions
from proxy.endpoint.database import Database, Document, Updated
from proxy.endpoint.server import Server
from proxy.errors import BadRequest, Conflict, CouchError, NotFound
from tests.core.test_revisions import History, histories

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


def path(*ids: str, **members: Any) -> dict[str, Any]:
    """A revision of document `a` with what is said of its history, newest first."""
    hashes = [letter * 32 for letter in ids[1:]]
    return {"_id": "a", "_revisions": {"start": int(ids[0]), "ids": hashes}, **members}


def tree_of(database: Database) -> set[Revisions]:
    """The leaves, each with its path."""
    found = database.open_revs("a", None, revs=True)
    return {one.revisions for one in found if isinstance(one, Document) and one.revisions is not None}


ATTACHED = {"_attachments": {"x": {"data": "AAAA", "revpos": 1}}}
DESIGN = {"_id": "_design/x", "_rev": f"1-{A}"}


@pytest.mark.parametrize("more", [[], [DESIGN], [{"_id": "b", "_rev": f"1-{B}", **ATTACHED}]])
@pytest.mark.parametrize("before", [["2 b a", "3 c", "4 d c"], ["4 d c", "2 b"]])
async def test_a_history_ends_a_conflict_whatever_else_is_in_the_request(
    database: Database, before: list[str], more: list[dict[str, Any]]
) -> None:
    for step in before:
        await database.bulk_docs([path(*step.split())], new_edits=False)
    late = path("3", "c", "b", "a", **({} if more else ATTACHED))
    await database.bulk_docs([late, *more], new_edits=False)
    assert tree_of(database) == {(4, ("d" * 32, C, B, A))}
    assert database.get("a", f"3-{C}").rev == f"3-{C}"


@pytest.mark.parametrize("before", [[], ["1 a"], ["1 a", "2 b"]])
async def test_a_strict_request_may_name_a_revision_several_times(database: Database, before: list[str]) -> None:
    for step in before:
        await database.bulk_docs([path(*step.split())], new_edits=False)
    await database.bulk_docs([path("3", "c"), DESIGN, path("3", "c", "b", "a")], new_edits=False)
    assert tree_of(database) == {(3, (C, B, A))}
    await database.bulk_docs([path("1", "a")], new_edits=False)
    assert tree_of(database) == {(3, (C, B, A))}


@pytest.mark.parametrize("before", [["4 d c"], ["3 c"], ["2 b a", "3 c"]])
async def test_a_strict_request_passes_over_what_else_is_said_of_known_revisions(
    database: Database, before: list[str]
) -> None:
    for step in before:
        await database.bulk_docs([path(*step.split())], new_edits=False)
    known, seq = tree_of(database), database.update_seq
    await database.bulk_docs([path("3", "c", "b", "a", **ATTACHED)], new_edits=False)
    assert (tree_of(database), database.update_seq) == (known, seq)


@settings(max_examples=100, deadline=None)
@given(histories())
async def test_a_strict_request_leaves_the_leaves_that_others_leave(history: History) -> None:
    """But for a leaf that is sent again, of which it says nothing new."""
    deleted, paths = history
    docs = [
        {"_id": "a", "_revisions": {"start": each.start, "ids": [*each.ids]}, "_deleted": deleted[each.newest]}
        for each in paths
    ]
    server = Server(None)
    plain, strict = await server.create("plain"), await server.create("strict")
    for database in plain, strict:
        await database.bulk_docs(docs[:-1], new_edits=False)
    if paths[-1].newest not in leaves_of(strict):
        await plain.bulk_docs([docs[-1]], new_edits=False)
        await strict.bulk_docs([{**docs[-1], "_revisions": _short(docs[-1])}, DESIGN, docs[-1]], new_edits=False)
        assert leaves_of(strict) == leaves_of(plain)
    await server.close()


def _short(doc: dict[str, Any]) -> dict[str, Any]:
    start, ids = doc["_revisions"].values()
    return {"start": start, "ids": ids[:1]}


def leaves_of(database: Database) -> set[Rev]:
    return {path.newest for path in tree_of(database)}
