"""`_bulk_docs`, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
from aiohttp import web

from proxy import sizes
from proxy.core.lens import Chain
from proxy.fetch import fetch_leaves
from proxy.reading import revs_diff
from proxy.view import View
from proxy.writing import bulk, originals
from proxy.writing.bulk import store_batch
from proxy.writing.originals import plan_some
from proxy.writing.parts import TOGETHER
from proxy.writing.pushed import read_pushed
from tests.writing.filters import Failing, Owned, Stamped, Without, chain, profile
from tests.writing.world import Fault, World, answer_with, break_after, break_before, pass_on, world

Doc = dict[str, Any]
ANN = {"_id": "p1", "owner": "ann", "name": "P", "ssn": "1-2-3"}


def rev(generation: int, letter: str) -> str:
    return f"{generation}-{letter * 32}"


def revision(doc_id: str, *path: str, **body: Any) -> Doc:
    """A revision with its path, newest first."""
    start = int(path[0].partition("-")[0])
    return {
        "_id": doc_id,
        "_rev": path[0],
        "_revisions": {"start": start, "ids": [each.partition("-")[2] for each in path]},
        **body,
    }


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that batches of some hundreds are large ones."""
    monkeypatch.setattr(sizes, "AT_ONCE", 50)


async def test_an_edit_keeps_what_is_hidden() -> None:
    async with world() as there:
        first = await there.put(ANN)
        answer = await there.ask(
            "POST", "/_bulk_docs", {"docs": [{"_id": "p1", "_rev": first, "owner": "ann", "name": "Q"}]}
        )
        assert answer.status == 201
        [row] = answer.json
        assert row == {"ok": True, "id": "p1", "rev": row["rev"]}
        assert await there.stored("p1") == {**ANN, "name": "Q", "_rev": row["rev"]}


async def test_a_pushed_revision_is_restored_onto_its_own_ancestor() -> None:
    async with world() as there:
        first = await there.put(ANN)
        second = await there.put({**ANN, "_rev": first, "name": "theirs", "ssn": "9"})
        pushed = rev(2, "f")
        assert await there.push(revision("p1", pushed, first, owner="ann", name="mine")) == []
        leaves = await there.leaves("p1")
        assert leaves[pushed]["ssn"] == "1-2-3"
        assert leaves[second]["ssn"] == "9"


@pytest.mark.parametrize("claimed", ["ba", "", "ef"])
async def test_the_sources_own_ancestors_are_asked_for_whatever_is_claimed(claimed: str) -> None:
    path = [rev(generation, letter) for generation, letter in zip((5, 4, 3, 2, 1), "54cba", strict=True)]
    async with world() as there:
        for length, ssn in ((1, "old"), (2, "ancestor"), (5, "winner")):  # several edits of a device: 3-c has no body
            await there.replicate(revision("p1", *path[-length:], owner="ann", name="theirs", ssn=ssn))
        own = [rev(4, "9"), path[2], *(rev(2 - age, letter) for age, letter in enumerate(claimed))]
        assert await there.push(revision("p1", *own, owner="ann", name="mine")) == []
        assert (await there.leaves("p1"))[own[0]]["ssn"] == "ancestor"


