"""`_local` documents: one client's are not another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from proxy.core.endpoints import Kind
from proxy.exchange import Exchange
from proxy.reading.listing import ListOptions
from proxy.reading.local import client_id, delete_local, get_local, get_local_docs, put_local, select, source_id
from tests.reading.couch import Couch, serving
from tests.reading.served import OWN, Front, Handlers, front, profile

CP = "/db-phone/_local/cp1"


async def local(exchange: Exchange) -> web.StreamResponse:
    handlers = {"GET": get_local, "HEAD": get_local, "PUT": put_local, "DELETE": delete_local}
    return await handlers[exchange.method](exchange)


HANDLERS: Handlers = {Kind.LOCAL: local, Kind.LOCAL_DOCS: get_local_docs}
LIST = "/db-phone/_local_docs"


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    async with serving(Couch()) as couch:
        yield couch


@pytest.fixture
async def ann(couch: Couch) -> AsyncIterator[Front]:
    async with front(couch, HANDLERS) as ann:
        yield ann


async def test_a_checkpoint_is_stored_under_the_clients_own_prefix(ann: Front, couch: Couch) -> None:
    status, text, headers = await ann.raw("PUT", CP, {"_id": "_local/cp1", "last_seq": "12-x"})
    assert (status, text) == (201, b'{"ok":true,"id":"_local/cp1","rev":"0-1"}\n')
    assert headers["Location"] == f"{ann.url}/db-phone/_local%2Fcp1"
    assert headers["ETag"] == '"LOCALTAG"'
    [(stored, doc)] = couch.local.items()
    assert stored == doc["_id"] == f"_local/{ann.view.local_prefix}cp1"
    assert await ann.json("GET", CP) == {"last_seq": "12-x", "_id": "_local/cp1", "_rev": "0-1"}


async def test_clients_do_not_see_each_others(ann: Front, couch: Couch) -> None:
    await ann.json("PUT", CP, {"whose": "ann's"})
    async with front(couch, HANDLERS, user="bob") as bob:
        assert await bob.error("GET", CP) == (404, "not_found", "missing")
        await bob.json("PUT", CP, {"whose": "bob's"})
        theirs = f"/db-phone/_local/{ann.view.local_prefix}cp1"
        assert (await bob.error("GET", theirs))[0] == 404
    assert (await ann.json("GET", CP))["whose"] == "ann's"
    assert len(couch.local) == 2


async def test_deleting_and_what_is_missing(ann: Front) -> None:
    await ann.json("PUT", CP, {})
    assert await ann.json("DELETE", f"{CP}?rev=0-1") == {"ok": True, "id": "_local/cp1", "rev": "0-0"}
    for method in ("GET", "DELETE"):
        assert await ann.error(method, CP) == (404, "not_found", "missing")


async def test_head_and_etag(ann: Front) -> None:
    await ann.json("PUT", CP, {"x": 1})
    _, text, _ = await ann.raw("GET", CP)
    status, none, headers = await ann.raw("HEAD", CP)
    assert (status, none, headers["Content-Length"], headers["ETag"]) == (200, b"", str(len(text)), '"LOCALTAG"')
    status, none, headers = await ann.raw("GET", CP, headers={"If-None-Match": '"LOCALTAG"'})
    assert (status, none, headers["ETag"]) == (304, b"", '"LOCALTAG"')


async def test_what_is_not_an_object_is_refused_here(ann: Front, couch: Couch) -> None:
    assert await ann.error("PUT", CP, b"[1]") == (400, "bad_request", "Document must be a JSON object")
    assert await ann.error("PUT", CP, b"{") == (400, "bad_request", "invalid UTF-8 JSON")
    assert couch.requests == []


async def test_only_parameters_that_matter_reach_the_source(ann: Front, couch: Couch) -> None:
    await ann.raw("PUT", f"{CP}?rev=0-1&new_edits=false&batch=ok", {})
    await ann.raw("GET", f"{CP}?open_revs=all&rev=0-9&_nonce=1")
    assert [path.partition("?")[2] for _, path, _ in couch.requests] == ["rev=0-1&batch=ok", ""]


@pytest.mark.parametrize("name", ["a/b", "ünï ☃", "..x", "%2F", "x?y#z"])
async def test_awkward_names_keep_apart(ann: Front, couch: Couch, name: str) -> None:
    path = f"/db-phone/_local/{quote(name, safe='')}"
    doc: Any = await ann.json("PUT", path, {})
    assert doc["id"] == f"_local/{name}"
    assert couch.requests[0][1] == f"/db/_local/{ann.view.local_prefix}{quote(name, safe='')}"


async def test_ids_translate_both_ways(ann: Front) -> None:
    view = ann.view
    assert client_id(view, source_id(view, "_local/x/y")) == "_local/x/y"
    assert client_id(view, "_local/other") is None
    assert client_id(view, "_local/tailor-000000000000000000000000-x") is None


# ---- _local_docs


async def test_only_the_clients_own_are_listed(ann: Front, couch: Couch) -> None:
    for name in ("b", "a", "é"):
        await ann.json("PUT", f"/db-phone/_local/{quote(name)}", {"n": name})
    couch.local["_local/somebody-elses"] = {"_id": "_local/somebody-elses", "_rev": "0-1"}
    async with front(couch, HANDLERS, user="bob") as bob:
        await bob.json("PUT", CP, {})
        assert [row["id"] for row in (await bob.json("GET", LIST))["rows"]] == ["_local/cp1"]
    status, text, _ = await ann.raw("GET", LIST)
    assert status == 200
    assert (
        text
        == (
            '{"total_rows":null,"offset":null,"rows":[\r\n'
            '{"id":"_local/a","key":"_local/a","value":{"rev":"0-1"}},\r\n'
            '{"id":"_local/b","key":"_local/b","value":{"rev":"0-1"}},\r\n'
            '{"id":"_local/é","key":"_local/é","value":{"rev":"0-1"}}\r\n]}\n'
        ).encode()
    )
    with_docs = await ann.json("POST", f"{LIST}?include_docs=true", {"keys": ["_local/b", "nosuch", "_local/zz"]})
    assert with_docs["rows"] == [
        {
            "id": "_local/b",
            "key": "_local/b",
            "value": {"rev": "0-1"},
            "doc": {"n": "b", "_id": "_local/b", "_rev": "0-1"},
        },
        {"key": "_local/zz", "error": "not_found"},
    ]


async def test_profiles_decide_whether_they_are_listed(couch: Couch) -> None:
    async with front(couch, HANDLERS, profile(OWN, all_docs=False)) as ann:
        assert (await ann.error("GET", LIST))[:2] == (403, "forbidden")


async def test_a_source_without_the_list(ann: Front, couch: Couch) -> None:
    async def missing(request: web.BaseRequest) -> web.StreamResponse:
        return couch.json({"error": "not_found", "reason": "missing"}, 404)

    async def lie(request: web.BaseRequest) -> web.StreamResponse:
        return couch.json({"rows": [1]})

    couch.instead["/db/_local_docs"] = missing
    assert await ann.error("GET", LIST) == (404, "not_found", "missing")
    couch.instead["/db/_local_docs"] = lie
    assert (await ann.error("GET", LIST))[0] == 502


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ListOptions(), "abcd"),
        (ListOptions(limit=2), "ab"),
        (ListOptions(skip=1, limit=1), "b"),
        (ListOptions(descending=True, limit=1), "d"),
        (ListOptions(start="_local/b", has_start=True), "bcd"),
        (ListOptions(start="_local/b", has_start=True, end="_local/c", has_end=True), "bc"),
        (ListOptions(start="_local/b", has_start=True, end="_local/c", has_end=True, inclusive_end=False), "b"),
        (ListOptions(start="_local/c", has_start=True, end="_local/b", has_end=True, descending=True), "cb"),
        (ListOptions(start=1, has_start=True), "abcd"),
    ],
)
def test_selecting_rows(options: ListOptions, expected: str) -> None:
    rows: Any = {f"_local/{name}": name for name in "abcd"}
    assert "".join(select(rows, options)) == expected  # type: ignore[arg-type]  # rows stand for themselves
