"""`_users` over HTTP, as CouchDB 3.5 answers with its defaults: for administrators, whoever else asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.endpoint.http_client import Wire, serving

USERS = {"ann": ("ann's", ("nurse",)), "bob": ("bob's", ())}
ANN = "/_users/org.couchdb.user:ann"
NEW = "/_users/org.couchdb.user:new"
NOBODY = (401, b'{"error":"unauthorized","reason":"You are not authorized to access this db."}\n')
USER = (403, b'{"error":"forbidden","reason":"You are not allowed to access this db."}\n')
SYSTEM_ROLES = "No system roles (starting with underscore) in users db."
NO_ADMIN = (401, b'{"error":"unauthorized","reason":"You are not a server admin."}\n')


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving(users=USERS) as wire:
        yield wire


def user(name: str, roles: list[str] | None = None, **members: Any) -> dict[str, Any]:
    return {"_id": f"org.couchdb.user:{name}", "name": name, "type": "user", "roles": roles or [], **members}


def others(wire: Wire) -> list[tuple[Wire, tuple[int, bytes]]]:
    """All who are no administrators, and what they are told."""
    return [(wire.anonymous(), NOBODY), (wire.as_user("ann", "ann's"), USER), (wire.as_user("bob", "bob's"), USER)]


async def test_documents_are_for_administrators(wire: Wire) -> None:
    """Their own ones too, and nobody signs up."""
    ann = (await wire("GET", ANN)).json
    requests: list[tuple[str, str, Any]] = [
        ("GET", ANN, None),
        ("GET", f"{ANN}?rev={ann['_rev']}", None),
        ("GET", f"{ANN}?open_revs=all", None),
        ("GET", "/_users/org.couchdb.user:nobody", None),
        ("PUT", ANN, {**ann, "password": "new"}),
        ("PUT", ANN, {**ann, "roles": ["doctor"]}),
        ("PUT", NEW, user("new", password="new")),
        ("POST", "/_users", user("new", password="new")),
        ("DELETE", f"{ANN}?rev={ann['_rev']}", None),
        ("POST", "/_users/_bulk_docs", {"docs": [{**ann, "password": "new"}, user("new", password="new")]}),
        ("POST", "/_users/_bulk_docs", {"docs": [user("new", _rev="1-a")], "new_edits": False}),
        ("POST", "/_users/_bulk_get", {"docs": [{"id": ann["_id"]}]}),
        ("POST", "/_users/_find", {"selector": {}}),
        ("GET", "/_users", None),
        ("GET", "/_users/_design_docs", None),
        ("GET", "/_users/_security", None),
        ("PUT", "/_users/_security", {}),
    ]
    for asking, told in others(wire):
        for method, target, body in requests:
            answer = await asking(method, target, body)
            assert (answer.status, answer.body) == told, (method, target)
    assert (await wire("GET", ANN)).json == ann
    assert (await wire("GET", NEW)).status == 404


async def test_who_there_is_is_for_administrators(wire: Wire) -> None:
    requests = [
        ("GET", "_all_docs?limit=x"),
        ("POST", "_all_docs"),
        ("PUT", "_all_docs"),
        ("POST", "_all_docs/queries"),
        ("GET", "_changes?feed=bogus"),
        ("POST", "_changes"),
        ("DELETE", "_changes"),
        ("GET", "_changes/x"),
    ]
    for asking, _ in others(wire):
        for method, target in requests:
            answer = await asking(method, "/_users/" + target, None if method == "GET" else {})
            assert (answer.status, answer.body) == NO_ADMIN, (method, target)
    assert (await wire("GET", "/_users/_all_docs")).json["total_rows"] == 2
    assert len((await wire("GET", "/_users/_changes")).json["results"]) == 2


async def test_security_stays_as_it_is(wire: Wire) -> None:
    before = (await wire("GET", "/_users/_security")).body
    answer = await wire("PUT", "/_users/_security", {})
    told = b'{"error":"forbidden","reason":"You can\'t edit the security object of the user database."}\n'
    assert (answer.status, answer.body) == (403, told)
    assert (await wire("GET", "/_users/_security")).body == before


async def test_where_a_new_one_is(wire: Wire) -> None:
    made = await wire("PUT", NEW, user("new", password="new"))
    assert (made.status, made.headers["location"]) == (201, wire.running.url + NEW)


async def test_administrators_are_refused_single_documents(wire: Wire) -> None:
    ann = (await wire("GET", ANN)).json
    docs = [
        user("new", password="new"),
        {"_id": "org.couchdb.user:x", "type": "x"},
        {**ann, "_rev": "1-00000000000000000000000000000001", "type": "x"},
        {**ann, "roles": ["_admin"]},
    ]
    rows = (await wire("POST", "/_users/_bulk_docs", {"docs": docs})).json
    assert rows[0]["ok"] is True
    reasons = [None, "doc.type must be user", "Document update conflict.", SYSTEM_ROLES]
    assert [row.get("reason") for row in rows] == reasons
    assert [row.get("error") for row in rows] == [None, "forbidden", "conflict", "forbidden"]
    assert (await wire.as_user("new", "new")("GET", "/_session")).json["userCtx"]["name"] == "new"


async def test_replicated_documents_are_refused_too(wire: Wire) -> None:
    docs = [user("new", _rev="1-0000000000000000000000000000000a"), {**user("x"), "type": "x", "_rev": "1-0a"}]
    answer = await wire("POST", "/_users/_bulk_docs", {"docs": docs, "new_edits": False})
    assert answer.status == 201
    assert answer.json == [
        {"id": "org.couchdb.user:x", "rev": "1-0a", "error": "forbidden", "reason": "doc.type must be user"}
    ]
    assert (await wire("GET", NEW)).json["_rev"] == "1-0000000000000000000000000000000a"


async def test_a_password_that_is_no_string_refuses_the_request(wire: Wire) -> None:
    docs = [user("new", password="new"), user("x", password=5)]
    answer = await wire("POST", "/_users/_bulk_docs", {"docs": docs})
    told = b'{"error":"forbidden","reason":"Password value of \'5\' is invalid."}\n'
    assert (answer.status, answer.body) == (403, told)
    assert (await wire("GET", NEW)).status == 404