@pytest.mark.parametrize("asks_first", [False, True])
async def test_large_documents_after_small_ones_are_not_held_together(
    asks_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    async def fetch(view: View, ids: Iterable[str], **options: Any) -> dict[str, list[Doc]]:
        found = await fetch_leaves(view, ids, **options)
        held.append(sum(map(len, found.values())))
        return found

    async def push(there: World, firsts: dict[str, str]) -> None:
        docs = [revision(doc_id, rev(2, "e"), first, owner="ann") for doc_id, first in firsts.items()]
        if asks_first:
            asked = {doc["_id"]: [doc["_rev"]] for doc in docs}
            assert (await there.ask("POST", "/_revs_diff", asked)).json.keys() == firsts.keys()
        assert await there.push(*docs) == []

    for module in (originals, revs_diff):
        monkeypatch.setattr(module, "fetch_leaves", fetch)
    async with world() as there:
        small = {f"small{n}": await there.put({**ANN, "_id": f"small{n}"}) for n in range(20)}
        await there.ask("POST", "/_revs_diff", {doc_id: [first] for doc_id, first in small.items()})
        held.clear()
        docs = {f"large{n}": {**ANN, "_id": f"large{n}", "ssn": chr(64 + n) * 2**18} for n in range(40)}
        await push(there, {doc_id: await there.put(doc) for doc_id, doc in docs.items()})
        assert 1 <= max(held) <= 20
        for doc_id, doc in docs.items():
            assert (await there.stored(doc_id))["ssn"] == doc["ssn"]


async def _large(there: World) -> dict[str, str]:
    """The revisions of 30 large documents, whose size is known."""
    docs = [{**ANN, "_id": f"large{n:02}", "ssn": chr(64 + n) * 2**18} for n in range(30)]
    revs = {doc["_id"]: await there.put(doc) for doc in docs}
    await there.ask("POST", "/_revs_diff", {doc_id: [rev(2, "e")] for doc_id in [*revs][:4]})
    there.tap.requests.clear()
    return revs


@pytest.mark.parametrize("fails", [False, True])
async def test_interactive_writes_of_large_documents_go_in_parts(fails: bool) -> None:
    async with world() as there:
        revs = await _large(there)
        docs = [{"_id": doc_id, "_rev": first, "owner": "ann", "name": "new"} for doc_id, first in revs.items()]
        if fails:
            there.tap.fail("POST", "/_bulk_docs", pass_on)
            there.tap.fail("POST", "/_bulk_docs", answer_with(500, {"error": "internal", "reason": "full"}))
        answer = await there.ask("POST", "/_bulk_docs", {"docs": docs})
        assert answer.status == 201
        assert [row["id"] for row in answer.json] == list(revs)
        sent = [len(write.json["docs"]) for write in there.tap.writes]
        assert max(sent) <= 8 < len(docs)
        for row in answer.json:
            stored = await there.stored(row["id"])
            assert len(stored["ssn"]) == 2**18
            assert ("error" in row) is (stored["_rev"] == revs[row["id"]])
            assert row.get("rev") in (
                stored["_rev"] if "ok" in row else None,
                revs[row["id"]] if "error" in row else "",
            )
        assert any("error" in row for row in answer.json) is fails
        assert any("ok" in row for row in answer.json)


async def test_what_nothing_is_read_for_goes_together_however_large_others_are() -> None:
    async with world() as there:
        revs = await _large(there)
        docs = [{"_id": f"new{n}", "owner": "ann"} for n in range(60)]
        assert all("ok" in row for row in (await there.ask("POST", "/_bulk_docs", {"docs": docs})).json)
        assert [len(write.json["docs"]) for write in there.tap.writes] == [60]
        edits = [{"_id": doc_id, "_rev": first, "owner": "ann"} for doc_id, first in [*revs.items()][:2]]
        there.tap.requests.clear()
        mixed = [edits[0], *({"_id": f"more{n}", "owner": "ann"} for n in range(60)), edits[1]]
        assert all("ok" in row for row in (await there.ask("POST", "/_bulk_docs", {"docs": mixed})).json)
        assert len(there.tap.writes) <= 2
    async with world(profile(chain())) as there:
        revs = await _large(there)
        docs = [{"_id": doc_id, "_rev": first, "owner": "ann"} for doc_id, first in revs.items()]
        assert all("ok" in row for row in (await there.ask("POST", "/_bulk_docs", {"docs": docs})).json)
        assert [len(write.json["docs"]) for write in there.tap.writes] == [len(docs)]


async def test_an_id_that_comes_twice_keeps_a_batch_together() -> None:
    async with world() as there:
        revs = await _large(there)
        docs = [{"_id": doc_id, "_rev": first, "owner": "ann", "name": "new"} for doc_id, first in revs.items()]
        answer = await there.ask("POST", "/_bulk_docs", {"docs": [*docs, docs[0]]})
        assert [("ok" in row) for row in answer.json] == [True] * len(docs) + [False]
        assert [len(write.json["docs"]) for write in there.tap.writes] == [len(docs) + 1]


async def test_what_is_sent_of_a_long_batch_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bulk.Slot] = []

    async def store(view: View, slots: Sequence[bulk.Slot], **options: Any) -> int:
        assert all(slot.doc is None for slot in seen[: -3 * len(slots)])
        seen.extend(slots)
        return await store_batch(view, slots, **options)

    monkeypatch.setattr(bulk, "store_batch", store)
    async with world() as there:
        docs = [revision(f"new{number}", rev(1, "a"), owner="ann") for number in range(600)]
        assert await there.push(*docs) == []
        assert len(seen) == 600
        assert all(slot.doc is None and slot.stored for slot in seen)


async def test_the_ancestor_may_be_some_generations_back() -> None:
    async with world() as there:
        first = await there.put(ANN)
        second = await there.put({**ANN, "_rev": first, "ssn": "2"})
        await there.put({**ANN, "_rev": second, "ssn": "3"})
        path = [rev(5, "e"), rev(4, "d"), rev(3, "c"), second, first]
        assert await there.push(revision("p1", *path, owner="ann", name="offline")) == []
        assert (await there.leaves("p1"))[rev(5, "e")]["ssn"] == "2"


