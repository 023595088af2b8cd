"""Interactive creations: the source is not asked before, but decides; what the client hears is as had it been asked."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest

from filters.drop import Drop
from filters.select import Select
from proxy.core.lens import Chain
from proxy.errors import Conflict, CouchError
from proxy.writing.originals import plan_some
from proxy.writing.pushed import read_pushed
from proxy.writing.rules import Refuse
from tests.support import inprocess
from tests.writing.filters import profile
from tests.writing.world import Answer, Fault, World, answer_with, break_before, world

Doc = dict[str, Any]

HIDDEN = (403, "forbidden", "The document is not visible to this client.")
CONFLICT = (409, "conflict", "Document update conflict.")


async def test_a_creation_is_one_request() -> None:
    async with world() as there:
        assert (await there.ask("PUT", "/p1", {"owner": "ann"})).status == 201
        assert (await there.ask("POST", "", {"_id": "p2", "owner": "ann"})).status == 201
        rows = (await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "p3", "owner": "ann"}]})).json
        assert rows[0]["ok"] is True
        assert (
            [request.method for request in there.tap.requests]
            == ["PUT", "PUT", "POST"]
            == [write.method for write in there.tap.writes]
        )


async def _nothing(there: World) -> None:
    pass


async def _visible(there: World) -> None:
    await there.put({"_id": "x", "owner": "ann", "ssn": "1"})


async def _hidden(there: World) -> None:
    await there.put({"_id": "x", "owner": "bob"})


async def _visible_deletion(there: World) -> None:
    rev = await there.put({"_id": "x", "owner": "ann"})
    await there.put({"_id": "x", "_rev": rev, "_deleted": True, "owner": "ann"})


async def _hidden_deletion(there: World) -> None:
    rev = await there.put({"_id": "x", "owner": "bob"})
    await there.put({"_id": "x", "_rev": rev, "_deleted": True, "owner": "bob"})


async def _hidden_winner(there: World) -> None:
    """The client sees the other leaf of a conflict."""
    await there.replicate(_leaf("2-" + "b" * 32, owner="bob"), _leaf("1-" + "a" * 32, owner="ann"))


async def _deleted_winner(there: World) -> None:
    """A deleted leaf of a higher generation never wins."""
    await there.replicate(_leaf("2-" + "b" * 32, _deleted=True, owner="ann"), _leaf("1-" + "a" * 32, owner="bob"))


def _leaf(rev: str, **body: Any) -> Doc:
    return {"_id": "x", "_rev": rev, **body}


STATES = [_nothing, _visible, _hidden, _visible_deletion, _hidden_deletion, _hidden_winner, _deleted_winner]
BODIES: list[Doc] = [
    {"owner": "ann"},
    {"owner": "ann", "_deleted": True},
    {"_deleted": True},
    {"owner": "bob"},
    {"owner": "ann", "ssn": "9"},
    {"owner": "ann", "_attachments": {"t": {"content_type": "text/plain", "data": "eA=="}}},
    {"owner": "ann", "_attachments": {"t": {"stub": True}}},
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("bulk", [False, True])
async def test_the_client_hears_what_it_had_if_the_source_were_asked_before(state: Any, body: Doc, bulk: bool) -> None:
    async with world() as there:
        await state(there)
        pushed = read_pushed({"_id": "x", **body}, True)
        try:
            [expected] = await plan_some(there.view, [pushed], suppose=False)
            told = expected.told(there.view.profile.chain) if isinstance(expected, Refuse) else None
        except CouchError as error:
            told = error
        before = await _leaves(there)
        if told is None and body.get("_deleted") and before:
            told = Conflict()  # CouchDB deletes nothing that is deleted
        if bulk:
            [row] = (await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "x", **body}]})).json
            heard = (row["error"], row["reason"]) if "error" in row else None
        else:
            answer = await there.ask("PUT", "/x", body)
            heard = answer.error[1:] if answer.status >= 300 else None
        assert heard == (None if told is None else (told.error, told.reason))
        after = await _leaves(there)
        if told is None:
            assert len(after) == max(len(before), 1)
        else:
            assert after == before


async def _leaves(there: World) -> dict[str, Doc]:
    if (await there.source("GET", "/x?revs=true&open_revs=all")).status == 404:
        return {}
    return await there.leaves("x")


@pytest.mark.parametrize("fault", [break_before, answer_with(500, {"error": "x", "reason": "secret"})])
async def test_a_conflict_of_which_nothing_more_can_be_told_stays_one(fault: Fault) -> None:
    """The others of the batch are stored, so the request cannot fail any more."""
    async with world() as there:
        await there.put({"_id": "x", "owner": "bob"})
        docs = [{"_id": "x", "owner": "ann"}, {"_id": "y", "owner": "ann"}]
        for _ in range(5):  # a request that may be repeated is
            there.tap.fail("POST", "_bulk_get", fault)
        rows = (await there.ask("POST", "/_bulk_docs", {"docs": docs})).json
        assert rows == [
            {"id": "x", "error": "conflict", "reason": "Document update conflict."},
            {"ok": True, "id": "y", "rev": rows[1]["rev"]},
        ]
        for _ in range(5):
            there.tap.fail("POST", "_bulk_get", fault)
        assert (await there.ask("PUT", "/x", {"owner": "ann"})).error == CONFLICT


async def test_a_conflict_with_what_is_gone_by_now_is_one() -> None:
    async with world() as there:
        there.tap.fail("PUT", "/x", answer_with(409, {"error": "conflict", "reason": "Document update conflict."}))
        assert (await there.ask("PUT", "/x", {"owner": "ann"})).error == CONFLICT
        assert (await there.ask("PUT", "/x", {"owner": "ann"})).status == 201


async def test_rows_of_taken_ids_stand_where_they_belong() -> None:
    async with world() as there:
        await there.put({"_id": "b", "owner": "bob"})
        mine = await there.put({"_id": "c", "owner": "ann", "ssn": "1"})
        docs: list[Doc] = [
            {"_id": "a", "owner": "ann"},
            {"_id": "b", "owner": "ann"},
            {"_id": "c", "_rev": mine, "owner": "ann", "name": "edited"},
            {"_id": "d", "owner": "bob"},
            {"_id": "a", "owner": "ann", "again": True},
            {"_id": "c", "owner": "ann"},
        ]
        rows = (await there.ask("POST", "/_bulk_docs", {"docs": docs})).json
        assert [row["id"] for row in rows] == ["a", "b", "c", "d", "a", "c"]
        assert [row.get("error") for row in rows] == [None, "forbidden", None, "forbidden", "conflict", "conflict"]
        assert (await there.stored("c")) == {**docs[2], "_rev": rows[2]["rev"], "ssn": "1"}


async def test_rows_of_an_id_that_comes_twice_may_stand_beside_each_other() -> None:
    """As PouchDB Server has them."""
    docs = [{"_id": doc_id, "owner": "ann"} for doc_id in ("a", "b", "a")]
    rows: list[Doc] = [
        {"ok": True, "id": "a", "rev": "1-" + "a" * 32},
        {"id": "a", "error": "conflict", "reason": "Document update conflict."},
        {"ok": True, "id": "b", "rev": "1-" + "b" * 32},
    ]
    async with world() as there:
        there.tap.fail("POST", "_bulk_docs", answer_with(201, rows))
        answer = await there.ask("POST", "/_bulk_docs", {"docs": docs})
        assert answer.json == [rows[0], rows[2], rows[1]]
        for others in (
            rows[:2],
            [*rows[:2], {**rows[2], "id": "c"}],
            [*rows[:2], {**rows[2], "id": ["b"]}],
            [*rows, rows[2]],
        ):
            there.tap.fail("POST", "_bulk_docs", answer_with(201, others))
            assert (await there.ask("POST", "/_bulk_docs", {"docs": docs})).status == 502


async def test_a_source_may_write_its_conflict_with_a_capital() -> None:
    row = {"id": "x", "error": "Conflict", "reason": "there is one"}
    async with world() as there:
        await there.put({"_id": "x", "owner": "bob"})
        there.tap.fail("POST", "_bulk_docs", answer_with(201, [row]))
        [told] = (await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "x", "owner": "ann"}]})).json
        assert (403, told["error"], told["reason"]) == HIDDEN


async def test_a_profile_without_filters_hears_the_sources_own_words() -> None:
    told = {"error": "conflict", "reason": "in other words"}
    async with world(profile(Chain())) as there:
        there.tap.fail("PUT", "/x", answer_with(409, told))
        assert (await there.ask("PUT", "/x", {})).json == told
        there.tap.fail("POST", "_bulk_docs", answer_with(201, [{"id": "x", **told}]))
        assert (await there.ask("POST", "/_bulk_docs", {"docs": [{"_id": "x"}]})).json == [{"id": "x", **told}]
        assert [request.method for request in there.tap.requests] == []


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (401, "unauthorized", "You are not authorized to access this db."),
        (403, "forbidden", "You are not allowed to access this db."),
    ],
)
async def test_who_may_not_use_the_database_is_told_so(status: int, error: str, reason: str) -> None:
    async with world() as there:
        there.tap.fail("PUT", "/x", answer_with(status, {"error": error, "reason": reason}))
        assert (await there.ask("PUT", "/x", {"owner": "ann"})).error == (status, error, reason)


async def test_before_bodies_that_follow_the_source_is_asked() -> None:
    """They could be large, and in vain."""
    async with world() as there:
        await there.put({"_id": "x", "owner": "bob"})
        entry = {"content_type": "text/plain", "follows": True, "length": 1}
        answer = await _related(there, "/x", {"owner": "ann", "_attachments": {"t": entry}})
        assert answer.error == HIDDEN
        assert there.tap.writes == []


async def _related(there: World, path: str, doc: Doc) -> Answer:
    parts = (b"Content-Type: application/json\r\n\r\n" + json.dumps(doc).encode(), b"\r\n\r\nx")
    data = b"".join(b"--b\r\n" + part.removeprefix(b"\r\n") + b"\r\n" for part in parts) + b"--b--"
    return await there.ask("PUT", path, data=data, headers={"Content-Type": 'multipart/related; boundary="b"'})


@pytest.mark.parametrize("seed", range(6))
async def test_of_two_who_create_the_same_at_once_one_does_and_the_other_changes_nothing(seed: int) -> None:
    """They do not see each other's documents, and nothing of either is lost or joined."""
    chance = Random(seed)
    phone = inprocess.profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]))
    facilities = {"ann": "f1", "bob": "f2"}
    ids = [f"d{number}" for number in range(12)]
    told: dict[str, dict[str, Doc]] = {doc_id: {} for doc_id in ids}

    async with inprocess.site(phone) as there:

        async def put(user: str, doc: Doc) -> Doc:
            path = f"/clinic-phone/{doc['_id']}"
            row: Doc = (await there.ask("PUT", path, doc, user=(user, user))).json
            return row

        async def create(user: str, at_once: bool) -> None:
            docs: list[Doc] = [{"_id": doc_id, "facility": facilities[user]} for doc_id in chance.sample(ids, len(ids))]
            if at_once:
                rows = (await there.ask("POST", "/clinic-phone/_bulk_docs", {"docs": docs}, user=(user, user))).json
            else:
                rows = await asyncio.gather(*(put(user, doc) for doc in docs))
            for doc, row in zip(docs, rows, strict=True):
                told[doc["_id"]][user] = row

        await asyncio.gather(*(create(user, chance.random() < 0.5) for user in facilities))
        for doc_id, rows in told.items():
            [winner] = [user for user, row in rows.items() if row.get("ok")]
            [loser] = facilities.keys() - {winner}
            assert (rows[loser]["error"], rows[loser]["reason"]) == HIDDEN[1:]
            leaves = (await there.at_source("GET", f"/clinic/{doc_id}?open_revs=all")).json
            expected = {"_id": doc_id, "_rev": rows[winner]["rev"], "facility": facilities[winner]}
            assert leaves == [{"ok": expected}]
