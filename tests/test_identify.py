"""Who is asking, and which profile answers: sessions, credentials, roles, headers, and everything that is denied."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from base64 import b64encode
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.claim import claim, names_in
from proxy.errors import BadRequest
from tests.compatibility.sources import Asked, Forward, Given, as_admin, world
from tests.support.inprocess import ADMIN, PROXY_SECRET, Site, basic, profile, site
from tests.support.lenses import OwnFacility, WithoutSecret
from tests.support.sockets import connected

DOCS = [{"_id": "one", "facility": "f1", "secret": "s"}, {"_id": "two", "facility": "f2", "secret": "s"}]
PHONE = profile("phone", OwnFacility(), WithoutSecret(), roles=frozenset(["nurse"]), by_role=True)
AUDIT = profile("audit", WithoutSecret(), roles=frozenset(["auditor"]), by_role=True)
KIOSK = profile(
    "kiosk", OwnFacility(), suffix=None, header=("x-device", "kiosk"), roles=frozenset(["nurse", "auditor"])
)


async def seen(served: Site, database: str, user: str, **headers: str) -> Any:
    answer = await served.ask("GET", f"/{database}/_all_docs", user=(user, user), headers=headers)
    return [row["id"] for row in answer.json["rows"]] if answer.status == 200 else answer.status


async def test_a_profile_is_chosen_by_name_role_or_header() -> None:
    async with site(KIOSK, PHONE, AUDIT, docs=DOCS) as served:
        assert await seen(served, "clinic-phone", "ann") == ["one"]
        assert await seen(served, "clinic-phone", "bob") == ["two"]
        assert await seen(served, "clinic", "bob") == ["two"]
        assert await seen(served, "clinic", "eva") == ["one", "two"]
        assert await seen(served, "clinic", "eva", **{"X-Device": "kiosk"}) == []


async def test_no_match_is_denied() -> None:
    async with site(PHONE, AUDIT, docs=DOCS) as served:
        assert await seen(served, "clinic-audit", "ann") == 403
        assert await seen(served, "clinic-phone", "eva") == 403
        assert await seen(served, "clinic-nosuch", "ann") == 404
        assert await seen(served, "_users", "ann") == 403
    async with site(profile("phone", OwnFacility()), docs=DOCS) as served:
        assert await seen(served, "clinic", "ann") == 403


async def test_wrong_and_missing_credentials_are_401() -> None:
    async with site(PHONE, docs=DOCS) as served:
        for user in (("ann", "wrong"), ("nobody", "x"), None):
            for path in ("/clinic-phone/one", "/clinic-phone", "/", "/_all_dbs"):
                answer = await served.ask("GET", path, user=user)
                assert (answer.status, answer.json["error"]) == (401, "unauthorized"), (user, path)


async def test_anonymous_only_if_configured() -> None:
    public = profile("public", WithoutSecret())
    async with site(public, PHONE, docs=DOCS, anonymous=True) as served:
        assert (await served.ask("GET", "/clinic-public/one", user=None)).json.keys() == {"_id", "_rev", "facility"}
        assert (await served.ask("GET", "/clinic-phone/one", user=None)).status == 403


async def test_a_session_through_the_proxy() -> None:
    async with site(PHONE, docs=DOCS) as served:
        login = await served.ask("POST", "/_session", {"name": "ann", "password": "ann"}, user=None)
        assert (login.status, login.json["name"]) == (200, "ann")
        cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0]}
        who = await served.ask("GET", "/_session", user=None, headers=cookie)
        assert who.json["userCtx"]["name"] == "ann"
        assert (await served.ask("GET", "/clinic-phone/one", user=None, headers=cookie)).status == 200
        assert (await served.ask("GET", "/clinic-phone/two", user=None, headers=cookie)).status == 404
        # a valid cookie beats Basic credentials, as in CouchDB
        assert (await served.ask("GET", "/clinic-phone/one", user=("bob", "bob"), headers=cookie)).status == 200
        bad = await served.ask("POST", "/_session", {"name": "ann", "password": "no"}, user=None)
        assert bad.status == 401
        out = await served.ask("DELETE", "/_session", user=None, headers=cookie)
        assert out.status == 200
        assert out.headers["Set-Cookie"].startswith("AuthSession=;")


async def test_a_login_form_as_the_replicator_sends_it() -> None:
    async with site(PHONE, docs=DOCS) as served:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        login = await served.ask("POST", "/_session", data=b"name=ann&password=ann", user=None, headers=form)
        assert login.status == 200


async def test_forged_identity_headers_are_worth_nothing() -> None:
    forged = {
        "X-Auth-CouchDB-UserName": "admin",
        "X-Auth-CouchDB-Roles": "_admin,facility:f2",
        "X-Auth-CouchDB-Token": "x",
        "X-Forwarded-For": "127.0.0.1",
    }
    async with site(PHONE, AUDIT, docs=DOCS) as served:
        assert (await served.ask("GET", "/clinic-phone/one", user=None, headers=forged)).status == 401
        assert await seen(served, "clinic-phone", "ann", **forged) == ["one"]


async def test_towards_the_source_by_proxy_authentication() -> None:
    signed = {"auth": "proxy", "username": "tailor", "roles": ("_admin",), "proxy_secret": PROXY_SECRET}
    async with site(PHONE, docs=DOCS, source=signed) as served:
        assert await seen(served, "clinic-phone", "ann") == ["one"]
    wrong = {**signed, "proxy_secret": "not the source's"}
    for refused in (wrong, {"auth": "proxy", "proxy_secret": "not the source's"}):
        async with site(PHONE, docs=DOCS, source=refused) as served:
            await served.at_source("PUT", "/clinic/_security", {"members": {"names": ["ann"]}})
            assert await seen(served, "clinic-phone", "ann") == 502


async def test_towards_the_source_with_the_clients_own_credentials() -> None:
    async with site(PHONE, docs=DOCS, source={"auth": "client"}) as served:
        await served.at_source("PUT", "/clinic/_security", {"members": {"roles": ["nurse"]}, "admins": {}})
        assert await seen(served, "clinic-phone", "ann") == ["one"]
        await served.at_source("PUT", "/clinic/_security", {"members": {"roles": ["doctor"]}, "admins": {}})
        assert await seen(served, "clinic-phone", "ann") in (401, 403)


async def test_the_list_of_databases_is_the_clients() -> None:
    async with site(PHONE, AUDIT, docs=DOCS) as served:
        assert (await served.ask("GET", "/_all_dbs")).json == ["clinic", "clinic-phone"]
        assert (await served.ask("GET", "/_all_dbs", user=("eva", "eva"))).json == ["clinic", "clinic-audit"]


async def test_so_are_those_whose_plain_name_chooses_by_role_or_header() -> None:
    by_role = profile("role", suffix=None, roles=frozenset(["nurse"]), by_role=True)
    by_header = profile("header", suffix=None, header=("x-app", "audit"))
    async with site(by_role, by_header, docs=DOCS) as served:
        for user, headers, expected in (("ann", {}, True), ("eva", {}, False), ("eva", {"X-App": "audit"}, True)):
            listed = await served.ask("GET", "/_all_dbs", user=(user, user), headers=headers)
            opened = await served.ask("GET", "/clinic", user=(user, user), headers=headers)
            assert (listed.json, opened.status) == ((["clinic"], 200) if expected else ([], 403))


async def test_each_client_has_a_server_uuid_of_its_own() -> None:
    async with site(PHONE, docs=DOCS) as served:
        uuids = {user: (await served.ask("GET", "/", user=(user, user))).json["uuid"] for user in ("ann", "bob")}
        assert uuids["ann"] != uuids["bob"]
        assert (await served.at_source("GET", "/")).json["uuid"] not in uuids.values()
        assert (await served.ask("GET", "/")).json["uuid"] == uuids["ann"]


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"Cookie": "a=1; AuthSession=abc; b=2"}, {"Cookie": "AuthSession=abc"}),
        ({"Cookie": "AuthSession="}, {}),
        ({"Cookie": "XAuthSession=abc"}, {}),
        ({"Cookie": "AuthSession=first; AuthSession=second"}, {"Cookie": "AuthSession=first"}),
        ({"Cookie": "a=b, AuthSession = abc"}, {"Cookie": "AuthSession=abc"}),
        ({"Authorization": "Basic YTpi"}, {"Authorization": "Basic YTpi"}),
        ({"Authorization": "Bearer x"}, {}),
        ({}, {}),
    ],
)
def test_only_the_session_cookie_and_basic_credentials_count(headers: dict[str, str], kept: dict[str, str]) -> None:
    assert claim(CIMultiDict(headers)).headers == kept


def test_cookies_may_come_in_several_headers() -> None:
    headers = CIMultiDict([("Cookie", "a=1"), ("Cookie", "AuthSession=abc")])
    assert claim(headers).credentials == {"Cookie": "AuthSession=abc"}


def test_credentials_longer_than_any_are_refused() -> None:
    with pytest.raises(BadRequest):
        claim(CIMultiDict({"Authorization": "Basic " + "x" * 20_000}))


@pytest.mark.parametrize(
    ("forwarded", "behind_gateway", "address"),
    [
        ([], False, "10.0.0.9"),
        (["1.1.1.1"], False, "10.0.0.9"),
        ([], True, "10.0.0.9"),
        (["9.9.9.9, 1.1.1.1"], True, "1.1.1.1"),
        (["9.9.9.9", "2001:DB8::1"], True, "2001:db8::1"),
        (["9.9.9.9, evil\r\nX: y"], True, None),
    ],
)
def test_the_address_is_the_connections_or_what_a_gateway_says(
    forwarded: list[str], behind_gateway: bool, address: str | None
) -> None:
    headers = CIMultiDict([("X-Forwarded-For", each) for each in forwarded])
    assert claim(headers, "10.0.0.9", behind_gateway=behind_gateway).address == address


LOGINS = [
    b"name=tail%6fr&password=x",
    b"password=x;+name=tailor",
    b"username=tailor",
    b'{"name": "tailor", "password": "x"}',
    b'{"name": "t\\u0061ilor", "name": "ann", "password": "x"}',
    b'{"username": "tailor"}',
]


@pytest.mark.parametrize("body", LOGINS)
def test_all_that_could_be_a_name_in_a_login_is_found(body: bytes) -> None:
    assert b"tailor" in names_in(body)


@pytest.mark.parametrize(
    "body", [b"", b"name", b"[1]", b'{"name": 1}', b"\xff=\xff&%", b"[" * 60_000, b'{"a": {"name": "x"}}']
)
def test_what_is_no_login_has_no_name(body: bytes) -> None:
    assert [name for name in names_in(body) if name] == []


@pytest.mark.parametrize("auth", ["service", "cookie"])
async def test_nobody_gets_to_guess_the_password_of_the_proxys_own_account(auth: str) -> None:
    """CouchDB locks accounts that are guessed at, by the address that asks: for it, that is the proxy's."""
    sessions: list[Asked] = []

    async def note(asked: Asked, forward: Forward) -> Given:
        if asked.endpoint == "_session":
            sessions.append(asked)
        return await forward(asked)

    account = {"auth": auth, "username": ADMIN[0], "password": ADMIN[1]}
    name = ADMIN[0].encode()
    async with world(note, docs=DOCS, source=account) as served:
        assert (await served.ask("GET", "/clinic-phone/one")).status == 200
        sessions.clear()
        encoded = b64encode(name + b":guess").decode()
        for header in (f"Basic {encoded}", f"basic   {encoded}", "Basic " + encoded.rstrip("=")):
            for path in ("/_session", "/clinic-phone/one", "/"):
                answer = await served.ask("GET", path, user=None, headers={"Authorization": header})
                assert (answer.status, answer.json["error"]) == (401, "unauthorized"), (header, path)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await served.ask("POST", "/_session", data=b"name=%b&password=x" % name, user=None, headers=form)
        assert (answer.status, answer.json["reason"]) == (401, "Name or password is incorrect.")
        answer = await served.ask("POST", "/_session", {"name": ADMIN[0], "password": "x"}, user=None)
        assert answer.status == 401
        assert sessions == []