async def test_rows_come_in_the_order_of_the_request() -> None:
    async with world() as there:
        of_bob = await there.put({"_id": "of-bob", "owner": "bob"})
        first = await there.put(ANN)
        docs: list[Doc] = [
            {"_id": "of-bob", "owner": "ann"},
            {"_id": "new", "owner": "ann"},
            {"_id": "p1", "owner": "ann"},
            {"_id": "for-bob", "owner": "bob"},
            {"owner": "ann"},
            {"_id": "p1", "_rev": first, "owner": "ann", "ssn": "mine"},
        ]
        rows = (await there.ask("POST", "/_bulk_docs", {"docs": docs})).json
        assert [row.get("error") for row in rows] == ["forbidden", None, "conflict", "forbidden", None, "forbidden"]
        assert rows[0] == {
            "id": "of-bob",
            "error": "forbidden",
            "reason": "The document is not visible to this client.",
        }
        assert rows[2] == {"id": "p1", "error": "conflict", "reason": "Document update conflict."}
        assert len(rows[4]["id"]) == 32
        assert "ssn" in rows[5]["reason"]
        [write] = there.tap.writes
        # what creates is sent, since the source itself stores it only where there is nothing
        assert [doc["_id"] for doc in write.json["docs"]] == ["of-bob", "new", "p1", rows[4]["id"]]
        assert (list(await there.leaves("of-bob")), list(await there.leaves("p1"))) == ([of_bob], [first])


async def test_replicated_refusals_have_their_rows_and_reach_nobody() -> None:
    async with world() as there:
        await there.put({"_id": "of-bob", "owner": "bob"})
        rows = await there.push(
            revision("of-bob", rev(2, "a"), rev(1, "9"), owner="ann"),
            revision("good", rev(1, "b"), owner="ann"),
            revision("for-bob", rev(1, "c"), owner="bob"),
        )
        assert [(row["id"], row["rev"], row["error"]) for row in rows] == [
            ("of-bob", rev(2, "a"), "forbidden"),
            ("for-bob", rev(1, "c"), "forbidden"),
        ]
        assert [doc["_id"] for doc in there.tap.writes[0].json["docs"]] == ["good"]


async def test_a_large_batch_is_stored_in_parts() -> None:
    async with world() as there:
        number = 2 * TOGETHER * sizes.AT_ONCE + 30
        planned = [range(number)[start : start + sizes.AT_ONCE] for start in range(0, number, sizes.AT_ONCE)]
        ids = [f"p{index:04}" for index in range(number)]
        hidden = {0, planned[1][0], planned[1][-1], number - 1}
        for index in hidden:
            await there.put({"_id": ids[index], "owner": "bob"})
        edited = planned[2][1]
        first = await there.put({"_id": ids[edited], "owner": "ann", "ssn": "1-2-3"})
        docs = [revision(doc_id, rev(1, "a"), owner="ann") for doc_id in ids]
        docs[edited] = revision(ids[edited], rev(2, "b"), first, owner="ann", name="new")
        rows = await there.push(*docs)
        assert [(row["id"], row["error"]) for row in rows] == [(ids[index], "forbidden") for index in sorted(hidden)]
        sent = sorted([doc["_id"] for doc in write.json["docs"]] for write in there.tap.writes)
        together = [sum(map(list, planned[at : at + TOGETHER]), list[int]()) for at in range(0, len(planned), TOGETHER)]
        assert sent == [[ids[i] for i in batch if i not in hidden] for batch in together]
        assert (await there.leaves(ids[edited]))[rev(2, "b")]["ssn"] == "1-2-3"


async def test_few_large_documents_are_held_at_once() -> None:
    async with world() as there:
        ids = [f"p{index:04}" for index in range(30)]
        for doc_id in ids:
            first = await there.put({"_id": doc_id, "owner": "ann", "ssn": "x" * 2**18})
        docs = [revision(doc_id, rev(2, "b"), first, owner="ann") for doc_id in ids]
        assert await there.push(*docs[:4]) == []  # by which their size is known
        there.tap.requests.clear()
        assert await there.push(*docs[4:]) == []
        read = [len(request.json["docs"]) for request in there.tap.requests if request.path.endswith("_bulk_get")]
        sent = [len(write.json["docs"]) for write in there.tap.writes]
        assert (sum(read), sum(sent)) == (26, 26)
        assert 1 < max(read) <= 4
        assert 4 < max(sent) <= 8
        assert {len((await there.stored(doc_id))["ssn"]) for doc_id in ids} == {2**18}


