"""Sources whose account logs in: Cloudant by IAM, any CouchDB by session."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from proxy.account import AS_ACCOUNT, Account, Credentials, Said, login
from proxy.cli.errors import RunError
from proxy.cli.explain import explain
from proxy.cli.fetch import fetch
from proxy.config.model import Config, Database, Server, Source
from proxy.contract import Client
from proxy.errors import Unavailable
from proxy.upstream import Upstream
from tests.compatibility.drivers.couchdb import V3
from tests.compatibility.sources import Given, Script, World, follow, given_json, serving, world
from tests.compatibility.sources.cloudant import API_KEY, Cloudant, Sessions, TokenService
from tests.compatibility.sources.replication import RUN, replicates_both_ways
from tests.compatibility.table import row

DOCS = [{"_id": f"d{number}", "facility": "f1", "secret": "hush"} for number in range(4)]
TAILOR = {"auth": "cookie", "username": "tailor", "password": "p&ss=word"}


@asynccontextmanager
async def by_iam(
    source: Script, tokens: Script, api_key: str = API_KEY, docs: list[dict[str, Any]] = DOCS, **server: Any
) -> AsyncIterator[World]:
    async with serving(tokens) as url:
        account = {"auth": "iam", "api_key": api_key, "token_url": f"{url}/identity/token"}
        async with world(source, docs=docs, source=account, **server) as site:
            yield site


@row("sources", "Cloudant", "–", "IAM: one token for all clients")
async def test_one_token_serves_all_clients() -> None:
    tokens = TokenService()
    async with by_iam(Cloudant(), tokens) as site:
        feeds = await asyncio.gather(*(follow(site, limit=2) for _ in range(5)))
        assert all({row["id"] for row in rows} == {"d0", "d1", "d2", "d3"} for rows in feeds)
        new = await site.ask("PUT", "/clinic-phone/new", {"facility": "f1"})
        assert new.status == 201
        assert (await site.ask("GET", "/clinic-phone/d0")).json.keys() == {"_id", "_rev", "facility"}
    assert tokens.issued == 1


@row("sources", "Cloudant", "–", "tokens that expire or are revoked")
async def test_a_token_that_the_source_takes_no_more_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.account.FRESH_SECONDS", 0.0)
    tokens, cloudant = TokenService(), Cloudant()
    async with by_iam(cloudant, tokens) as site:
        assert (await site.ask("GET", "/clinic-phone/d0")).status == 200
        cloudant.valid = "token-2"
        answers = await asyncio.gather(*(site.ask("PUT", f"/clinic-phone/n{i}", {"facility": "f1"}) for i in range(5)))
        assert [answer.status for answer in answers] == [201] * 5
    assert tokens.issued == 2


@row("sources", "Cloudant", "–", RUN)
async def test_a_replicator_pulls_and_pushes() -> None:
    async with serving(TokenService()) as url:
        account = {"auth": "iam", "api_key": API_KEY, "token_url": f"{url}/identity/token"}
        await replicates_both_ways(Cloudant(), V3, account)


async def test_clients_still_need_an_account_of_their_own() -> None:
    async with by_iam(Cloudant(), TokenService()) as site:
        assert (await site.ask("GET", "/clinic-phone/d0", user=None)).status == 401
        assert (await site.ask("GET", "/clinic-phone/d0", user=("ann", "wrong"))).status == 401
        forged = {"Authorization": "(the service account)"}
        answer = await site.request("GET", site.proxy_url + "/clinic-phone/d0", headers=forged)
        assert answer.status == 401


async def test_a_key_that_is_refused_is_named_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    asked = TokenService()
    async with by_iam(Cloudant(), asked, "a wrong key") as site:
        for _ in range(2):
            answer = await site.ask("GET", "/clinic-phone/d0")
            assert answer.status == 502
            assert answer.json["reason"] == "The token service refuses the API key; the proxy's log has its words."
    assert (
        "The token service refuses the API key (400: Provided API key (not shown) could not be found.); "
        "check api_key of sources.main."
    ) in caplog.text
    assert "a wrong key" not in caplog.text
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1  # it knocked once


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Given(500, b"<html>"), "was answered 500"),
        (Given(302, b""), "(302)"),
        (Given(200, b"<html>welcome</html>"), "has no access_token"),
        (given_json(200, {"access_token": "a\r\nX-Evil: 1", "expires_in": 3600}), "has no access_token"),
        (given_json(200, {"access_token": "abc", "expires_in": "soon"}), "has no access_token"),
        (given_json(200, ["abc"]), "has no access_token"),
    ],
)
async def test_a_token_service_that_fails_is_said_to(
    given: Given, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenService()
    tokens.instead = given
    async with by_iam(Cloudant(), tokens) as site:
        answer = await site.ask("GET", "/clinic-phone/d0")
        assert answer.status == 502
        assert words in caplog.text


@row("sources", "Cloudant", "–", "sign-in by session, renewed")
async def test_the_session_of_the_account_is_kept_and_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions()
    async with world(sessions, docs=DOCS, source=TAILOR) as site:
        await asyncio.gather(*(follow(site) for _ in range(3)))
        assert sessions.logins == 1
        monkeypatch.setattr("proxy.account.FRESH_SECONDS", 0.0)
        sessions.valid = "session-2"
        assert (await site.ask("PUT", "/clinic-phone/new", {"facility": "f1"})).status == 201
        assert sessions.logins == 2
        monkeypatch.setattr("proxy.account.FRESH_SECONDS", 60.0)
        sessions.valid = "none"  # new credentials that are refused are not asked for again and again
        for _ in range(3):
            assert (await site.ask("GET", "/clinic-phone/d0")).status == 502
        assert sessions.logins == 2


async def test_an_account_that_is_refused_is_not_the_clients_fault(caplog: pytest.LogCaptureFixture) -> None:
    async with world(Sessions(), docs=DOCS, source={**TAILOR, "password": "wrong"}) as site:
        answer = await site.ask("GET", "/clinic-phone/d0")
        assert (answer.status, answer.json["reason"]) == (
            502,
            "The source refuses the service account; the proxy's log has its words.",
        )
    assert (
        "The source refuses the service account (401: Name or password is incorrect.); "
        "check username and password of sources.main."
    ) in caplog.text


async def test_the_embedded_endpoint_takes_a_session() -> None:
    account = {"auth": "cookie", "username": "admin", "password": "secret"}

    async def plain(asked: Any, forward: Any) -> Given:
        given: Given = await forward(asked)
        return given

    async with world(plain, docs=DOCS, source=account) as site:
        assert len(await follow(site)) == 4
        assert sum(each.method == "POST" and each.endpoint == "_session" for each in site.asked) == 1


async def test_shape_reads_a_document_as_the_account() -> None:
    async with by_iam(Cloudant(), TokenService()) as site:
        database = Database("clinic", site.source, "clinic")
        doc = await asyncio.to_thread(fetch, database, 5.0, Client(None), "d0", None)
        assert doc["secret"] == "hush"
        unknown = replace(database, source=replace(site.source, api_key="unknown"))
        with pytest.raises(RunError, match="refuses the API key"):
            await asyncio.to_thread(fetch, unknown, 5.0, Client(None), "d0", None)


async def test_logging_in_survives_connections_that_the_source_has_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a restart of the source, when all sessions end as well."""
    monkeypatch.setattr("proxy.account.FRESH_SECONDS", 0.0)
    valid = 1
    logins = 0
    serving: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal logins
        serving.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status, more = "200 OK", ""
            if head.startswith("POST /_session"):
                logins += 1
                more = f"Set-Cookie: AuthSession=session-{logins}; Path=/\r\n"
            elif f"Cookie: AuthSession=session-{valid}\r\n" not in head:
                status = "401 Unauthorized"
            writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: 2\r\n\r\n{{}}".encode())
            await reader.readuntil(b"\r\n\r\n")  # the body of the login, or the next request: nothing is said to it
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        source = Source("main", f"http://127.0.0.1:{port}", "cookie", "tailor", "p&ss=word")
        with contextlib.closing(Upstream(source, 5.0)) as upstream:
            assert await upstream.json("GET", "/clinic", headers=AS_ACCOUNT) == {}
            valid = 2
            assert await upstream.json("GET", "/clinic", headers=AS_ACCOUNT) == {}
        await asyncio.gather(*filter(None, serving))
        assert logins == 2


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Fetching:
    """Logins that take a moment, and fail if told to."""

    def __init__(self) -> None:
        self.count = 0
        self.failing = False

    async def __call__(self) -> Credentials:
        self.count += 1
        await asyncio.sleep(0)
        if self.failing:
            raise Unavailable("Nobody is there.")
        return Credentials({"Authorization": f"Bearer {self.count}"}, 100.0)