async def test_the_source_is_told_whose_wrong_passwords_to_count() -> None:
    seen: list[tuple[str, str | None]] = []

    async def note(asked: Asked, forward: Forward) -> Given:
        seen.append((asked.endpoint, asked.headers.get("X-Forwarded-For")))
        return await forward(asked)

    async with world(note, docs=DOCS) as served:
        await served.ask("GET", "/clinic-phone/one", headers={"X-Forwarded-For": "9.9.9.9"})
        await served.ask("POST", "/_session", {"name": "ann", "password": "no"}, user=None)
        assert ("_session", "127.0.0.1") in seen
        assert {told for endpoint, told in seen if endpoint == "_session"} == {"127.0.0.1"}
        assert {told for endpoint, told in seen if endpoint != "_session"} == {None}
    seen.clear()
    async with world(note, docs=DOCS, source={"auth": "client"}, trust_forwarded=True) as served:
        await served.ask("GET", "/clinic-phone/one", headers={"X-Forwarded-For": "9.9.9.9"})
        assert {told for _, told in seen[-2:]} == {"9.9.9.9"}


REFUSALS = [
    (401, {"error": "unauthorized", "reason": "Name or password is incorrect."}),
    (403, {"error": "forbidden", "reason": "You are not allowed to access this db."}),
    (403, {"error": "forbidden", "reason": "Account is temporarily locked due to multiple authentication failures"}),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
async def test_a_refusal_of_the_proxys_own_account_is_not_told_as_the_clients(
    caplog: pytest.LogCaptureFixture, status: int, body: dict[str, str]
) -> None:
    """A replicator takes 401 and 403 of a document for final: it would go on, and never send it again."""
    refuses = False

    async def refuse(asked: Asked, forward: Forward) -> Given:
        if refuses and asked.endpoint != "_session":
            return Given(status, json.dumps(body).encode())
        return await forward(asked)

    doc = {"_id": "new", "_rev": "1-a", "facility": "f1"}
    async with world(refuse, docs=DOCS) as served:
        assert (await served.ask("GET", "/clinic-phone/one")).status == 200
        refuses = True
        for method, path, sent in [
            ("GET", "/clinic-phone/one", None),
            ("GET", "/clinic-phone/_changes", None),
            ("GET", "/clinic-phone/_local/x", None),
            ("PUT", "/clinic-phone/_local/x", {}),
            ("POST", "/clinic-phone/_revs_diff", {"new": ["1-a"]}),
            ("POST", "/clinic-phone/_bulk_docs", {"docs": [doc], "new_edits": False}),
            ("POST", "/clinic-phone/_bulk_docs", {"docs": [{"facility": "f1"}]}),
            ("PUT", "/clinic-phone/new?new_edits=false", doc),
            ("PUT", "/clinic-phone/new", {"facility": "f1"}),
        ]:
            answer = await served.ask(method, path, sent)
            assert (answer.status, answer.json["error"]) == (502, "bad_gateway"), (method, path)
            assert body["reason"] not in answer.json["reason"]
            assert "unknown" not in answer.json["reason"], "it is known that nothing was stored"
    assert "check the account of sources.main" in caplog.text
    assert body["reason"] in caplog.text


async def test_what_validation_refuses_is_the_clients_to_hear() -> None:
    async def refuse(asked: Asked, forward: Forward) -> Given:
        if asked.method == "PUT" and asked.endpoint == "new":
            return Given(403, b'{"error": "forbidden", "reason": "ssn 123 is not right"}')
        return await forward(asked)

    async with world(refuse, docs=DOCS) as served:
        answer = await served.ask("PUT", "/clinic-phone/new", {"facility": "f1"})
        assert (answer.status, answer.json["reason"]) == (403, "The source's validation refused the document.")


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, b'{"error": "not_found", "reason": "missing"}', 502),
        (200, b'{"userCtx": {"name": "ann", "roles": 5}}', 502),
        (200, b'{"userCtx": {"name": "ann", "roles": "nurse"}}', 502),
        (200, b'{"userCtx": {"name": 5, "roles": []}}', 502),
        (200, b'{"userCtx": []}', 502),
        (200, b"[]", 502),
        (200, b'{"userCtx": {"name": "ann", "roles": ["%b"]}}' % (b"x" * 2**22), 502),
        (401, b"", 401),
        (503, b"", 502),
        (403, b'{"error": "forbidden", "reason": "Account is temporarily locked"}', 403),
    ],
)
async def test_a_session_that_is_none(status: int, body: bytes, told: int) -> None:
    async def answer(asked: Asked, forward: Forward) -> Given:
        return Given(status, body) if asked.endpoint == "_session" else await forward(asked)

    async with world(answer, docs=DOCS) as served:
        got = await served.ask("GET", "/clinic-phone/one")
        assert (got.status, got.json.keys()) == (told, {"error", "reason"})