@pytest.mark.parametrize("new_edits", [True, False])
async def test_what_may_have_to_do_with_each_other_is_sent_as_one(new_edits: bool) -> None:
    async with world() as there:
        docs = [revision(f"p{index:04}", rev(1, "a"), owner="ann") for index in range(550)]
        if new_edits:
            docs = [{"_id": doc["_id"], "owner": "ann"} for doc in docs]
        else:
            docs.append(revision("p0000", rev(1, "b"), owner="ann"))
        answer = await there.ask("POST", "/_bulk_docs", {"docs": docs, "new_edits": new_edits})
        assert len(answer.json) == (len(docs) if new_edits else 0)
        [write] = there.tap.writes
        assert [doc["_id"] for doc in write.json["docs"]] == [doc["_id"] for doc in docs]


async def test_a_batch_of_nothing_but_refusals_is_not_sent() -> None:
    async with world(profile(write=False)) as there:
        rows = await there.push(revision("p1", rev(1, "a"), owner="ann"))
        assert [row["reason"] for row in rows] == ["This profile only reads."]
        assert there.tap.writes == []
        assert await there.push() == []


async def test_a_profile_without_filters_needs_no_questions() -> None:
    async with world(profile(Chain())) as there:
        assert await there.push(revision("p1", rev(2, "a"), rev(1, "b"), ssn=1)) == []
        assert [request.path.rpartition("/")[2] for request in there.tap.requests] == ["_bulk_docs"]
        assert (await there.stored("p1"))["ssn"] == 1


async def test_design_documents_are_for_trusted_profiles() -> None:
    doc = {"_id": "_design/app", "views": {}, "ssn": 1}
    async with world() as there:
        rows = (await there.ask("POST", "/_bulk_docs", {"docs": [doc]})).json
        assert rows[0]["error"] == "forbidden"
        assert there.tap.writes == []
    async with world(profile(trusted=True)) as there:
        rows = (await there.ask("POST", "/_bulk_docs", {"docs": [doc]})).json
        assert rows[0]["ok"] is True
        assert (await there.stored("_design/app"))["ssn"] == 1


async def test_a_pushed_graft_is_acknowledged_and_not_written() -> None:
    async with world() as there:
        first = await there.put(ANN)
        second = await there.put({**ANN, "_rev": first, "owner": "bob"})
        graft = there.view.grafts.departure("p1", first)
        assert await there.push(revision("p1", graft, first, _deleted=True)) == []
        assert there.tap.writes == []
        [row] = await there.push(revision("p1", rev(3, "a"), graft, first, owner="ann", name="back"))
        assert row["error"] == "forbidden"
        await there.put({**ANN, "_rev": second})
        assert await there.push(revision("p1", rev(3, "a"), graft, first, owner="ann", name="back")) == []
        assert (await there.leaves("p1"))[rev(3, "a")]["ssn"] == "1-2-3"


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("owner", ["ann", "bob"])
async def test_a_leaf_stays_one_whatever_path_is_claimed(deleted: bool, owner: str) -> None:
    async with world() as there:
        root, mine, theirs = rev(1, "a"), rev(3, "c"), rev(2, "d")
        await there.replicate(
            revision("p1", root, owner="ann"),
            revision("p1", mine, rev(2, "b"), root, owner="ann", ssn="1-2-3"),
            revision("p1", theirs, root, owner=owner),
        )
        fields = {"_deleted": True} if deleted else {}
        pushed = revision("p1", rev(4, "e"), mine, theirs, root, owner="ann", **fields)
        assert await there.push(pushed) == []
        assert {*await there.leaves("p1")} == {rev(4, "e"), theirs}


async def test_a_deletion_keeps_who_it_was_for() -> None:
    async with world() as there:
        first = await there.put({**ANN, "notes": "private"})
        assert await there.push(revision("p1", rev(2, "a"), first, _deleted=True)) == []
        [leaf] = (await there.leaves("p1")).values()
        assert leaf == {"_id": "p1", "_rev": rev(2, "a"), "_deleted": True, "owner": "ann"}


@pytest.mark.parametrize(
    ("policy", "errors"),
    [("winner", []), ("refuse", ["forbidden"])],
)
async def test_an_orphan_is_restored_onto_the_winner_or_refused(policy: Any, errors: list[str]) -> None:
    async with world(profile(orphans=policy)) as there:
        text = {"content_type": "text/plain", "data": "aGVsbG8="}
        image = {"content_type": "image/png", "data": "cG5n"}
        await there.replicate(
            revision("p1", rev(3, "c"), rev(2, "b"), rev(1, "a"), **{**ANN, "_id": "p1"}),
        )
        winner = await there.put({**ANN, "_rev": rev(3, "c"), "_attachments": {"t": text, "i": image}})
        rows = await there.push(revision("p1", rev(3, "f"), rev(2, "b"), rev(1, "a"), owner="ann", name="late"))
        assert [row["error"] for row in rows] == errors
        leaves = await there.leaves("p1")
        if errors:
            assert list(leaves) == [winner]
            return
        mine = leaves[rev(3, "f")]
        assert (mine["ssn"], mine["name"]) == ("1-2-3", "late")
        assert set(mine["_attachments"]) == {"i"}
        assert mine["_attachments"]["i"]["revpos"] > 0, "replicators would not be sent it"
        got = await there.source("GET", f"/p1/i?rev={rev(3, 'f')}")
        assert got.body == b"png"


