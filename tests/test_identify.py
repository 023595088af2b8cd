"""Who is asking, and which profile answers: sessions, credentials, roles, headers, and everything that is denied."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from proxy.identify import credentials
from tests.compatibility.sources import Asked, Forward, Given, world
from tests.support.inprocess import PROXY_SECRET, Site, basic, profile, site
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
    async with site(PHONE, docs=DOCS, source=wrong) as served:
        assert await seen(served, "clinic-phone", "ann") == 401


async def test_towards_the_source_with_the_clients_own_credentials() -> None:
    async with site(PHONE, docs=DOCS, source={"auth": "client"}) as served:
        await served.at_source("PUT", "/clinic/_security", {"members": {"roles": ["nurse"]}, "admins": {}})
        assert await seen(served, "clinic-phone", "ann") == ["one"]
        await served.at_source("PUT", "/clinic/_security", {"members": {"roles": ["doctor"]}, "admins": {}})
        assert await seen(served, "clinic-phone", "ann") in (401, 403)


async def test_the_list_of_databases_is_the_clients() -> None:
    async with site(PHONE, AUDIT, docs=DOCS) as served:
        assert (await served.ask("GET", "/_all_dbs")).json == ["clinic-phone"]
        assert (await served.ask("GET", "/_all_dbs", user=("eva", "eva"))).json == ["clinic-audit"]


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
        ({"Authorization": "Basic YTpi"}, {"Authorization": "Basic YTpi"}),
        ({"Authorization": "Bearer x"}, {}),
        ({}, {}),
    ],
)
def test_only_the_session_cookie_and_basic_credentials_count(headers: dict[str, str], kept: dict[str, str]) -> None:
    assert credentials(headers) == kept


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
