"""PUT, DELETE and POST of single documents, over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.lens import Chain
from tests.writing.filters import Owned, Stamped, chain, profile
from tests.writing.world import answer_with, break_after, break_before, world

ANN = {"_id": "p1", "owner": "ann", "name": "P", "ssn": "1-2-3"}
REV = "2-" + "f" * 32
CONFLICT = (409, "conflict", "Document update conflict.")
HIDDEN = (403, "forbidden", "The document is not visible to this client.")


async def test_put_creates_and_edits_as_couchdb_answers() -> None:
    async with world() as there:
        created = await there.ask("PUT", "/p:1%2Fx", {"owner": "ann"})
        first = created.json["rev"]
        assert created.status == 201
        assert created.json == {"ok": True, "id": "p:1/x", "rev": first}
        assert created.headers["ETag"] == f'"{first}"'
        assert created.headers["Location"] == f"{there.proxy}/db-phone/p:1%2Fx"
        edited = await there.ask("PUT", "/p:1%2Fx", {"owner": "ann", "a": 1}, headers={"If-Match": f'"{first}"'})
        assert edited.status == 201
        assert (await there.stored("p:1%2Fx"))["_rev"] == edited.json["rev"]


async def test_put_keeps_what_is_hidden() -> None:
    async with world() as there:
        first = await there.put(ANN)
        answer = await there.ask("PUT", f"/p1?rev={first}", {"owner": "ann", "name": "Q"})
        assert (await there.stored("p1")) == {**ANN, "name": "Q", "_rev": answer.json["rev"]}


async def test_the_revision_may_be_named_in_three_places_but_only_one() -> None:
    async with world() as there:
        other, third = {"_rev": "1-" + "c" * 32}, {"If-Match": "1-" + "d" * 32}
        etag = (400, "bad_request", "Document rev and etag have different values")
        query = (400, "bad_request", "Document rev from request body and query string have different values")
        for path, body, headers, expected in [
            (f"/p1?rev={REV}", other, {}, query),
            ("/p1", other, third, etag),
            (f"/p1?rev={REV}", {}, third, etag),
            ("/p1?rev=x", {}, {}, (400, "bad_request", "Invalid rev format")),
            ("/p1", {}, {"If-Match": '"x"'}, (400, "bad_request", "Invalid rev format")),
            ("/p1", {}, {"If-Match": f'W/"{REV}"'}, (400, "bad_request", "Invalid rev format")),
            ("/p1", {}, {"If-Match": "*"}, (400, "bad_request", "Invalid rev format")),
            ("/p1", {}, {"If-Match": ""}, (400, "bad_request", "Invalid rev format")),
        ]:
            assert (await there.ask("PUT", path, body, headers=headers)).error == expected
            assert (await there.source("PUT", path, body, headers=headers)).error == expected
        assert there.tap.requests == []


async def test_put_of_what_is_not_the_clients() -> None:
    async with world() as there:
        of_bob = await there.put({"_id": "b", "owner": "bob"})
        mine = await there.put(ANN)
        for path, body, expected in [
            ("/b", {"owner": "ann"}, HIDDEN),
            (f"/b?rev={of_bob}", {"owner": "ann"}, CONFLICT),
            (f"/b?rev={REV}", {"owner": "ann"}, CONFLICT),
            ("/p1", {"owner": "ann"}, CONFLICT),
            (f"/p1?rev={REV}", {"owner": "ann"}, CONFLICT),
        ]:
            assert (await there.ask("PUT", path, body)).error == expected
        answer = await there.ask("PUT", f"/p1?rev={mine}", {"owner": "bob"})
        assert answer.status == 403
        # of creations, the source itself is asked, by trying: it does not store over what it has
        assert [(write.path.rpartition("/")[2], "_rev" in write.json) for write in there.tap.writes] == [
            ("b", False),
            ("p1", False),
        ]
        assert (list(await there.leaves("b")), list(await there.leaves("p1"))) == ([of_bob], [mine])


@pytest.mark.parametrize("query", ["", f"?rev={REV}", "?rev={its_own}"])
@pytest.mark.parametrize(
    "body",
    [
        {"owner": "bob"},
        {"owner": "ann", "ssn": "9"},
        {"owner": "ann", "_attachments": {"t": {"stub": True}}},
    ],
)
async def test_a_write_that_stores_nothing_does_not_tell_that_something_is_hidden(
    query: str, body: dict[str, Any]
) -> None:
    async with world() as there:
        query = query.format(its_own=await there.put({"_id": "hidden", "owner": "bob"}))
        hidden = await there.ask("PUT", f"/hidden{query}", body)
        never = await there.ask("PUT", f"/never{query}", body)
        assert never.status >= 400
        assert [part.replace("hidden", "never") if isinstance(part, str) else part for part in hidden.error] == list(
            never.error
        )


async def test_put_of_a_replicated_revision() -> None:
    async with world() as there:
        first = await there.put(ANN)
        revisions = {"start": 2, "ids": ["f" * 32, first[2:]]}
        body = {"_rev": REV, "_revisions": revisions, "owner": "ann", "name": "Q"}
        answer = await there.ask("PUT", "/p1?new_edits=false", body)
        assert (answer.status, answer.json) == (201, {"ok": True, "id": "p1", "rev": REV})
        assert (await there.stored("p1")) == {**ANN, "name": "Q", "_rev": REV}
        again = await there.ask("PUT", "/p1?new_edits=false", body)
        assert (again.status, again.json["rev"]) == (201, REV)
        assert len(there.tap.writes) == 1
        missing = await there.ask("PUT", "/p2?new_edits=false", {"owner": "ann"})
        assert missing.error[0] == 400


async def test_put_of_nonsense_in_couchdbs_words() -> None:
    async with world() as there:
        for data, expected in [
            (b"", (400, "bad_request", "invalid UTF-8 JSON")),
            (b"{broken", (400, "bad_request", "invalid UTF-8 JSON")),
            (b"[1]", (400, "bad_request", "Document must be a JSON object")),
            (b'{"_id":1}', (400, "illegal_docid", "Document id must be a string")),
            (b'{"_bad":1}', (400, "doc_validation", "Bad special document member: _bad")),
        ]:
            assert (await there.ask("PUT", "/w", data=data)).error == expected
            assert (await there.source("PUT", "/w", data=data)).error == expected


async def test_batch_ok_is_a_normal_write() -> None:
    async with world() as there:
        answer = await there.ask("PUT", "/p1?batch=ok", {"owner": "ann"})
        assert answer.status == 201
        assert (await there.stored("p1"))["_rev"] == answer.json["rev"]


async def test_delete_keeps_who_it_was_for() -> None:
    async with world() as there:
        first = await there.put(ANN)
        answer = await there.ask("DELETE", f"/p1?rev={first}")
        second = answer.json["rev"]
        assert (answer.status, answer.json) == (200, {"ok": True, "id": "p1", "rev": second})
        assert answer.headers["ETag"] == f'"{second}"'
        [leaf] = (await there.leaves("p1")).values()
        assert leaf == {"_id": "p1", "_rev": second, "_deleted": True, "owner": "ann"}
        assert (await there.ask("DELETE", "/p1")).error == (404, "not_found", "deleted")
        again = await there.ask("PUT", "/p1", {"owner": "ann"})
        assert again.json["rev"].startswith("3-")


async def test_delete_refuses_as_couchdb_does() -> None:
    async with world() as there:
        await there.put(ANN)
        of_bob = await there.put({"_id": "b", "owner": "bob"})
        assert (await there.ask("DELETE", "/p1")).error == CONFLICT
        assert (await there.ask("DELETE", f"/p1?rev={REV}")).error == CONFLICT
        assert (await there.ask("DELETE", "/p1?rev=x")).error == (400, "bad_request", "Invalid rev format")
        for path in ("/nope", f"/nope?rev={REV}", "/b", f"/b?rev={of_bob}"):
            assert (await there.ask("DELETE", path)).error == (404, "not_found", "missing")
        assert there.tap.writes == []


async def test_delete_and_post_pass_where_nothing_is_hidden() -> None:
    async with world(profile(Chain())) as there:
        posted = await there.ask("POST", "", {"a": 1})
        doc_id, first = posted.json["id"], posted.json["rev"]
        assert (posted.status, len(doc_id)) == (201, 32)
        assert posted.headers["Location"] == f"{there.proxy}/db-phone/{doc_id}"
        assert "ETag" not in posted.headers
        assert (await there.ask("DELETE", f"/{doc_id}?rev={first}")).status == 200
        assert (await there.ask("DELETE", f"/{doc_id}")).error == (404, "not_found", "deleted")
        assert [request.method for request in there.tap.requests] == ["PUT", "DELETE", "DELETE"]


async def test_post_to_the_database() -> None:
    async with world() as there:
        assert (await there.ask("POST", "", {"_id": "x", "owner": "ann"})).json["id"] == "x"
        assert (await there.ask("POST", "", {"_id": "x", "owner": "ann"})).error == CONFLICT
        assert (await there.ask("POST", "", {"_id": "z", "owner": "ann", "_deleted": True})).status == 201
        assert (await there.ask("POST", "", {"_id": "y", "owner": "bob"})).status == 403
        assert (await there.ask("POST", "", {"_rev": "1-abc", "owner": "ann"})).json["rev"].startswith("1-")
        assert (await there.ask("POST", "", [])).error == (400, "bad_request", "Document must be a JSON object")
        local = await there.ask("POST", "", {"_id": "_local/cp", "seq": 1})
        assert (local.status, local.json) == (201, {"ok": True, "id": "_local/cp", "rev": "0-1"})
        stored = await there.source("GET", f"/_local/{there.view.local_prefix}cp")
        assert stored.json["seq"] == 1


async def test_a_profile_that_only_reads() -> None:
    async with world(profile(write=False)) as there:
        first = await there.put(ANN)
        refused = (403, "forbidden", "This profile only reads.")
        assert (await there.ask("PUT", f"/p1?rev={first}", {"owner": "ann"})).error == refused
        assert (await there.ask("DELETE", f"/p1?rev={first}")).error == refused
        assert (await there.ask("POST", "", {"owner": "ann"})).error == refused
        assert there.tap.requests == []


async def test_design_documents_need_trust() -> None:
    async with world() as there:
        assert (await there.ask("PUT", "/_design/a", {"language": "x"})).status == 403
        assert (await there.ask("DELETE", f"/_design/a?rev={REV}")).status == 403
        assert there.tap.requests == []
    async with world(profile(trusted=True)) as there:
        made = await there.ask("PUT", "/_design/a", {"ssn": 1})
        assert made.headers["Location"].endswith("/db-phone/_design%2Fa")
        assert (await there.stored("_design/a"))["ssn"] == 1
        assert (await there.ask("DELETE", f"/_design/a?rev={made.json['rev']}")).status == 200


async def test_after_a_break_the_source_is_asked() -> None:
    async with world() as there:
        body = {"_rev": REV, "owner": "ann"}
        there.tap.fail("PUT", "/p1", break_after)
        answer = await there.ask("PUT", "/p1?new_edits=false", body)
        assert (answer.status, answer.json["rev"]) == (201, REV)
        there.tap.fail("PUT", "/p2", break_before)
        answer = await there.ask("PUT", "/p2?new_edits=false", body)
        assert answer.error[:2] == (502, "unavailable")
        there.tap.fail("PUT", "/p3", break_after)
        answer = await there.ask("PUT", "/p3", {"owner": "ann"})
        assert (answer.status, "unknown" in answer.json["reason"]) == (502, True)


@pytest.mark.parametrize("value", [[], {}, {"ok": True}, {"ok": True, "rev": 1}])
async def test_a_source_that_lies_is_not_believed(value: Any) -> None:
    async with world() as there:
        there.tap.fail("PUT", "/p1", answer_with(201, value))
        assert (await there.ask("PUT", "/p1", {"owner": "ann"})).status == 502


async def test_the_sources_validation_quotes_nothing() -> None:
    async with world() as there:
        there.tap.fail("PUT", "/p1", answer_with(403, {"error": "forbidden", "reason": "ssn was 1-2-3"}))
        answer = await there.ask("PUT", "/p1", {"owner": "ann"})
        assert answer.error == (403, "forbidden", "The source's validation refused the document.")


async def test_a_stamp_is_set() -> None:
    async with world(profile(chain(Owned(), Stamped()))) as there:
        await there.ask("PUT", "/p1", {"owner": "ann", "by": "bob"})
        assert (await there.stored("p1"))["by"] == "ann"