async def test_local_documents_of_a_batch_are_the_clients_own() -> None:
    async with world(profile(write=False)) as there:
        rows = (
            await there.ask(
                "POST", "/_bulk_docs", {"docs": [{"_id": "_local/cp", "seq": 1}, {"_id": "x", "owner": "ann"}]}
            )
        ).json
        assert rows[0] == {"ok": True, "id": "_local/cp", "rev": "0-1"}
        assert rows[1]["error"] == "forbidden"
        [sent] = there.tap.writes[0].json["docs"]
        assert sent["_id"] == f"_local/{there.view.local_prefix}cp"
        answer = await there.source("GET", f"/_local/{there.view.local_prefix}cp")
        assert answer.json["seq"] == 1


async def test_a_failing_filter_refuses_its_row_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with world(profile(chain(Failing(), Without("ssn")))) as there:
        first = await there.put({"_id": "p1", "ssn": "secret"})
        with caplog.at_level(logging.ERROR):
            rows = await there.push(
                revision("p1", rev(2, "a"), first, bang=1),
                revision("p2", rev(1, "b"), boom="secret"),
                revision("p3", rev(1, "c"), fine=1),
            )
        assert [(row["id"], row["error"]) for row in rows] == [("p1", "forbidden"), ("p2", "forbidden")]
        assert "secret" not in str(rows)
        assert "secret" in caplog.text
        assert [record.getMessage().split(" is refused")[0] for record in caplog.records] == [
            "a write of p1",
            "a write of p2",
        ]
        assert [doc["_id"] for doc in there.tap.writes[0].json["docs"]] == ["p3"]


async def test_what_is_known_to_the_source_is_not_judged_as_new(caplog: pytest.LogCaptureFixture) -> None:
    """Creations are planned before the source has said what it has: nothing of that may be left where it was wrong."""
    async with world(profile(chain(Failing(), Owned()))) as there:
        known = {"_id": "p1", "_rev": rev(1, "a"), "_revisions": {"start": 1, "ids": ["a" * 32]}, "owner": "ann"}
        await there.source("POST", "/_bulk_docs", {"docs": [known], "new_edits": False})
        await there.put({"_id": "p2", "owner": "bob"})
        with caplog.at_level(logging.ERROR):
            rows = await there.push(
                {**known, "boom": "it would fail as a new one"},
                revision("p2", rev(1, "b"), owner="ann"),
                revision("p3", rev(1, "c"), owner="ann"),
            )
        assert [(row["id"], row["error"]) for row in rows] == [("p2", "forbidden")]
        assert caplog.records == []
        assert [doc["_id"] for doc in there.tap.writes[0].json["docs"]] == ["p3"]


async def test_surplus_is_discarded_where_the_profile_says_so() -> None:
    async with world(profile(on_surplus="discard")) as there:
        first = await there.put(ANN)
        assert await there.push(revision("p1", rev(2, "a"), first, owner="ann", ssn="mine")) == []
        assert (await there.stored("p1"))["ssn"] == "1-2-3"


async def test_a_hidden_attachment_stays_and_cannot_be_written() -> None:
    async with world(profile(on_surplus="discard")) as there:
        entries = {
            "i": {"content_type": "image/png", "data": "cG5n"},
            "t": {"content_type": "text/plain", "data": "aGVsbG8="},
        }
        first = await there.put({**ANN, "_attachments": entries})
        assert await there.push(revision("p1", rev(2, "a"), first, owner="ann", _attachments={"u": entries["t"]})) == []
        assert set((await there.stored("p1"))["_attachments"]) == {"i", "u"}
        mine = {"i": {"content_type": "text/plain", "data": "aGVsbG8="}}
        [row] = await there.push(revision("p1", rev(3, "b"), rev(2, "a"), owner="ann", _attachments=mine))
        assert (row["error"], "_attachments.i" in row["reason"]) == ("forbidden", True)


async def test_what_a_filter_sets_is_stored() -> None:
    async with world(profile(chain(Owned(), Stamped()))) as there:
        assert await there.push(revision("p1", rev(1, "a"), owner="ann")) == []
        assert (await there.stored("p1"))["by"] == "ann"