async def values(account: Account) -> str:
    headers: Mapping[str, str] = await account.headers()
    return headers["Authorization"]


async def test_credentials_are_renewed_before_they_expire_by_one_request() -> None:
    clock, fetching = Clock(), Fetching()
    account = Account(fetching, clock)
    assert set(await asyncio.gather(*(values(account) for _ in range(9)))) == {"Bearer 1"}
    clock.now += 79
    assert await values(account) == "Bearer 1"
    clock.now += 2
    assert set(await asyncio.gather(*(values(account) for _ in range(9)))) == {"Bearer 2"}
    assert fetching.count == 2


async def test_while_nobody_answers_valid_credentials_serve() -> None:
    clock, fetching = Clock(), Fetching()
    account = Account(fetching, clock)
    await account.headers()
    fetching.failing = True
    clock.now += 90
    assert await values(account) == "Bearer 1"
    clock.now += 1
    assert await values(account) == "Bearer 1"
    assert fetching.count == 2  # a failure stands for a moment
    clock.now += 10
    with pytest.raises(Unavailable, match="Nobody is there"):
        await account.headers()
    fetching.failing = False
    clock.now += 10
    assert await values(account) == "Bearer 4"


async def test_who_waits_no_more_does_not_stop_the_others() -> None:
    fetching = Fetching()
    account = Account(fetching)
    first = asyncio.ensure_future(account.headers())
    second = asyncio.ensure_future(account.headers())
    await asyncio.sleep(0)
    first.cancel()
    assert (await second)["Authorization"] == "Bearer 1"
    assert fetching.count == 1


