"""The server and the database as a client finds them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from aiohttp import web

from proxy.config.model import Source
from proxy.core.endpoints import Kind
from proxy.exchange import Exchange
from proxy.identify import Principal
from proxy.reading import info
from proxy.upstream import Upstream
from tests.reading.couch import Couch, serving
from tests.reading.served import PLAIN, Front, Handlers, front, profile

NAMES = ["clinic-audit", "clinic-phone", "lab-phone"]


async def root(exchange: Exchange) -> web.StreamResponse:
    return await info.get_root(exchange, exchange.view.upstream, exchange.view.principal)


async def uuids(exchange: Exchange) -> web.StreamResponse:
    return info.get_uuids(exchange)


async def all_dbs(exchange: Exchange) -> web.StreamResponse:
    return info.get_all_dbs(exchange, NAMES)


async def up(exchange: Exchange) -> web.StreamResponse:
    return await info.get_up(exchange, [exchange.view.upstream])


async def database(exchange: Exchange) -> web.StreamResponse:
    handlers = {"PUT": info.put_database, "DELETE": info.delete_database}
    return await handlers.get(exchange.method, info.get_database)(exchange)


HANDLERS: Handlers = {
    Kind.ROOT: root,
    Kind.UP: up,
    Kind.UUIDS: uuids,
    Kind.ALL_DBS: all_dbs,
    Kind.DATABASE: database,
    Kind.SECURITY: info.get_security,
    Kind.REVS_LIMIT: info.get_revs_limit,
    Kind.ENSURE_FULL_COMMIT: info.ensure_full_commit,
}


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    async with serving(Couch()) as couch:
        yield couch


@pytest.fixture
async def ann(couch: Couch) -> AsyncIterator[Front]:
    async with front(couch, HANDLERS) as ann:
        yield ann


async def answering(couch: Couch, path: str, status: int, body: bytes = b"{}") -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body)

    couch.instead[path] = answer


async def test_the_welcome_has_a_uuid_for_each_user(ann: Front, couch: Couch) -> None:
    welcome = await ann.json("GET", "/")
    assert (welcome["couchdb"], welcome["version"]) == ("Welcome", "3.5.0")
    assert welcome["vendor"]["name"] == "couch-tailor"
    assert re.fullmatch("[0-9a-f]{32}", welcome["uuid"])
    assert (await ann.json("GET", "/"))["uuid"] == welcome["uuid"]
    others = set()
    for user in ("bob", None):
        async with front(couch, HANDLERS, user=user) as other:
            others.add((await other.json("GET", "/"))["uuid"])
    assert len(others | {welcome["uuid"]}) == 3


async def test_the_welcome_of_another_kind_of_server_is_completed(ann: Front, couch: Couch) -> None:
    await answering(couch, "/", 200, b'{"express-pouchdb":"Welcome!","version":"4.2.0","uuid":"u"}')
    welcome = await ann.json("GET", "/")
    assert (welcome["couchdb"], welcome["version"]) == ("Welcome", "4.2.0")
    await answering(couch, "/", 200, b"[]")
    assert (await ann.error("GET", "/"))[0] == 502


async def test_a_database_that_hides_documents_does_not_count_them(ann: Front) -> None:
    found = await ann.json("GET", "/db-phone")
    assert found == {
        "db_name": "db-phone",
        "purge_seq": "0",
        "update_seq": ann.view.tokens.encode("55-g1AAAACbeJz"),
        "instance_start_time": "1795376175",
        "disk_format_version": 8,
        "compact_running": False,
        "props": {},
        "cluster": {"q": 2, "n": 1, "w": 1, "r": 1},
    }
    assert "g1AAAACbeJz" not in found["update_seq"].split("-")[0]
    assert (await ann.raw("HEAD", "/db-phone"))[0] == 200


async def test_a_database_that_hides_nothing_counts(couch: Couch) -> None:
    async with front(couch, HANDLERS, profile(PLAIN, design_docs=True)) as ann:
        found = await ann.json("GET", "/db-phone")
    assert (found["doc_count"], found["doc_del_count"], found["sizes"]["external"]) == (39, 2, 9529)


async def test_sequences_that_are_numbers(ann: Front, couch: Couch) -> None:
    await answering(couch, "/db", 200, b'{"update_seq":4,"purge_seq":0,"instance_start_time":"7"}')
    found = await ann.json("GET", "/db-phone")
    assert found["purge_seq"] == 0
    assert ann.view.tokens.decode(found["update_seq"]) == 4


async def test_databases_are_neither_made_nor_deleted(ann: Front, couch: Couch) -> None:
    exists = "The database could not be created, the file already exists."
    assert await ann.error("PUT", "/db-phone") == (412, "file_exists", exists)
    assert (await ann.error("DELETE", "/db-phone"))[:2] == (403, "forbidden")
    assert couch.requests == []


async def test_a_database_that_the_source_does_not_have(ann: Front, couch: Couch) -> None:
    await answering(couch, "/db", 404, b'{"error":"not_found","reason":"Database does not exist."}')
    assert await ann.error("GET", "/db-phone") == (404, "not_found", "Database does not exist.")


async def test_settings(ann: Front, couch: Couch) -> None:
    nobody: dict[str, list[str]] = {"names": [], "roles": []}
    assert await ann.json("GET", "/db-phone/_security") == {"admins": nobody, "members": nobody}
    assert await ann.json("GET", "/db-phone/_revs_limit") == 777
    await answering(couch, "/db/_revs_limit", 404, b'{"error":"not_found","reason":"missing"}')
    assert await ann.json("GET", "/db-phone/_revs_limit") == 1000
    await answering(couch, "/db/_revs_limit", 401, b'{"error":"unauthorized","reason":"No."}')
    assert (await ann.error("GET", "/db-phone/_revs_limit"))[0] == 401


async def test_a_commit_repeats_the_start_time_of_the_database(ann: Front, couch: Couch) -> None:
    started = (await ann.json("GET", "/db-phone"))["instance_start_time"]
    expected = {"ok": True, "instance_start_time": started}
    assert await ann.json("POST", "/db-phone/_ensure_full_commit", {}) == expected
    assert ("POST", "/db/_ensure_full_commit", None) in couch.requests
    for status in (404, 405):
        await answering(couch, "/db/_ensure_full_commit", status, b'{"error":"not_found","reason":"missing"}')
        assert await ann.json("POST", "/db-phone/_ensure_full_commit") == expected
    await answering(couch, "/db/_ensure_full_commit", 403, b'{"error":"forbidden","reason":"No."}')
    assert (await ann.error("POST", "/db-phone/_ensure_full_commit"))[0] == 403


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"status":"ok","seeds":{}}', (200, "ok")),
        (404, b'{"status":"maintenance_mode"}', (404, "maintenance_mode")),
        (404, b'{"status":"secret plans"}', (404, "maintenance_mode")),
        (404, b'{"error":"not_found","reason":"missing"}', (200, "ok")),
        (401, b'{"error":"unauthorized","reason":"x"}', (200, "ok")),
        (500, b"oops", (503, "unavailable")),
    ],
)
async def test_up_tells_whether_the_source_answers(
    ann: Front, couch: Couch, status: int, body: bytes, expected: tuple[int, str]
) -> None:
    await answering(couch, "/_up", status, body)
    found, text, _ = await ann.raw("GET", "/_up")
    assert (found, text) == (expected[0], b'{"status":"%b"}\n' % expected[1].encode())


async def test_up_without_a_source(couch: Couch) -> None:
    gone = Upstream(Source("gone", "http://127.0.0.1:1"))

    async def both(exchange: Exchange) -> web.StreamResponse:
        return await info.get_up(exchange, [exchange.view.upstream, gone])

    async with front(couch, both) as ann:
        assert (await ann.raw("GET", "/_up"))[:2] == (503, b'{"status":"unavailable"}\n')
    gone.close()


async def test_the_log_says_once_why_a_source_is_not_up(
    ann: Front, couch: Couch, caplog: pytest.LogCaptureFixture
) -> None:
    for status in (500, 500, 200, 200, 503):
        await answering(couch, "/_up", status, b"{}")
        await ann.raw("GET", "/_up")
    assert [record.getMessage() for record in caplog.records if record.name == "couch_tailor.info"] == [
        "sources.main is not up: it answered 500",
        "sources.main is up again",
        "sources.main is not up: it answered 503",
    ]


@pytest.mark.parametrize("auth", ["service", "client"])
async def test_up_asks_for_the_account_now_and_then(
    couch: Couch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, auth: Literal["service", "client"]
) -> None:
    upstream = Upstream(Source("main", couch.url, auth, "tailor", "thread"))
    answers: list[tuple[int, bytes]] = []

    async def asked(exchange: Exchange) -> web.StreamResponse:
        return await info.get_up(exchange, [upstream])

    async with front(couch, asked) as ann:
        for refuses in (True, False):
            body = b'{"error":"unauthorized","reason":"Name or password is incorrect."}'
            await answering(couch, "/_session", 401 if refuses else 200, body if refuses else b"{}")
            monkeypatch.setattr(info, "_ACCOUNT_SECONDS", 3600.0)
            info._ACCOUNTS.clear()
            answers += [(await ann.raw("GET", "/_up"))[:2] for _ in range(3)]
    upstream.close()
    well, ill = (200, b'{"status":"ok"}\n'), (503, b'{"status":"unavailable"}\n')
    told = [record.getMessage() for record in caplog.records if record.name == "couch_tailor.info"]
    if auth == "client":
        assert (answers, told) == ([well] * 6, [])
        return
    assert answers == [ill] * 3 + [well] * 3
    assert [path for _, path, _ in couch.requests].count("/_session") == 2
    assert told == [
        "sources.main is not up: The source (GET /_session) refuses the proxy itself (401 unauthorized: Name or "
        "password is incorrect.); check the account of sources.main: its name, its secret, and what it may do.",
        "sources.main is up again",
    ]


async def test_an_account_that_nobody_answers_for(couch: Couch, caplog: pytest.LogCaptureFixture) -> None:
    upstream = Upstream(Source("main", couch.url, "service", "tailor", "thread"))

    async def asked(exchange: Exchange) -> web.StreamResponse:
        return await info.get_up(exchange, [upstream])

    async with front(couch, asked) as ann:
        await answering(couch, "/_session", 500, b"oops")
        assert [(await ann.raw("GET", "/_up"))[0] for _ in range(2)] == [503, 503]
        await answering(couch, "/_up", 503)
        assert (await ann.raw("GET", "/_up"))[0] == 503
    upstream.close()
    assert [record.getMessage() for record in caplog.records if record.name == "couch_tailor.info"] == [
        "sources.main is not up: The source (GET /_session) answered 500 without saying why.",
        "sources.main is not up: it answered 503",
    ]


async def test_uuids(ann: Front) -> None:
    assert len((await ann.json("GET", "/_uuids"))["uuids"]) == 1
    found = (await ann.json("GET", "/_uuids?count=1000"))["uuids"]
    assert len(set(found)) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in found)
    assert (await ann.raw("GET", "/_uuids"))[2]["Cache-Control"] == "no-cache"
    assert await ann.error("GET", "/_uuids?count=1001") == (400, "bad_request", "count parameter too large")
    for count in ("x", "-1", ""):
        reason = "count must be a positive integer"
        assert await ann.error("GET", f"/_uuids?count={count}") == (400, "bad_request", reason)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", NAMES),
        ("descending=true&limit=2", NAMES[:0:-1]),
        ("startkey=%22clinic-b%22", NAMES[1:]),
        ("startkey=%22m%22&endkey=%22clinic-b%22&descending=true", NAMES[:0:-1]),
        ("skip=1&limit=1", NAMES[1:2]),
        ("key=%22lab-phone%22", NAMES[2:]),
        ("endkey=%22clinic-phone%22", NAMES[:2]),
    ],
)
async def test_all_dbs_lists_what_the_client_may_use(ann: Front, query: str, expected: list[str]) -> None:
    assert await ann.json("GET", f"/_all_dbs?{query}") == expected


async def test_the_source_is_asked_with_the_clients_headers(couch: Couch) -> None:
    asked = []

    async def look(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization"))
        return couch.json({})

    couch.instead["/"] = look

    async def as_bob(exchange: Exchange) -> web.StreamResponse:
        bob = Principal("bob", frozenset(), {"Authorization": "Basic Ym9i"})
        return await info.get_root(exchange, exchange.view.upstream, bob)

    async with front(couch, as_bob) as ann:
        await ann.json("GET", "/", headers={"Authorization": "Basic other"})
    assert asked == ["Basic Ym9i"]


@pytest.mark.parametrize("body", [b"{}", b'{"error":"x","reason":"y"}', b"[]", b'{"ok":true}', b"1"])
async def test_what_no_couchdb_says_of_a_database_is_none(ann: Front, couch: Couch, body: bytes) -> None:
    await answering(couch, "/db", 200, body)
    for method, path in (("GET", "/db-phone"), ("POST", "/db-phone/_ensure_full_commit")):
        status, error, _ = await ann.error(method, path)
        assert (status, error) == (502, "bad_gateway")
