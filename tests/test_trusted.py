"""What a trusted profile is given of the source directly, by sources that answer otherwise than they should."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.compatibility.sources import Asked, Forward, Given, Script, given_json, refusal, world
from tests.support.inprocess import profile

TRUSTED = profile("all", trusted=True)
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
        Given(403, b"<p>Not yours.</p>"),
    ],
)
async def test_functions_refuse_in_their_own_words(own: Given) -> None:
    async with world(giving(own), TRUSTED) as site:
        for method, path in FUNCTIONS:
            answer = await site.ask(method, f"/clinic-all/{path}", body_of(method))
            assert (answer.status, answer.body) == (own.status, own.body)
