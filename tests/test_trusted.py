"""What a trusted profile is given of the source directly, by sources that answer otherwise than they should."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from multidict import CIMultiDict

from tests.compatibility.sources import Asked, Forward, Given, Script, given_json, refusal, world
from tests.support.inprocess import profile

TRUSTED = profile("all", trusted=True)
READING = profile("all", trusted=True, write=False)
REFUSED = refusal(401, "unauthorized", "Name or password is incorrect.")
PASSED = ("_design", "_index", "_explain", "_partition")
JSON_ONLY = [
    ("GET", "_design/v/_view/byn"),
    ("HEAD", "_design/v/_view/byn"),
    ("POST", "_design/v/_view/byn/queries"),
    ("GET", "_design/v/_info"),
    ("GET", "_design/v/_search/s"),
    ("GET", "_design/v/_nouveau/s"),
    ("GET", "_index"),
    ("POST", "_explain"),
    ("GET", "_partition/p/_design/v/_view/byn"),
]
FUNCTIONS = [
    ("GET", "_design/v/_show/s/x"),
    ("GET", "_design/v/_list/l/byn"),
    ("PUT", "_design/v/_update/u/x"),
]


def giving(answer: Given) -> Script:
    """A source that answers whatever is passed on to it so."""

    async def script(asked: Asked, forward: Forward) -> Given:
        return answer if asked.path.startswith(tuple(f"/clinic/{each}" for each in PASSED)) else await forward(asked)

    return script


def body_of(method: str) -> Any:
    return {} if method in ("POST", "PUT") else None


async def test_refusals_of_the_proxy_itself_are_not_for_clients(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with world(giving(REFUSED), TRUSTED) as site:
        for method, path in JSON_ONLY + FUNCTIONS:
            answer = await site.ask(method, f"/clinic-all/{path}", body_of(method))
            assert answer.status == 502, path
            if method != "HEAD":
                assert answer.json == {"error": "bad_gateway", "reason": "The source refuses the proxy itself."}
    [told] = caplog.messages
    assert "refuses the proxy itself (401 unauthorized: Name or password is incorrect.); check the account of" in told


async def test_refusals_of_the_client_are(caplog: pytest.LogCaptureFixture) -> None:
    async with world(giving(REFUSED), TRUSTED, source={"auth": "client"}, remember=0.0) as site:
        await site.at_source("PUT", "/clinic/_security", {"members": {"roles": ["nurse"]}})
        for method, path in JSON_ONLY + FUNCTIONS:
            answer = await site.ask(method, f"/clinic-all/{path}", body_of(method))
            assert answer.status == 401, path
            assert method == "HEAD" or answer.body == REFUSED.body
    assert not caplog.messages


@pytest.mark.parametrize(
    "own",
    [
        refusal(401, "unauthorized", "Not yours."),
        given_json(403, {"why": "not yours"}),
        Given(403, b"<p>Not yours.</p>" * 10_000, CIMultiDict({"Content-Type": "text/html"})),
    ],
)
async def test_functions_refuse_in_their_own_words(own: Given) -> None:
    async with world(giving(own), TRUSTED) as site:
        for method, path in FUNCTIONS:
            answer = await site.ask(method, f"/clinic-all/{path}", body_of(method))
            assert (answer.status, answer.body) == (own.status, own.body)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Given(200, b"<p>Log in!</p>", CIMultiDict({"Content-Type": "text/html"})), "with something that is not JSON"),
        (Given(200, b"{}", CIMultiDict({"Content-Type": "application/octet-stream"})), "with something that is not"),
        (Given(403, b"<p>No!</p>", CIMultiDict({"Content-Type": "text/html"})), "403 without saying why"),
        (Given(502, b"<p>Away</p>", CIMultiDict({"Content-Type": "text/html"})), "502 without saying why"),
        (given_json(302, {}, Location="http://couch.internal/_utils"), "302: redirects are not followed"),
        (Given(308, b"", CIMultiDict({"Location": "/elsewhere"})), "308: redirects are not followed"),
    ],
)
async def test_what_is_always_json_is_nothing_else(answer: Given, why: str) -> None:
    async with world(giving(answer), TRUSTED, source={"auth": "client"}, remember=0.0) as site:
        await site.at_source("PUT", "/clinic/_security", {"members": {"roles": ["nurse"]}})
        for method, path in JSON_ONLY:
            given = await site.ask(method, f"/clinic-all/{path}", body_of(method), headers={"Accept": "text/html"})
            assert "Location" not in given.headers
            if method == "HEAD":
                assert given.status in (502, answer.status)
            else:
                assert (given.status, given.json["error"]) == (502, "bad_gateway"), path
                assert given.json["reason"].startswith(f"The source answered {why}")


@pytest.mark.parametrize(
    "answer",
    [
        given_json(200, {"rows": []}),
        Given(200, b'{"rows":[]}\n', CIMultiDict({"Content-Type": "text/plain; charset=utf-8"})),
        Given(200, b'{"rows":[]}\n', CIMultiDict({"Content-Type": "Application/JSON;charset=utf-8"})),
        Given(304, b"", CIMultiDict({"ETag": '"x"'})),
        refusal(404, "not_found", "missing"),
        refusal(500, "os_process_error", "timeout"),
    ],
)
async def test_json_is_passed_as_it_is(answer: Given) -> None:
    async with world(giving(answer), TRUSTED) as site:
        for method, path in JSON_ONLY:
            given = await site.ask(method, f"/clinic-all/{path}", body_of(method))
            assert (given.status, given.body) == (answer.status, answer.body if method != "HEAD" else b""), path
            assert given.headers.get("Content-Type") == answer.headers.get("Content-Type")
            assert given.headers.get("ETag") == answer.headers.get("ETag")


async def test_functions_answer_with_what_they_like() -> None:
    page = Given(200, b"<p>Hello</p>", CIMultiDict({"Content-Type": "text/html"}))
    async with world(giving(page), TRUSTED) as site:
        for method, path in FUNCTIONS:
            answer = await site.ask(method, f"/clinic-all/{path}", body_of(method))
            assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, page.body, "text/html")


@pytest.mark.parametrize(
    ("told", "to_clients"),
    [
        ("{source}/clinic/_design/v/_show/s/x?a=1#b", "{proxy}/clinic-all/_design/v/_show/s/x?a=1#b"),
        ("/clinic/x", "{proxy}/clinic-all/x"),
        ("/cl%69nic", "{proxy}/clinic-all"),
        ("{source}/_utils/", None),
        ("{source}/clinical/x", None),
        ("{source}", None),
        ("http://127.0.0.1:1/clinic/x", None),
        ("https://127.0.0.1/clinic/x", None),
        ("//127.0.0.1/clinic/x", None),
        ("http://127.0.0.1:port/", None),
        ("http://[127.0.0.1/", None),
        ("https://app.example/clinic", "https://app.example/clinic"),
        ("/app/done", "/app/done"),
        ("../y", "../y"),
    ],
)
async def test_redirects_of_functions_do_not_name_the_source(told: str, to_clients: str | None) -> None:
    location = ""

    async def redirecting(asked: Asked, forward: Forward) -> Given:
        return await giving(Given(302, b"", CIMultiDict({"Location": location})))(asked, forward)

    async with world(redirecting, TRUSTED) as site:
        location = told.format(source=site.source.url)
        for method, path in FUNCTIONS:
            answer = await site.ask(method, f"/clinic-all/{path}", body_of(method))
            expected = None if to_clients is None else to_clients.format(proxy=site.proxy_url)
            assert (answer.status, answer.headers.get("Location")) == (302, expected)


async def test_a_profile_that_only_reads_may_post_what_only_reads() -> None:
    async with world(giving(given_json(200, {})), READING) as site:
        for path in (
            "_design/v/_view/byn",
            "_design%2Fv/_view/byn",
            "_design/v/_view/byn/queries",
            "_design/v/_search/s",
            "_design/v/_nouveau/s",
            "_design/v/_list/l/byn",
            "_design/v/_show/s/x",
            "_explain",
            "_design_docs/queries",
            "_partition/p/_find",
            "_partition/p/_explain",
            "_partition/p/_design/v/_view/byn",
        ):
            answer = await site.ask("POST", f"/clinic-all/{path}", {"keys": []})
            assert (answer.status, site.asked[-1].method, site.asked[-1].body) == (200, "POST", b'{"keys":[]}'), path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "_design/v/_update/u"),
        ("PUT", "_design/v/_update/u/x"),
        ("POST", "_index"),
        ("POST", "_index/_bulk_delete"),
        ("DELETE", "_index/_design/v/json/byn"),
        ("PUT", "_design/v/_view/byn"),
        ("DELETE", "_design/v/_view/byn"),
        ("COPY", "_design/v/_view/byn"),
        ("POST", "_design/v/_view_cleanup"),
        ("POST", "_design/v/_info"),
        ("POST", "_explain/x"),
        ("POST", "_partition"),
        ("POST", "_partition/p"),
        ("POST", "_partition/p/_index"),
        ("POST", "_partition/p/_design/v/_update/u"),
        ("POST", "_partition/p/_partition/q/_find"),
        ("POST", "_design%2F/_view/_update/u"),
        ("POST", "_design/v%2F_update%2Fu/_view/byn"),
    ],
)
async def test_a_profile_that_only_reads_writes_nothing(method: str, path: str) -> None:
    async with world(giving(given_json(200, {})), READING) as site:
        answer = await site.ask(method, f"/clinic-all/{path}", {})
        assert (answer.status, answer.json["reason"]) == (403, "This profile only reads.")
        assert not any(asked.path.startswith("/clinic/_") and asked.method == method for asked in site.asked)
        hidden = {"X-HTTP-Method-Override": "PUT"}
        assert (await site.ask("POST", "/clinic-all/_design/v/_view/byn", {}, headers=hidden)).status == 403