async def test_a_session_that_does_not_end_is_not_read_for_ever() -> None:
    async def answer(asked: Asked, forward: Forward) -> Given:
        return Given(200, b'{"ok": true, "name": "%b"}' % (b"x" * 2**22)) if asked.method == "POST" else Given(200, b"")

    async with world(answer) as served:
        got = await served.ask("POST", "/_session", {"name": "ann", "password": "ann"}, user=None)
        assert (got.status, got.json["reason"]) == (502, "The source answered with more than 1048576 bytes.")


async def test_a_renewed_cookie_is_for_all_who_have_the_old_one() -> None:
    asked_with: list[str] = []

    async def renew(asked: Asked, forward: Forward) -> Given:
        if asked.endpoint != "_session":
            return await forward(asked)
        asked_with.append(asked.headers.get("Cookie", ""))
        said = {"userCtx": {"name": "ann", "roles": ["facility:f1", "nurse"]}}
        cookie = f"AuthSession=c{len(asked_with)}; Version=1; Path=/; HttpOnly"
        return Given(200, json.dumps(said).encode(), CIMultiDict({"Set-Cookie": cookie}))

    old = {"Cookie": "AuthSession=c0"}
    async with world(renew, docs=DOCS, session_ttl=3600.0) as served:
        for path in ("/clinic-phone/one", "/clinic-phone/one", "/clinic-phone", "/nosuch"):
            answer = await served.ask("GET", path, user=None, headers=old)
            assert answer.headers["Set-Cookie"].startswith("AuthSession=c1;"), path
        assert asked_with == ["AuthSession=c0"]
    asked_with.clear()
    async with world(renew, docs=DOCS, session_ttl=0.0) as served:
        feed = "/clinic-phone/_changes?feed=continuous&timeout=60000"
        async with served.session.get(served.proxy_url + feed, headers=old) as lines:
            for name in ("one", "three", "four"):
                if name != "one":
                    await served.put({"_id": name, "facility": "f1"})
                assert json.loads(await lines.content.readline())["id"] == name
    assert asked_with[:3] == ["AuthSession=c0", "AuthSession=c1", "AuthSession=c2"]