async def test_what_was_replaced_meanwhile_is_not_dropped() -> None:
    clock, fetching = Clock(), Fetching()
    account = Account(fetching, clock)
    old = await account.headers()
    clock.now += 5
    assert account.refused(old)
    new = await account.headers()
    assert account.refused(old)
    assert await account.headers() is new
    assert not account.refused(new)  # it is new: the 401 has another reason


def test_secrets_are_not_shown() -> None:
    source = Source("main", "https://x", auth="iam", api_key="k-123", password="p-123")
    how = login(source)
    credentials = Credentials({"Authorization": "Bearer b-123"}, 1.0)
    shown = f"{source!r} {how!r} {credentials!r} {Said(200, ['c-123'], b'd-123')!r}"
    assert "-123" not in shown


def test_check_says_how_the_source_is_asked() -> None:
    iam = Source("a", "https://a", auth="iam", api_key="k-123")
    cookie = Source("b", "https://b", auth="cookie", username="tailor", password="p-123")
    said = "\n".join(explain(Config(Server(), {"a": iam, "b": cookie}, {}, {})))
    assert "source a: https://a, asked with an API key's tokens from https://iam.cloud.ibm.com/identity/token" in said
    assert "source b: https://b, asked as tailor by a session, for every client" in said
    assert "-123" not in said


def test_a_session_without_a_cookie_is_none() -> None:
    how = login(Source("main", "https://x", auth="cookie", username="a", password="b"))
    assert how is not None
    for cookies in ([], ["Other=1"], ["AuthSession=; Path=/"]):
        with pytest.raises(Unavailable, match="no AuthSession cookie"):
            how.read(Said(200, cookies, b'{"ok":true}'))
    assert how.read(Said(200, ["AuthSession=abc; Max-Age=30"], b"")).seconds == 30
    assert how.read(Said(200, ["AuthSession=abc; Path=/"], b"")).seconds == 600
