"""Whether a source takes the proxy's own account, asked of the embedded endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest

from proxy.config.model import Source
from proxy.endpoint.serve import Running, start
from proxy.errors import CouchError
from proxy.standing import refusal
from proxy.upstream import Upstream

SECRET = "a secret of proxy authentication"


@pytest.fixture
async def endpoint() -> AsyncIterator[Running]:
    users: Any = {"tailor": ("thread", ("tailor",))}
    async with await start(admins={"admin": "admin"}, users=users, proxy_secret=SECRET) as endpoint:
        yield endpoint


async def asked(endpoint: Running, **account: Any) -> str | None:
    with closing(Upstream(Source("main", endpoint.url, **account))) as upstream:
        return await refusal(upstream)


@pytest.mark.parametrize(
    "account",
    [
        {},
        {"username": "nobody", "password": "knows"},  # for `shape`
        {"auth": "service", "username": "tailor", "password": "thread"},
        {"auth": "cookie", "username": "tailor", "password": "thread"},
        {"auth": "proxy", "proxy_secret": SECRET},
        {"auth": "proxy", "proxy_secret": SECRET, "username": "tailor", "roles": ("tailor",)},
    ],
)
async def test_an_account_that_is_taken(endpoint: Running, account: dict[str, Any]) -> None:
    assert await asked(endpoint, **account) is None


@pytest.mark.parametrize(
    ("account", "why"),
    [
        ({"auth": "service", "username": "tailor", "password": "x"}, "refuses the proxy itself (401 unauthorized: "),
        ({"auth": "proxy", "proxy_secret": "x"}, "for nobody; check proxy_secret and proxy_hash of sources.main, and "),
        ({"auth": "proxy", "proxy_secret": "x", "username": "tailor"}, "for nobody; check proxy_secret and proxy_hash"),
    ],
)
async def test_an_account_that_is_not(endpoint: Running, account: dict[str, Any], why: str) -> None:
    told = await asked(endpoint, **account)
    assert told is not None
    assert why in told


async def test_a_login_that_is_refused(endpoint: Running) -> None:
    with pytest.raises(CouchError) as error:
        await asked(endpoint, auth="cookie", username="tailor", password="x")
    assert "check username and password of sources.main" in str(error.value)


async def test_a_source_without_administrators() -> None:
    async with await start(open_to_all=True) as endpoint:
        assert await asked(endpoint, auth="proxy", proxy_secret="x") is None