async def test_a_feed_goes_on_with_the_cookie_that_was_renewed() -> None:
    """Where the source is asked with it: the one that the feed began with ends while it lasts."""
    asked_with: list[str] = []

    async def renew(asked: Asked, forward: Forward) -> Given:
        cookie = asked.headers.get("Cookie", "")
        if asked.endpoint != "_session":
            asked_with.append(cookie)
            return await forward(as_admin(asked))
        said = {"userCtx": {"name": "ann", "roles": ["facility:f1", "nurse"]}}
        number = int(cookie.removeprefix("AuthSession=c")) + 1
        given = CIMultiDict({"Set-Cookie": f"AuthSession=c{number}; Version=1; Path=/; HttpOnly"})
        return Given(200, json.dumps(said).encode(), given)

    async with world(renew, docs=DOCS, session_ttl=0.0, source={}) as served:
        feed = "/clinic-phone/_changes?feed=continuous&timeout=60000"
        async with served.session.get(served.proxy_url + feed, headers={"Cookie": "AuthSession=c0"}) as lines:
            for name in ("one", "three", "four"):
                if name != "one":
                    await served.put({"_id": name, "facility": "f1"})
                assert json.loads(await lines.content.readline())["id"] == name
    assert asked_with[0] == "AuthSession=c0"
    assert asked_with[-1] in ("AuthSession=c2", "AuthSession=c3")


