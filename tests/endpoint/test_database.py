"""What a database does with documents, as CouchDB 3.5 does it; on both repositories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.core import jsonio
from proxy.endpoint.database import Change, Database, Document, MissingRev, Row, Updated, Upload
from proxy.endpoint.server import Server
from proxy.errors import BadRequest, Conflict, CouchError, NotFound

EMPTY = "1-967a00dff5e02add41819138abb3284d"
A, B, C, D, E, F = (letter * 32 for letter in "abcdef")


@pytest.fixture(params=["memory", "sqlite"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    server = Server(None if request.param == "memory" else tmp_path)
    yield await server.create("db")
    await server.close()


async def put(database: Database, doc_id: str, doc: dict[str, Any], rev: str | None = None) -> str:
    updated = await database.put(doc_id, doc, rev=rev)
    assert updated.error is None
    assert updated.rev is not None
    return updated.rev


async def graft(database: Database, doc_id: str, *paths: str, **members: Any) -> None:
    """Replicate `"3-c b a"`, each letter standing for 32 of it; `!` after it deletes."""
    docs = []
    for path in paths:
        start, ids = path.rstrip("!").split("-")
        revisions = {"start": int(start), "ids": [letter * 32 for letter in ids.split()]}
        docs.append({"_id": doc_id, "_revisions": revisions, "_deleted": path.endswith("!"), "path": path, **members})
    assert all(updated.error is None for updated in await database.bulk_docs(docs, new_edits=False))


def shown(document: Document, **options: Any) -> dict[str, Any]:
    value: dict[str, Any] = jsonio.loads(document.json(**options))
    return value


def revs(results: list[Updated]) -> list[str | None]:
    return [None if updated.error is not None else updated.rev for updated in results]


# ---- edits


async def test_create_edit_delete_and_create_again(database: Database) -> None:
    one = await put(database, "w1", {"a": 1})
    assert one == "1-23202479633c2b380f79507a776743d5"
    with pytest.raises(Conflict, match=r"Document update conflict\."):
        await database.put("w1", {"a": 2})
    two = await put(database, "w1", {"a": 2, "_rev": one})
    assert two == "2-71173597778497e0a6aa176963f222db"
    for wrong in (one, None, "9-abc"):
        with pytest.raises(Conflict):
            await database.delete("w1", wrong)
    deleted = await database.delete("w1", two)
    assert deleted.rev == "3-e1cb868b6bf2272171643d381ecea5e2"
    with pytest.raises(NotFound, match="deleted"):
        database.get("w1")
    assert shown(database.get("w1", two)) == {"_id": "w1", "_rev": two, "a": 2}
    assert shown(database.get("w1", deleted.rev)) == {"_id": "w1", "_rev": deleted.rev, "_deleted": True}
    assert await put(database, "w1", {"a": 3}) == "4-7626e07f9ec7b7215df0a535b1681fdc"
    assert [entry.seq for entry in database.changes()] == [4]
    assert (database.doc_count, database.info()["doc_del_count"], database.update_seq) == (1, 0, 4)


@pytest.mark.parametrize(
    ("names", "hash_"),
    [
        ("", "e22a4fbce4ea0ce419c42bb2ced0b89a"),
        ("x", "f5d196752e1d35c1e52ca2f855548dd6"),
        ("other", "f5d196752e1d35c1e52ca2f855548dd6"),
        ("x y", "8e608ea81df3bc3c6d69a6594d5d109d"),
    ],
)
async def test_attachments_of_what_is_created_again_count_as_in_couchdb(
    database: Database, names: str, hash_: str
) -> None:
    await database.delete("a", await put(database, "a", {"z": 1}))
    attachments = {name: {"content_type": "image/png", "data": "AAAA"} for name in names.split()}
    rev = await put(database, "a", {"a": 1, "_attachments": attachments})
    assert rev == f"3-{hash_}"
    assert [one.name for one in database.get("a").attachments] == names.split()


async def test_a_created_attachment_counts_alike(database: Database) -> None:
    await database.delete("a", await put(database, "a", {"z": 1}))
    upload = Upload.of(b"hi")
    created = await database.put_attachment("a", "x", upload, rev=None, content_type="text/plain")
    assert created.rev == "3-b553de9f35ae0ce51897c69979ecd825"


async def test_a_tombstones_own_rev_is_a_conflict(database: Database) -> None:
    rev = await put(database, "a", {})
    tombstone = (await database.delete("a", rev)).rev
    for doc in ({"_rev": tombstone}, {"_deleted": True}, {"_deleted": True, "_rev": tombstone}):
        with pytest.raises(Conflict):
            await database.put("a", doc)
    with pytest.raises(NotFound, match="deleted"):
        await database.delete("a", tombstone)
    with pytest.raises(NotFound, match="missing"):
        await database.delete("none", EMPTY)


async def test_a_deleted_leaf_may_be_extended_while_another_lives(database: Database) -> None:
    await graft(database, "m", "1-1", "2-2 0!")
    assert await put(database, "m", {"z": 1}, f"2-{'2' * 32}") == "3-37add359b08fe2c6f16b23d37235afcd"
    assert shown(database.get("m", conflicts=True))["_conflicts"] == [f"1-{'1' * 32}"]


async def test_a_document_may_be_created_deleted(database: Database) -> None:
    assert await put(database, "fresh", {"_deleted": True, "k": 1}) == "1-2472626437787ea8a39fdd4f22e938b2"
    assert (database.doc_count, database.info()["doc_del_count"]) == (0, 1)


async def test_an_unknown_document_cannot_be_edited_from_a_revision(database: Database) -> None:
    with pytest.raises(Conflict):
        await put(database, "b2", {"_rev": f"1-{A}"})
    with pytest.raises(Conflict):
        await put(database, "b2", {}, f"1-{A}")
    with pytest.raises(NotFound, match="missing"):
        database.get("b2")


async def test_revisions_in_an_edit_are_what_was_edited(database: Database) -> None:
    one = await put(database, "a", {})
    two = await put(database, "a", {"_rev": "9-ignored", "_revisions": {"start": 1, "ids": [one[2:]]}})
    assert shown(database.get("a", revs=True))["_revisions"] == {"start": 2, "ids": [two[2:], one[2:]]}


async def test_rev_of_query_and_body_must_agree(database: Database) -> None:
    one = await put(database, "a", {})
    with pytest.raises(BadRequest, match="Document rev from request body and query string have different values"):
        await database.put("a", {"_rev": one}, rev=f"1-{A}")
    with pytest.raises(BadRequest, match="Invalid rev format"):
        await database.put("a", {}, rev="x")
    with pytest.raises(Conflict):
        await database.put("a", {}, rev="0-1")
    assert (await put(database, "a", {"_rev": one}, one)).startswith("2-")


async def test_bulk_edits_fail_one_by_one(database: Database) -> None:
    await put(database, "w1", {})
    results = await database.bulk_docs([{"_id": "b1"}, {"_id": "w1", "x": 1}, {"no": "id"}, {"_id": "b1", "x": 2}])
    assert revs(results) == [EMPTY, None, "1-e1aeb6d189d5e0a3d8ff78326647a1eb", None]
    assert [type(updated.error) for updated in results] == [type(None), Conflict, type(None), Conflict]
    assert len(results[2].id) == 32
    assert database.doc_count == 3


@pytest.mark.parametrize(
    ("docs", "new_edits", "error"),
    [
        ([{"_id": "x"}, {"_id": "_x"}], True, "illegal_docid"),
        ([{"_id": "x"}, {"_x": 1}], True, "doc_validation"),
        ([{"_id": "x"}, 5], True, "bad_request"),
        ([{"_id": "x"}, {"_attachments": {"a": {"stub": True}}}], True, "missing_stub"),
        ([{"_id": "x", "_rev": "1-a"}, {"_id": "y"}], False, "bad_request"),
        ([{"_id": "x", "_rev": "1-a"}, {"_id": "y", "_revisions": {"start": 1, "ids": []}}], False, "bad_request"),
        ([{"_id": "x", "_rev": "1-a"}, {"_id": "y", "_rev": "0-a"}], False, "bad_request"),
    ],
)
async def test_bulk_requests_that_fail_as_a_whole(
    database: Database, docs: list[Any], new_edits: bool, error: str
) -> None:
    with pytest.raises(CouchError) as caught:
        await database.bulk_docs(docs, new_edits=new_edits)
    assert caught.value.error == error
    assert (database.update_seq, database.doc_count) == (0, 0)


async def test_leaves_count_as_they_were_before_the_request(database: Database) -> None:
    await graft(database, "a", "2-b 0", "2-c 0")
    one, two = f"2-{B}", f"2-{C}"
    results = await database.bulk_docs(
        [{"_id": "a", "_rev": one, "_deleted": True}, {"_id": "a", "_rev": two, "x": 1}, {"_id": "a", "_rev": two}]
    )
    assert [updated.error is None for updated in results] == [True, True, False]
    assert database.update_seq == 2
    [change] = database.changes()
    assert len(change.leaves) == 2


# ---- replication


async def test_replicated_revisions_are_stored_as_they_are(database: Database) -> None:
    await graft(database, "a", "3-c b a")
    await graft(database, "a", "2-d a", "4-e d!")
    document = database.get("a", revs=True, conflicts=True, deleted_conflicts=True)
    assert shown(document) == {
        "_id": "a",
        "_rev": f"3-{C}",
        "path": "3-c b a",
        "_revisions": {"start": 3, "ids": [C, B, A]},
        "_conflicts": [f"2-{D}"],
        "_deleted_conflicts": [f"4-{E}"],
    }
    [change] = database.changes()
    assert change.leaves == (f"3-{C}", f"2-{D}", f"4-{E}")
    assert change.seq == 2


async def test_a_known_revision_is_accepted_and_ignored(database: Database) -> None:
    await graft(database, "a", "3-c b a")
    await graft(database, "a", "3-c b a", other=1)
    assert database.update_seq == 1
    assert shown(database.get("a")) == {"_id": "a", "_rev": f"3-{C}", "path": "3-c b a"}


async def test_a_replicated_winner_hands_over_to_an_older_branch(database: Database) -> None:
    await graft(database, "a", "2-b 0", "3-c 1 0")
    assert database.get("a").rev == f"3-{C}"
    await graft(database, "a", "4-d c 1 0!")
    assert shown(database.get("a")) == {"_id": "a", "_rev": f"2-{B}", "path": "2-b 0"}
    assert shown(database.get("a", f"3-{C}"))["path"] == "3-c 1 0"
    assert shown(database.get("a", f"4-{D}"))["_deleted"] is True


async def test_put_without_new_edits(database: Database) -> None:
    updated = await database.put("w3", {"_rev": "5-" + A, "a": 1}, new_edits=False)
    assert updated.rev == "5-" + A
    assert (await database.put("px", {}, rev="3-abc", new_edits=False)).rev == "3-abc"
    with pytest.raises(BadRequest, match="the document needs `_rev` or `_revisions` specified"):
        await database.put("py", {}, new_edits=False)


async def test_old_revisions_are_forgotten_beyond_the_limit(database: Database) -> None:
    await database.set_revs_limit(2)
    rev: str | None = None
    history = []
    for number in range(4):
        rev = await put(database, "a", {"n": number}, rev)
        history.append(rev)
    assert shown(database.get("a", revs=True))["_revisions"] == {
        "start": 4,
        "ids": [history[3][2:], history[2][2:]],
    }
    assert shown(database.get("a", history[2]))["n"] == 2
    for forgotten in history[:2]:
        with pytest.raises(NotFound):
            database.get("a", forgotten)
    assert database.revs_limit() == 2
    for value in (0, -1, "x", True, None):
        with pytest.raises(BadRequest):
            await database.set_revs_limit(value)


async def test_revs_diff(database: Database) -> None:
    await graft(database, "conflict", "3-d c a", "2-b a")
    await graft(database, "plain", "4-4 3 2 1")
    wanted = {
        "conflict": [f"3-{D}", f"4-{E}", f"1-{A}"],
        "nosuch": [f"1-{A}"],
        "plain": [f"9-{'1' * 32}", f"1-{A}"],
        "known": [],
    }
    assert database.revs_diff(wanted) == {
        "conflict": {"missing": [f"4-{E}"], "possible_ancestors": [f"3-{D}", f"2-{B}"]},
        "nosuch": {"missing": [f"1-{A}"]},
        "plain": {"missing": [f"9-{'1' * 32}", f"1-{A}"], "possible_ancestors": [f"4-{'4' * 32}"]},
    }
    assert database.missing_revs(wanted)["conflict"] == [f"4-{E}"]
    with pytest.raises(BadRequest, match="Invalid rev format"):
        database.revs_diff({"a": ["x"]})


# ---- reads


async def test_get_by_rev_and_latest(database: Database) -> None:
    await graft(database, "a", "1-a", "2-b a", "3-c b a", "2-d a")
    assert database.get("a", f"2-{B}").rev == f"2-{B}"
    assert database.get("a", f"2-{B}", latest=True).rev == f"3-{C}"
    assert database.get("a", f"1-{A.upper()}").rev == f"1-{A}"
    assert database.get("a", local_seq=True).meta == {"_local_seq": 1}
    assert database.get("a", f"1-{A}", revs=True).revisions == (1, (A,))
    with pytest.raises(NotFound, match="missing"):
        database.get("a", f"2-{F}")
    with pytest.raises(BadRequest, match="Invalid rev format"):
        database.get("a", "x")
    with pytest.raises(NotFound, match="missing"):
        database.get("none")
    with pytest.raises(NotFound, match="missing"):
        database.get("none", revs=True)


async def test_open_revs(database: Database) -> None:
    await graft(database, "a", "1-a", "2-b a", "3-d c a")

    def found(*args: Any, **options: Any) -> list[str]:
        return [("?" if isinstance(one, MissingRev) else "") + one.rev for one in database.open_revs(*args, **options)]

    assert found("a", None) == [f"2-{B}", f"3-{D}"]
    assert found("a", [f"3-{D}", f"1-{F}", f"2-{C}"]) == [f"3-{D}", f"?1-{F}", f"?2-{C}"]
    assert found("a", [f"2-{C}", f"9-{F}"], latest=True) == [f"3-{D}", f"?9-{F}"]
    assert found("a", [f"1-{A}", f"2-{B}"], latest=True) == [f"2-{B}", f"3-{D}"]
    assert found("none", None) == []
    assert found("none", [f"1-{A}"]) == [f"?1-{A}"]
    with pytest.raises(BadRequest):
        database.open_revs("a", ["x"])
    [document] = database.open_revs("a", [f"2-{B}"], revs=True)
    assert isinstance(document, Document)
    assert document.revisions == (2, (B, A))


async def test_all_docs(database: Database) -> None:
    ids = ["!", "B", "_design/q", "a", "b", "é", "☃", "😀"]
    await database.bulk_docs([{"_id": doc_id, "n": doc_id} for doc_id in reversed(ids)])
    await database.delete("b", database.get("b").rev)
    ids.remove("b")

    def found(**options: Any) -> list[str]:
        return [row.id for row in database.all_docs(**options)]

    assert found() == ids
    assert found(descending=True) == ids[::-1]
    assert found(start="a", end="☃") == ["a", "é", "☃"]
    assert found(start="a", end="☃", inclusive_end=False) == ["a", "é"]
    assert found(start="é", end="B", descending=True) == ["é", "a", "_design/q", "B"]
    assert found(skip=2, limit=2) == ids[2:4]
    assert found(limit=0) == found(skip=100) == found(start="z", end="a") == []
    assert database.all_docs_offset("a") == 3
    assert database.all_docs_offset("a", descending=True) == 3
    assert database.all_docs_offset(None) == 0
    [row] = database.all_docs(start="a", limit=1, include_docs=True)
    assert row.document is not None
    assert shown(row.document) == {"_id": "a", "_rev": row.rev, "n": "a"}


async def test_all_docs_by_keys(database: Database) -> None:
    await graft(database, "a", "1-a", "1-b", "1-c!")
    await graft(database, "gone", "1-a!")
    rows = list(database.all_docs_keys(["a", "none", "gone", "a"]))
    assert [row and (row.id, row.rev, row.deleted) for row in rows] == [
        ("a", f"1-{B}", False),
        None,
        ("gone", f"1-{A}", True),
        ("a", f"1-{B}", False),
    ]
    one, gone = database.all_docs_keys(["a", "gone"], include_docs=True, conflicts=True)
    assert one is not None
    assert one.document is not None
    assert one.document.meta == {"_conflicts": [f"1-{A}"]}
    assert gone is not None
    assert gone.document is None
    [row] = database.all_docs(include_docs=True, conflicts=True)
    assert row.document is not None
    assert row.document.meta == {"_conflicts": [f"1-{A}"]}


async def test_scans_go_over_many_pages(database: Database) -> None:
    ids = [f"{number:05d}" for number in range(1234)]
    await database.bulk_docs([{"_id": doc_id} for doc_id in ids])
    assert [row.id for row in database.all_docs()] == ids
    assert [row.id for row in database.all_docs(skip=600, limit=501)] == ids[600:1101]
    assert [row.id for row in database.all_docs(descending=True, skip=1)] == ids[-2::-1]
    assert [change.id for change in database.changes()] == ids
    assert [change.seq for change in database.changes(700, limit=501)] == list(range(701, 1202))
    assert [change.id for change in database.changes(descending=True)] == ids[::-1]
    assert [database.changes_pending(since) for since in (0, 1, 1233, 1234, 9999)] == [1234, 1233, 1, 0, 0]


async def test_changes_with_documents(database: Database) -> None:
    await graft(database, "a", "1-a", "1-b")
    await graft(database, "gone", "2-a 0!")
    one, gone = database.changes(include_docs=True, conflicts=True)
    assert one.document is not None
    assert shown(one.document) == {"_id": "a", "_rev": f"1-{B}", "path": "1-b", "_conflicts": [f"1-{A}"]}
    assert gone.deleted
    assert gone.document is not None
    assert shown(gone.document) == {"_id": "gone", "_rev": f"2-{A}", "path": "2-a 0!", "_deleted": True}
    [bare] = database.changes(1)
    assert bare == Change(2, "gone", f"2-{A}", True, (f"2-{A}",), None)


# ---- the rest


async def test_waiting_for_changes(database: Database) -> None:
    assert await database.wait_for_change(0, timeout=0) is False
    assert await database.wait_for_change(0, timeout=0.001) is False
    waiting = [asyncio.ensure_future(database.wait_for_change(since)) for since in (0, 1)]
    await asyncio.sleep(0)
    await put(database, "a", {})
    assert await waiting[0] is True
    assert await database.wait_for_change(0) is True
    assert not waiting[1].done()
    await database.put("_local/x", {})
    await asyncio.sleep(0)
    assert not waiting[1].done()
    await put(database, "b", {})
    assert await waiting[1] is True


async def test_sequences_on_the_wire(database: Database) -> None:
    await put(database, "a", {})
    text = database.seq_text(1)
    assert text.startswith("1-")
    assert database.parse_seq(text) == 1
    assert database.parse_seq(f'"{text}"') == 1
    assert database.parse_seq("now") == 1
    assert database.parse_seq("0") == 0
    assert database.parse_seq("1") == 1
    assert database.parse_seq("1-ffff") == 0
    for bogus in ("bogus", "", "-1", "1-☃", "1.5", "7"):
        with pytest.raises(BadRequest, match="Malformed sequence supplied in 'since' parameter"):
            database.parse_seq(bogus)


async def test_info(database: Database) -> None:
    await put(database, "a", {"x": 1})
    await graft(database, "gone", "1-a!")
    info = database.info()
    assert info["db_name"] == "db"
    assert (info["doc_count"], info["doc_del_count"]) == (1, 1)
    assert info["update_seq"] == database.seq_text(2)
    assert info["instance_start_time"] == database.instance_start_time
    assert int(info["instance_start_time"]) > 0
    assert info["sizes"]["external"] == len('{"x":1}') + len('{"path":"1-a!"}')


async def test_local_documents(database: Database) -> None:
    assert (await database.put("_local/cp", {"x": 1, "_attachments": {"a": {"data": ""}}})).rev == "0-1"
    assert shown(database.get("_local/cp")) == {"_id": "_local/cp", "_rev": "0-1", "x": 1}
    assert (await database.put("_local/cp", {"x": 2})).rev == "0-1"
    assert (await database.put("_local/cp", {"x": 3, "_rev": "0-5"})).rev == "0-6"
    for rev in ("1-abc", "0-abc", "x"):
        with pytest.raises(BadRequest, match="Invalid rev format"):
            await database.put("_local/cp", {"_rev": rev})
    with pytest.raises(NotFound, match="missing"):
        database.get("_local/cp", "0-1")
    assert revs(await database.bulk_docs([{"_id": "_local/b"}])) == ["0-1"]
    rows = list(database.local_docs(include_docs=True))
    assert rows == [
        Row("_local/b", "0-1", False, Document("_local/b", "0-1", False, b"{}")),
        Row("_local/cp", "0-6", False, Document("_local/cp", "0-6", False, b'{"x":3}')),
    ]
    assert (await database.delete("_local/cp", None)).rev == "0-0"
    with pytest.raises(NotFound, match="missing"):
        await database.delete("_local/cp", None)
    assert (database.update_seq, database.doc_count) == (0, 0)


async def test_security(database: Database) -> None:
    only_admins = {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}
    assert database.security() == only_admins
    await database.set_security({})
    assert database.security() == {}
    refused: list[Any] = [[], {"members": 1}, {"members": {"names": [1]}}, {"admins": {"roles": "x"}}]
    for value in refused:
        with pytest.raises(BadRequest):
            await database.set_security(value)


async def test_the_copy_of_a_tombstone_is_one(database: Database) -> None:
    tombstone = await put(database, "gone", {"_deleted": True, "z": 1})
    assert tombstone == "1-c3bf3bc344c5128eb5b2d6abdcda8702"
    assert (await database.copy("gone", tombstone, "new", None)).rev == tombstone
    with pytest.raises(NotFound, match="deleted"):
        database.get("new")
    for target in ("gone", "new"):
        with pytest.raises(Conflict):
            await database.copy("gone", tombstone, target, None)
    rev = await put(database, "live", {"a": 1})
    await database.copy("gone", tombstone, "live", rev)
    with pytest.raises(NotFound, match="deleted"):
        database.get("live")


async def test_copy(database: Database) -> None:
    source = {"x": 1, "_attachments": {"a": {"data": "aGk=", "content_type": "text/plain"}}}
    await put(database, "source", {"x": 0})
    rev = await put(database, "source", source, database.get("source").rev)
    copied = await database.copy("source", None, "target", None)
    document = shown(database.get("target"))
    assert document["x"] == 1
    assert document["_attachments"]["a"]["revpos"] == 1
    with pytest.raises(Conflict):
        await database.copy("source", rev, "target", None)
    assert (await database.copy("source", rev, "target", copied.rev)).rev == database.get("target").rev
    with pytest.raises(NotFound):
        await database.copy("none", None, "target", None)
    with pytest.raises(BadRequest):
        await database.copy("source", None, "_x", None)