MALFORMED: list[tuple[Any, tuple[int, str, str]]] = [
    ([], (400, "bad_request", "Request body must be a JSON object")),
    ({}, (400, "bad_request", "POST body must include `docs` parameter.")),
    ({"docs": 1}, (400, "bad_request", "`docs` parameter must be an array.")),
    ({"docs": [1]}, (400, "bad_request", "Document must be a JSON object")),
    ({"docs": [{"_id": 1}]}, (400, "illegal_docid", "Document id must be a string")),
    ({"docs": [{"_id": ""}]}, (400, "illegal_docid", "Document id must not be empty")),
    (
        {"docs": [{"_id": "_x"}]},
        (400, "illegal_docid", "Only reserved document ids may start with underscore."),
    ),
    ({"docs": [{"_id": "_design/"}]}, (400, "illegal_docid", "Illegal document id `_design/`")),
    ({"docs": [{"_id": "a", "_rev": "x"}]}, (400, "bad_request", "Invalid rev format")),
    ({"docs": [{"_id": "a", "_rev": 1}]}, (400, "bad_request", "Invalid rev format")),
    ({"docs": [{"_id": "a", "_x": 1}]}, (400, "doc_validation", "Bad special document member: _x")),
    ({"docs": [{"_id": "a", "_deleted": 1}]}, (400, "doc_validation", "Bad special document member: _deleted")),
    (
        {"docs": [{"_id": "a", "_attachments": 1}]},
        (400, "doc_validation", "Bad special document member: _attachments"),
    ),
    ({"docs": [{"_id": "a", "_attachments": {"x": {}}}]}, (400, "bad_request", "Invalid attachment data for x")),
    (
        {"docs": [{"_id": "a", "_attachments": {"_x": {"data": ""}}}]},
        (400, "bad_request", "Attachment name '_x' starts with prohibited character '_'"),
    ),
    (
        {"new_edits": False, "docs": [{"_id": "a"}]},
        (400, "bad_request", "When `new_edits: false`, the document needs `_rev` or `_revisions` specified"),
    ),
    (
        {"new_edits": False, "docs": [{"_id": "a", "_revisions": {"start": "2", "ids": ["a"]}}]},
        (400, "doc_validation", "_revisions.start isn't an integer."),
    ),
    (
        {"new_edits": False, "docs": [{"_id": "a", "_revisions": {"start": 1, "ids": [1]}}]},
        (400, "doc_validation", "RevId isn't a string"),
    ),
]


async def test_a_malformed_document_fails_the_request_in_couchdbs_words() -> None:
    async with world() as there:
        for body, expected in MALFORMED:
            answer = await there.ask("POST", "/_bulk_docs", body)
            assert answer.error == expected
            past = await there.source("POST", "/_bulk_docs", body)
            assert past.error == expected
        answer = await there.ask("POST", "/_bulk_docs", data=b'{"docs":[]}', headers={"Content-Type": "text/plain"})
        assert answer.error == (415, "bad_content_type", "Content-Type must be application/json")
        assert there.tap.requests == []


async def test_a_malformed_document_at_the_end_of_a_large_batch_keeps_all_from_being_stored() -> None:
    async with world() as there:
        known = revision("p0000", rev(1, "a"), owner="ann")
        assert await there.push(known) == []
        there.tap.requests.clear()
        docs = [revision(f"p{index:04}", rev(1, "a"), owner="ann") for index in range(400)]
        docs[-1]["_revisions"]["start"] = "1"
        body = {"docs": docs, "new_edits": False}
        answer = await there.ask("POST", "/_bulk_docs", body)
        assert answer.json == {"error": "doc_validation", "reason": "_revisions.start isn't an integer."}
        assert answer.json == (await there.source("POST", "/_bulk_docs", body)).json
        assert there.tap.writes == []


async def test_a_malformed_document_is_told_also_by_a_profile_that_only_reads() -> None:
    async with world(profile(write=False)) as there:
        docs = [revision(f"p{index:04}", rev(1, "a"), owner="ann") for index in range(400)]
        docs[-1]["_rev"], docs[-1]["_revisions"] = "none", None
        answer = await there.ask("POST", "/_bulk_docs", {"docs": docs, "new_edits": False})
        assert answer.json == {"error": "doc_validation", "reason": "Bad special document member: _revisions"}


async def test_a_local_document_keeps_a_large_batch_together() -> None:
    async with world() as there:
        docs = [revision(f"p{index:04}", rev(1, "a"), owner="ann") for index in range(300)]
        docs.append({"_id": "_local/cp", "_rev": "0-1", "seq": 1})
        assert (await there.push(*docs)) == []
        [write] = there.tap.writes
        assert len(write.json["docs"]) == 301