async def test_nobody_is_not_a_user_who_is_called_none() -> None:
    public = profile("public", WithoutSecret())
    async with site(public, docs=DOCS, anonymous=True) as served:
        user = {"_id": "org.couchdb.user:None", "name": "None", "password": "None", "roles": [], "type": "user"}
        assert (await served.at_source("PUT", "/_users/org.couchdb.user:None", user)).status == 201
        none = ("None", "None")
        await served.ask("PUT", "/clinic-public/_local/cp", {"seq": 5}, user=none)
        assert (await served.ask("GET", "/clinic-public/_local/cp", user=none)).json["seq"] == 5
        assert (await served.ask("GET", "/clinic-public/_local/cp", user=None)).status == 404
        assert (await served.ask("GET", "/clinic-public/_local_docs", user=None)).json["rows"] == []
        uuids = {(await served.ask("GET", "/", user=user)).json["uuid"] for user in (none, None)}
        assert len(uuids) == 2


async def test_a_browser_keeps_no_document_for_who_logs_in_next() -> None:
    """It would ask again with the revision as an ETag, whatever `Vary` says, and be told that nothing has changed."""
    whole = profile("whole")
    plain = profile("plain", roles=frozenset(["nurse"]), by_role=True)
    async with site(PHONE, whole, docs=DOCS) as served:
        got = await served.ask("GET", "/clinic-phone/one")
        assert got.headers["Cache-Control"] == "no-store"
        match = {"If-None-Match": got.headers["ETag"]}
        again = await served.ask("GET", "/clinic-phone/one", headers=match)
        assert (again.status, again.headers["Cache-Control"]) == (304, "no-store")
        same_for_all = await served.ask("GET", "/clinic-whole/one")
        assert same_for_all.headers["Cache-Control"] == "must-revalidate, private"
    async with site(plain, docs=DOCS) as served:
        assert (await served.ask("GET", "/clinic/one")).headers["Cache-Control"] == "no-store"


