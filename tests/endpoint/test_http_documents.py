"""One document over HTTP: reading with every parameter, writing, copying, local documents."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from tests.endpoint.http_client import Wire, serving

A, B, C, D = ("1-" + "a" * 32, "2-" + "b" * 32, "2-" + "c" * 32, "3-" + "d" * 32)
"""`conflict`: A has the children B (a live leaf) and C, whose child D is the winner."""


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving() as wire:
        await wire("PUT", "/db")
        a, b, c, d = (rev[2:] for rev in (A, B, C, D))
        docs = [
            {"_id": "conflict", "_rev": A, "v": "a"},
            {"_id": "conflict", "_rev": B, "v": "b", "_revisions": {"start": 2, "ids": [b, a]}},
            {"_id": "conflict", "_rev": C, "v": "c", "_revisions": {"start": 2, "ids": [c, a]}},
            {"_id": "conflict", "_rev": D, "v": "d", "_revisions": {"start": 3, "ids": [d, c, a]}},
        ]
        assert (await wire("POST", "/db/_bulk_docs", {"new_edits": False, "docs": docs})).json == []
        yield wire


def revs(*names: str) -> str:
    return quote(json.dumps(names))


async def test_the_winner_with_everything(wire: Wire) -> None:
    doc = (await wire("GET", "/db/conflict?meta=true&revs=true&local_seq=true")).json
    assert (doc["_rev"], doc["v"], doc["_conflicts"]) == (D, "d", [B])
    assert doc["_revisions"] == {"start": 3, "ids": ["d" * 32, "c" * 32, "a" * 32]}
    assert [info["rev"] for info in doc["_revs_info"]] == [D, C, A]
    assert doc["_local_seq"] > 0
    plain = await wire("GET", "/db/conflict")
    assert plain.body == f'{{"_id":"conflict","_rev":"{D}","v":"d"}}\n'.encode()


async def test_etags_are_left_out_where_they_would_lie(wire: Wire) -> None:
    """What `conflicts` and such show changes without a change of the revision."""
    for tagged in ("", "?revs=true", f"?rev={D}", "?attachments=true"):
        answer = await wire("GET", f"/db/conflict{tagged}")
        assert answer.headers["etag"] == f'"{D}"'
        assert (await wire("GET", f"/db/conflict{tagged}", None, {"If-None-Match": f'"x", W/"{D}"'})).status == 304
        assert (await wire("GET", f"/db/conflict{tagged}", None, {"If-None-Match": "*"})).status == 200
    for untagged in ("conflicts", "revs_info", "meta", "local_seq"):
        answer = await wire("GET", f"/db/conflict?{untagged}=true", None, {"If-None-Match": f'"{D}"'})
        assert (answer.status, "etag" in answer.headers) == (200, False)


async def test_any_revision(wire: Wire) -> None:
    for rev, value in ((A, "a"), (B, "b"), (C, "c"), (D, "d")):
        assert (await wire("GET", f"/db/conflict?rev={rev}")).json["v"] == value
    assert (await wire("GET", f"/db/conflict?rev={A}&latest=true")).json["v"] == "d"
    assert (await wire("GET", "/db/conflict?rev=9-x")).status == 404
    assert (await wire("GET", "/db/conflict?rev=x")).json["reason"] == "Invalid rev format"


async def test_duplicate_parameters(wire: Wire) -> None:
    """The last counts, but a flag that was true once stays so."""
    assert (await wire("GET", f"/db/conflict?rev={A}&rev={B}")).json["v"] == "b"
    assert "_conflicts" in (await wire("GET", "/db/conflict?conflicts=true&conflicts=false")).json
    assert "_conflicts" not in (await wire("GET", "/db/conflict?conflicts=TRUE")).json


async def test_open_revs(wire: Wire) -> None:
    accept = {"Accept": "application/json"}
    rows = (await wire("GET", "/db/conflict?open_revs=all", None, accept)).json
    assert {row["ok"]["_rev"] for row in rows} == {B, D}
    rows = (await wire("GET", f"/db/conflict?open_revs={revs(A, '7-x')}", None, accept)).json
    assert rows == [{"ok": {"_id": "conflict", "_rev": A, "v": "a"}}, {"missing": "7-x"}]
    rows = (await wire("GET", f"/db/conflict?open_revs={revs(C)}&latest=true", None, accept)).json
    assert [row["ok"]["_rev"] for row in rows] == [D]
    assert (await wire("GET", f"/db/new?open_revs={revs(A)}", None, accept)).json == [{"missing": A}]
    assert (await wire("GET", "/db/new?open_revs=all", None, accept)).status == 404
    assert (await wire("GET", "/db/conflict?open_revs=[]")).json == (await wire("GET", "/db/conflict")).json
    assert (await wire("GET", "/db/conflict?open_revs=[1]", None, accept)).status == 400
    odd = '1-say "hi"'
    assert (await wire("GET", f"/db/conflict?open_revs={revs(odd)}", None, accept)).json == [{"missing": odd}]
    answer = await wire("GET", f"/db/conflict?open_revs={revs('7-x')}")
    assert b'Content-Type: application/json; error="true"\r\n\r\n{"missing":"7-x"}' in answer.body


async def test_writes_and_their_revisions(wire: Wire) -> None:
    made = await wire("PUT", "/db/x", {"a": 1})
    one = made.json["rev"]
    assert made.headers["etag"] == f'"{one}"'
    assert (await wire("PUT", "/db/x", {"a": 2})).status == 409
    two = (await wire("PUT", "/db/x", {"_rev": one})).json["rev"]
    three = (await wire("PUT", f"/db/x?rev={two}", {})).json["rev"]
    four = (await wire("PUT", "/db/x", {}, {"If-Match": f'"{three}"'})).json["rev"]
    answer = await wire("PUT", f"/db/x?rev={three}", {"_rev": four})
    assert answer.json["reason"] == "Document rev from request body and query string have different values"
    answer = await wire("PUT", f"/db/x?rev={four}", {}, {"If-Match": three})
    assert answer.json["reason"] == "Document rev and etag have different values"
    assert (await wire("DELETE", "/db/x")).status == 409
    gone = await wire("DELETE", f"/db/x?rev={four}")
    assert (gone.status, gone.headers["etag"]) == (200, f'"{gone.json["rev"]}"')
    assert (await wire("GET", "/db/x")).json == {"error": "not_found", "reason": "deleted"}
    assert (await wire("GET", f"/db/x?rev={gone.json['rev']}")).json["_deleted"] is True
    for query in ("deleted=true", "deleted=true&deleted=false", "deleted=true&latest=true&rev=" + three):
        shown = await wire("GET", f"/db/x?{query}")
        assert (shown.status, shown.json) == (200, {"_id": "x", "_rev": gone.json["rev"], "_deleted": True})
        assert (await wire("HEAD", f"/db/x?{query}")).headers["etag"] == shown.headers["etag"] == gone.headers["etag"]
    shown = await wire("GET", "/db/x?deleted=true&revs=true&meta=true")
    assert (shown.json["_revisions"]["start"], shown.json["_revs_info"][0]["status"]) == (5, "deleted")
    for query in ("deleted=false", "deleted=1"):
        assert (await wire("GET", f"/db/x?{query}")).status == 404
    assert (await wire("GET", "/db/never?deleted=true")).json["reason"] == "missing"
    assert (await wire("DELETE", "/db/x")).status == 404
    assert (await wire("DELETE", "/db/never")).json["reason"] == "missing"
    assert (await wire("PUT", "/db/y", {"_deleted": True})).status == 200
    assert (await wire("POST", "/db", {"_id": "z", "_deleted": True})).status == 201


async def test_a_deletion_of_nothing_is_told_so_whatever_its_revision(wire: Wire) -> None:
    rev = (await wire("PUT", "/db/there", {})).json["rev"]
    for wrong, there in (("x", 400), ("", 400), ("1", 400), ("0-1", 409), ("0-0", 409), ("1-", 409), ("1-x", 409)):
        answer = await wire("DELETE", f"/db/none?rev={wrong}")
        assert (answer.status, answer.json) == (404, {"error": "not_found", "reason": "missing"})
        for method in ("DELETE", "PUT"):
            assert (await wire(method, f"/db/there?rev={wrong}", {} if method == "PUT" else None)).status == there
            assert (await wire(method, "/db/there", {}, {"If-Match": wrong or '""'})).status == there
    await wire("DELETE", f"/db/there?rev={rev}")
    answer = await wire("DELETE", "/db/there?rev=x")
    assert (answer.status, answer.json) == (404, {"error": "not_found", "reason": "deleted"})


async def test_the_id_of_the_path_counts(wire: Wire) -> None:
    assert (await wire("PUT", "/db/x", {"_id": "other"})).json["id"] == "x"


async def test_replicated_writes(wire: Wire) -> None:
    answer = await wire("PUT", "/db/x?new_edits=false", {"_rev": "5-" + "5" * 32})
    assert (answer.status, answer.json["rev"]) == (201, "5-" + "5" * 32)
    for doc_id in ("x", "_local/x"):
        refused = await wire("PUT", f"/db/{doc_id}?new_edits=false", {"a": 1})
        assert (refused.status, refused.json["reason"][:24]) == (400, "When `new_edits: false`,")
        batch = {"new_edits": False, "docs": [{"_id": "y", "_rev": A}, {"_id": doc_id}]}
        assert (await wire("POST", "/db/_bulk_docs", batch)).json == refused.json
    assert (await wire("GET", "/db/y")).status == 404


async def test_a_batch_is_accepted_without_a_revision(wire: Wire) -> None:
    for method, target in (("PUT", "/db/x?batch=ok"), ("POST", "/db?batch=ok")):
        answer = await wire(method, target, {"_id": "x" if method == "PUT" else "y"})
        assert (answer.status, "rev" in answer.json, "location" in answer.headers) == (202, False, False)
    assert (await wire("GET", "/db/x")).status == (await wire("GET", "/db/y")).status == 200


async def test_new_documents_get_ids(wire: Wire) -> None:
    answer = await wire("POST", "/db", {"a": 1})
    assert len(answer.json["id"]) == 32
    assert (await wire("GET", f"/db/{answer.json['id']}")).json["a"] == 1
    assert (await wire("POST", "/db", {"_id": "mine"})).json["id"] == "mine"
    assert (await wire("POST", "/db", {"_rev": "1-a"})).json["rev"].startswith("1-")
    assert (await wire("POST", "/db", {"_id": "_local/mine"})).json["rev"] == "0-1"
    for wrong in (1, "", None, "_x"):
        assert (await wire("POST", "/db", {"_id": wrong})).json["error"] == "illegal_docid"


async def test_a_post_goes_by_the_revision_of_the_document_alone(wire: Wire) -> None:
    one = (await wire("POST", "/db", {"_id": "x"})).json["rev"]
    for query, headers in ((f"rev={one}", {}), ("new_edits=false", {}), ("", {"If-Match": one})):
        assert (await wire("POST", f"/db?{query}", {"_id": "x", "n": 1}, headers)).status == 409
    edited = await wire("POST", f"/db?rev={A}&new_edits=false", {"_id": "x", "_rev": one, "n": 1}, {"If-Match": A})
    assert (edited.status, edited.json["rev"][:2]) == (201, "2-")
    assert (await wire("POST", "/db?new_edits=false", {"_id": "x", "_rev": one})).status == 409
    assert (await wire("POST", "/db?new_edits=false", {"_id": "new", "_rev": A})).status == 409
    assert (await wire("POST", "/db?rev=x", {"_id": "y"})).json["rev"].startswith("1-")
    refused = await wire("POST", "/db", {"_rev": "x"})
    assert (refused.status, refused.json["reason"]) == (400, "Invalid rev format")


async def test_the_revision_of_a_path_overrides_that_beside_it(wire: Wire) -> None:
    path = {"start": 3, "ids": ["d" * 32, "c" * 32]}
    for doc in ({"_rev": B, "_revisions": path}, {"_revisions": path, "_rev": B}, {"_revisions": path, "_rev": 5}):
        answer = await wire("PUT", "/db/conflict?new_edits=false", doc)
        assert (answer.status, answer.json["rev"]) == (201, D)
    answer = await wire("PUT", "/db/conflict?new_edits=false", {"_rev": 5, "_revisions": path})
    assert (answer.status, answer.json["reason"]) == (400, "Invalid rev format")
    for query, headers in ((f"rev={B}", {}), ("", {"If-Match": f'"{B}"'}), (f"rev={D}", {"If-Match": B})):
        assert (await wire("PUT", f"/db/conflict?{query}", {"_rev": B, "_revisions": path}, headers)).status == 400
    edited = await wire("PUT", f"/db/conflict?rev={D.upper()}", {"_rev": B, "_revisions": path}, {"If-Match": D})
    assert (edited.status, edited.json["rev"][:2]) == (201, "4-")
    local = {"_rev": "0-3", "_revisions": {"start": 0, "ids": ["1"]}}
    assert (await wire("PUT", "/db/_local/x", local)).json["rev"] == "0-2"


async def test_the_last_new_edits_counts(wire: Wire) -> None:
    path = "new_edits=true&new_edits=false&new_edits=no"
    assert (await wire("PUT", f"/db/new?{path}", {"_rev": A})).json["rev"] == A
    assert (await wire("PUT", "/db/other?new_edits=false&new_edits=true", {"_rev": A})).status == 409


async def test_copies(wire: Wire) -> None:
    answer = await wire("COPY", "/db/conflict", None, {"Destination": "new%20one"})
    assert (answer.status, answer.json["id"]) == (201, "new one")
    assert answer.headers["location"] == f"{wire.running.url}/db/new%20one"
    assert (await wire("GET", "/db/new%20one")).json["v"] == "d"
    assert (await wire("COPY", "/db/conflict", None, {"Destination": "new%20one"})).status == 409
    onto = f"new%20one?rev={answer.json['rev']}"
    assert (await wire("COPY", f"/db/conflict?rev={B}", None, {"Destination": onto})).status == 201
    assert (await wire("GET", "/db/new%20one")).json["v"] == "b"
    assert (await wire("COPY", "/db/nosuch", None, {"Destination": "x"})).status == 404
    third = {"Destination": "third", "If-Match": B}
    assert (await wire("COPY", f"/db/conflict?rev={A}", None, third)).status == 400
    assert (await wire("COPY", "/db/conflict", None, third)).status == 201
    assert (await wire("GET", "/db/third")).json["v"] == "b"
    for wrong in ("http://x/y", "x?rev=bad", "_x"):
        assert (await wire("COPY", "/db/conflict", None, {"Destination": wrong})).status == 400


async def test_local_documents(wire: Wire) -> None:
    made = await wire("PUT", "/db/_local/cp", {"n": 1})
    assert (made.json["rev"], made.headers["location"]) == ("0-1", f"{wire.running.url}/db/_local%2Fcp")
    got = await wire("GET", "/db/_local/cp")
    assert got.json == {"_id": "_local/cp", "_rev": "0-1", "n": 1}
    assert (await wire("GET", "/db/_local/cp", None, {"If-None-Match": got.headers["etag"]})).status == 304
    assert (await wire("GET", "/db/_local%2Fcp")).body == got.body
    again = await wire("PUT", "/db/_local/cp", got.json)  # with the same body, and another revision
    assert again.json["rev"] == "0-2"
    assert again.headers["etag"] != got.headers["etag"] == made.headers["etag"]
    newer = await wire("GET", "/db/_local/cp", None, {"If-None-Match": got.headers["etag"]})
    assert (newer.status, newer.headers["etag"]) == (200, again.headers["etag"])
    assert (await wire("PUT", "/db/_local/cp", {"n": 2})).json["rev"] == "0-1"  # no conflicts here
    as_replicator = (await wire("GET", "/db/_local/cp?revs=true")).json
    assert as_replicator["_revisions"] == {"start": 0, "ids": ["1"]}
    assert (await wire("PUT", "/db/_local/cp", {**as_replicator, "n": 3})).json["rev"] == "0-2"
    assert (await wire("DELETE", "/db/_local/cp")).json["rev"] == "0-0"
    assert (await wire("GET", "/db/_local/cp")).status == 404
    assert (await wire("DELETE", "/db/_local/cp")).status == 404
    assert (await wire("PUT", "/db/_local/cp", {"_deleted": True})).status == 200


async def test_design_documents(wire: Wire) -> None:
    assert (await wire("PUT", "/db/_design%2Fd", {})).json["id"] == "_design/d"
    moved = await wire("GET", "/db/_design%2fd")
    assert (moved.status, moved.headers["location"]) == (301, f"{wire.running.url}/db/_design/d")
    assert (await wire("GET", "/db/_design/d")).json["_id"] == "_design/d"
    assert (await wire("PUT", "/db/_design/d/att?rev=1-x", b"x")).status == 409
    assert (await wire("GET", "/db/_design/d/_view/v")).json["error"] == "not_implemented"


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("_design%2Fr/a%20b/%C3%A4", "_design/r/a%20b/%C3%A4"),
        ("_design%2Fa%2Fb%23c%25d", "_design/a%2Fb%23c%25d"),
        ("_design%2fx?revs=true&open_revs=all", "_design/x?revs=true&open_revs=all"),
        ("_design%2Fx/y%0D%0AX:%20y?a%0D%0A=%22%26", "_design/x/y%0D%0AX:%20y?a%0D%0A=%22%26"),
        ("_design%2F", "_design/"),
    ],
)
async def test_a_redirect_is_escaped_as_what_was_asked_for(wire: Wire, target: str, location: str) -> None:
    moved = await wire("GET", f"/db/{target}")
    assert (moved.status, moved.headers["location"]) == (301, f"{wire.running.url}/db/{location}")


async def test_functions_of_what_is_no_design_document_are_not_found(wire: Wire) -> None:
    rev = (await wire("PUT", "/db/_design/gone", {})).json["rev"]
    await wire("DELETE", f"/db/_design/gone?rev={rev}")
    for name, reason in (("none", "missing"), ("gone", "deleted")):
        for function in ("_view/v", "_info", "_show/x/y", "_update/x", "_rewrite"):
            answer = await wire("GET", f"/db/_design/{name}/{function}")
            assert (answer.status, answer.json) == (404, {"error": "not_found", "reason": reason})


async def test_what_the_endpoint_has_not_is_no_document(wire: Wire) -> None:
    for path in ("_purge", "_shards/x", "_explain", "_view_cleanup", "_purged_infos_limit", "_partition/a/_all_docs"):
        for method in ("GET", "POST", "PUT"):
            answer = await wire(method, f"/db/{path}", None if method == "GET" else {})
            assert (answer.status, answer.json["error"]) == (501, "not_implemented")


async def test_numbers_and_texts_come_back_as_they_went(wire: Wire) -> None:
    body = (
        '{"big":123456789012345678901234567890,"small":1e-7,"zero":0,"text":"ü ☃ \\u0000 😀","deep":[[[{"a":null}]]]}'
    )
    await wire("PUT", "/db/x", body)
    got = await wire("GET", "/db/x")
    assert b'"big":123456789012345678901234567890,' in got.body
    members = got.json
    assert {k: v for k, v in members.items() if k[0] != "_"} == json.loads(body)
    assert list(members)[2:] == list(json.loads(body))


@pytest.mark.parametrize("query", ["open_revs=all&rev=abc", "rev=&open_revs=all", f"open_revs={revs(A)}&rev=1"])
async def test_a_revision_that_is_none_is_refused_beside_others_too(wire: Wire, query: str) -> None:
    answer = await wire("GET", f"/db/conflict?{query}")
    assert (answer.status, answer.json) == (400, {"error": "bad_request", "reason": "Invalid rev format"})


async def test_generations_are_as_large_as_they_like(wire: Wire) -> None:
    far = "12345678901234567890-" + "e" * 32
    assert (await wire("GET", f"/db/conflict?rev={far}")).json == {"error": "not_found", "reason": "missing"}
    accept = {"Accept": "application/json"}
    assert (await wire("GET", f"/db/conflict?open_revs={revs(far)}", None, accept)).json == [{"missing": far}]
    assert (await wire("POST", "/db/_revs_diff", {"conflict": [far]})).json["conflict"]["missing"] == [far]
    assert (await wire("DELETE", f"/db/conflict?rev={far}")).status == 409
    doc = {"_id": "far", "_rev": far, "_attachments": {"a": {"data": "aGk="}}}
    assert (await wire("POST", "/db/_bulk_docs", {"new_edits": False, "docs": [doc]})).json == []
    read = (await wire("GET", "/db/far?revs=true")).json
    assert (read["_rev"], read["_revisions"]["start"]) == (far, 12345678901234567890)
    assert read["_attachments"]["a"]["revpos"] == 12345678901234567890
    edited = await wire("PUT", f"/db/far?rev={far}", {})
    assert edited.json["rev"].startswith("12345678901234567891-")


async def test_zeros_without_a_sign(wire: Wire) -> None:
    """As CouchDB 3.5 gives them out, under the revisions that it makes."""
    text = '{"a":-0.0,"b":-0,"c":0.0,"d":[-0.0], "e":-0e0,"f":1.0,"g":-1e-400}'
    headers = {"Content-Type": "application/json"}
    assert (await wire("PUT", "/db/z", text, headers)).json["rev"] == "1-ab90b2de0ec81671749db91c242ed5f5"
    assert (await wire("GET", "/db/z")).body.endswith(b'"a":0.0,"b":0,"c":0.0,"d":[0.0],"e":0.0,"f":1.0,"g":0.0}\n')


async def test_bodies_that_are_said_to_be_as_they_are(wire: Wire) -> None:
    for path, coding, status in (("/db/i", "identity", 201), ("/db/u", "Identity", 415), ("/db/v", "br", 415)):
        assert (await wire("PUT", path, {}, {"Content-Encoding": coding})).status == status