@pytest.mark.parametrize("turns", [1, 3, 5, 10, 20])
async def test_whoever_gives_up_leaves_nothing_behind(turns: int) -> None:
    async with world() as there:
        docs = [revision(f"p{index:04}", rev(1, "a"), owner="ann") for index in range(300)]
        batch = [read_pushed(doc, False) for doc in docs]
        planning = asyncio.ensure_future(plan_some(there.view, batch))
        for _ in range(turns):
            await asyncio.sleep(0)
        planning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await planning
        ours = {"_plan_some", "fetch_stored", "fetch_leaves", "_fetch_bodies"}
        assert ours.isdisjoint(getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks())


async def test_a_gzipped_body_is_read() -> None:
    async with world() as there:
        data = gzip.compress(b'{"docs":[{"_id":"p1","owner":"ann"}]}')
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        [row] = (await there.ask("POST", "/_bulk_docs", data=data, headers=headers)).json
        assert row["ok"] is True


async def test_too_large_a_body_is_refused() -> None:
    async with world(max_body=1000) as there:
        answer = await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "a", "x": "y" * 1000}]})
        assert answer.status == 413


async def test_after_a_break_the_source_is_asked_what_it_has() -> None:
    async with world() as there:
        docs = [revision("p1", rev(1, "a"), owner="ann"), revision("p2", rev(1, "b"), owner="bob")]
        there.tap.fail("POST", "/_bulk_docs", break_after)
        assert [row["id"] for row in await there.push(*docs)] == ["p2"]
        assert (await there.stored("p1"))["owner"] == "ann"

        there.tap.fail("POST", "/_bulk_docs", break_before)
        body = {"docs": [revision("p3", rev(1, "a"), owner="ann"), *docs], "new_edits": False}
        answer = await there.ask("POST", "/_bulk_docs", body)
        # not as a row: CouchDB's replicator goes on after those, and would never send the document again
        assert (answer.status, answer.json["missing"]) == (502, {"p3": {"missing": [rev(1, "a")]}})
        assert answer.json["reason"].endswith("1 of 3 documents are not stored; send the request again.")
        assert await there.push(revision("p3", rev(1, "a"), owner="ann")) == []


@pytest.mark.parametrize("end", ["/_bulk_docs", "/_bulk_get"])
@pytest.mark.parametrize("fault", [break_before, break_after, answer_with(500, {"error": "e", "reason": "r"})])
@pytest.mark.parametrize("after", [0, 1, 2])
async def test_after_a_failure_amid_a_batch_it_is_told_what_is_missing(end: str, fault: Fault, after: int) -> None:
    async with world() as there:
        docs = [revision(f"p{index:04}", rev(1, "a"), owner="ann") for index in range(400)]
        await there.put({"_id": docs[0]["_id"], "owner": "bob"})
        await there.push(revision("q", rev(1, "a"), owner="ann"))  # what the source can do is known from now on
        for _ in range(after):
            there.tap.fail("POST", end, pass_on)
        there.tap.fail("POST", end, fault)
        answer = await there.ask("POST", "/_bulk_docs", {"docs": docs, "new_edits": False})
        stored = {row["id"] for row in (await there.source("GET", "/_all_docs")).json["rows"]}
        absent = {doc["_id"]: {"missing": [rev(1, "a")]} for doc in docs if doc["_id"] not in stored}
        if answer.status == 201:
            assert (absent, [row["id"] for row in answer.json]) == ({}, [docs[0]["_id"]])
        elif len(absent) == len(docs) - 1:
            assert answer.status in (500, 502)
        else:
            assert (answer.status in (500, 502), answer.json["missing"]) == (True, absent)
        there.tap.faults.clear()
        rows = await there.push(*docs)
        assert [(row["id"], row["error"]) for row in rows] == [(docs[0]["_id"], "forbidden")]
        rows = (await there.source("GET", "/_all_docs")).json["rows"]
        assert {row["id"] for row in rows} == {"q", *(doc["_id"] for doc in docs)}


async def test_the_sources_refusal_of_a_part_says_what_is_missing() -> None:
    async with world() as there:
        docs = [revision(f"p{index:04}", rev(1, "a"), owner="ann") for index in range(200)]
        there.tap.fail("POST", "/_bulk_docs", pass_on)
        there.tap.fail("POST", "/_bulk_docs", answer_with(413, {"error": "too_large", "reason": "the request entity"}))
        answer = await there.ask("POST", "/_bulk_docs", {"docs": docs, "new_edits": False})
        assert answer.error[:2] == (413, "too_large")  # by which CouchDB's replicator halves what it sends
        stored = {row["id"] for row in (await there.source("GET", "/_all_docs")).json["rows"]}
        assert 0 < len(stored) < len(docs)
        assert answer.json["missing"].keys() == {doc["_id"] for doc in docs} - stored