async def test_a_browser_keeps_no_local_document_for_who_logs_in_next() -> None:
    """CouchDB 1.x gives those of all users the ETag of how often they were written."""
    async with site(profile("whole"), docs=DOCS) as served:
        await served.ask("PUT", "/clinic-whole/_local/cp", {"seq": 5})
        got = await served.ask("GET", "/clinic-whole/_local/cp")
        assert got.headers["Cache-Control"] == "no-store"
        again = await served.ask("GET", "/clinic-whole/_local/cp", headers={"If-None-Match": got.headers["ETag"]})
        assert (again.status, again.headers["Cache-Control"]) == (304, "no-store")


async def test_the_sources_word_is_remembered_for_a_while_and_refusals_are_not() -> None:
    async with site(PHONE, docs=DOCS, session_ttl=3600.0) as served:
        assert await seen(served, "clinic-phone", "ann") == ["one"]
        user = (await served.at_source("GET", "/_users/org.couchdb.user:ann")).json
        await served.at_source("PUT", "/_users/org.couchdb.user:ann", {**user, "roles": []})
        assert await seen(served, "clinic-phone", "ann") == ["one"]
    async with site(PHONE, docs=DOCS, session_ttl=0.0) as served:
        assert await seen(served, "clinic-phone", "ann") == ["one"]
        user = (await served.at_source("GET", "/_users/org.couchdb.user:ann")).json
        await served.at_source("PUT", "/_users/org.couchdb.user:ann", {**user, "roles": []})
        assert await seen(served, "clinic-phone", "ann") == 403


async def test_a_client_that_does_not_wait_for_its_refusal_is_nothing_for_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asking, gone, refused = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(asked: Asked, forward: Forward) -> Given:
        if asked.endpoint == "_session" and not asking.is_set():
            asking.set()
            await gone.wait()
            given = await forward(asked)
            refused.set()
            return given
        return await forward(asked)

    wrong = ("ann", "wrong")
    async with world(hold, docs=DOCS) as served:
        head = f"GET /clinic-phone HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(wrong)['Authorization']}\r\n\r\n"
        async with connected(served.proxy_url) as (_, writer):
            writer.write(head.encode())
            await asking.wait()
        assert (await served.ask("GET", "/clinic-phone")).status == 200  # it has noticed by now
        gone.set()
        await refused.wait()
        assert (await served.ask("GET", "/clinic-phone")).status == 200
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