async def test_a_source_that_cannot_be_asked_fails_the_request() -> None:
    async with world() as there:
        there.tap.fail("POST", "/_bulk_docs", break_after)
        for _ in range(3):
            there.tap.fail("POST", "/_revs_diff", break_before)
        body = {"docs": [revision("p1", rev(1, "a"), owner="ann")], "new_edits": False}
        answer = await there.ask("POST", "/_bulk_docs", body)
        assert answer.error[:2] == (503, "service_unavailable")


async def test_after_a_break_an_interactive_write_is_unknown() -> None:
    async with world() as there:
        there.tap.fail("POST", "/_bulk_docs", break_after)
        answer = await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "p1", "owner": "ann"}]})
        assert answer.status == 502
        assert "unknown" in answer.json["reason"]


@pytest.mark.parametrize("status", [200, 203, 204, 206])
async def test_a_status_that_no_source_gives_to_what_it_stored_is_not_believed(status: int) -> None:
    """A gateway or a login page in front of the source answers 200, too: the documents would be lost."""
    async with world() as there:
        doc = revision("p1", rev(1, "a"), owner="ann")
        there.tap.fail("POST", "/_bulk_docs", answer_with(status, []))
        answer = await there.ask("POST", "/_bulk_docs", {"docs": [doc], "new_edits": False})
        assert answer.error[:2] == (502, "bad_gateway")
        there.tap.fail("POST", "/_bulk_docs", but_with(status))  # it was stored, and the source says so if it is asked
        assert await there.push(doc) == []
        there.tap.fail("POST", "/_bulk_docs", but_with(status))
        edited = await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "p2", "owner": "ann"}]})
        assert edited.status == 502
        assert "unknown" in edited.json["reason"]


def but_with(status: int) -> Fault:
    """The source does what it is asked, and answers with another status."""

    async def fault(request: web.BaseRequest, forward: Callable[[], Awaitable[web.StreamResponse]]) -> Any:
        response = await forward()
        response.set_status(status)
        return response

    return fault


@pytest.mark.parametrize("rows", [{}, [], [{"ok": True, "id": "other", "rev": "1-a"}], [1]])
async def test_a_source_that_lies_is_not_believed(rows: Any) -> None:
    async with world() as there:
        there.tap.fail("POST", "/_bulk_docs", answer_with(201, rows))
        answer = await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "p1", "owner": "ann"}]})
        assert answer.status == 502


async def test_the_sources_refusals_quote_nothing() -> None:
    async with world() as there:
        reason = "ssn must not change from 1-2-3"
        row = {"id": "p1", "error": "forbidden", "reason": reason}
        there.tap.fail("POST", "/_bulk_docs", answer_with(201, [row]))
        rows = (await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "p1", "owner": "ann"}]})).json
        assert rows == [{"id": "p1", "error": "forbidden", "reason": "The source's validation refused the document."}]
        stub = {"error": "missing_stub", "reason": "Invalid attachment stub in p1 for hidden.png"}
        there.tap.fail("POST", "/_bulk_docs", answer_with(412, stub))
        answer = await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "p1", "owner": "ann"}]})
        assert answer.error == (412, "missing_stub", "Invalid attachment stub")
    async with world(profile(Chain())) as there:
        there.tap.fail("POST", "/_bulk_docs", answer_with(201, [row]))
        rows = (await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "p1"}]})).json
        assert rows == [row]


async def test_the_sources_error_for_the_whole_request_is_the_answer() -> None:
    async with world(profile(Chain())) as there:
        there.tap.fail(
            "POST", "/_bulk_docs", answer_with(404, {"error": "not_found", "reason": "Database does not exist."})
        )
        answer = await there.ask("POST", "/_bulk_docs", {"docs": []})
        assert answer.json == []
        answer = await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "a"}]})
        assert answer.error == (404, "not_found", "Database does not exist.")


FAILED_READS: list[Any] = [
    {
        "results": [
            {"id": "p1", "docs": [{"error": {"id": "p1", "rev": "undefined", "error": "timeout", "reason": ""}}]}
        ]
    },
    {"results": [{"id": "p1", "docs": []}]},
    {"results": []},
    {},
]


@pytest.mark.parametrize("reply", FAILED_READS)
async def test_a_document_that_cannot_be_read_is_not_taken_for_a_new_one(reply: Any) -> None:
    async with world() as there:
        first = await there.put(ANN)
        await there.push(revision("other", rev(1, "a"), owner="ann"))
        written = len(there.tap.writes)
        there.tap.fail("POST", "/_bulk_get", answer_with(200, reply))
        there.tap.fail("POST", "/_bulk_get", answer_with(200, reply))
        body = {"docs": [revision("p1", rev(2, "a"), first, owner="ann")], "new_edits": False}
        answer = await there.ask("POST", "/_bulk_docs", body)
        assert answer.status == 502
        assert len(there.tap.writes) == written
