"""Other sources than the embedded endpoint: the endpoint, with a script in front that takes features away or changes
them, and the proxy in front of that.

    proxy ── HTTP ──► script (answer) ── HTTP ──► embedded endpoint
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from proxy.app import running
from proxy.config.model import Config, Database, Profile, Server, Source
from proxy.core import jsonio
from proxy.endpoint.serve import start
from proxy.feeds.local import Feeds
from proxy.http_server import served
from proxy.listening import listen
from proxy.place import Place
from proxy.upstream import Upstream
from tests.support.inprocess import ADMIN, USERS, Answer, Site, basic, profile
from tests.support.lenses import OwnFacility, WithoutSecret

_PER_HOP = ("Content-Length", "Transfer-Encoding", "Connection", "Date", "Server", "Host")


@dataclass(frozen=True)
class Asked:
    """A request to the source."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: CIMultiDict[str]
    body: bytes

    @property
    def endpoint(self) -> str:
        """The last piece of the path: `_changes`, `_bulk_get`, a document's id."""
        return self.path.rpartition("/")[2]

    def with_query(self, **changed: str | None) -> Asked:
        """The request with other parameters; None removes one."""
        query = {name: value for name, value in {**self.query, **changed}.items() if value is not None}
        return replace(self, query=query)


@dataclass(frozen=True)
class Given:
    """The source's answer."""

    status: int
    body: bytes
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    cut: int | None = None
    """After how many bytes of the body the connection breaks off."""

    @property
    def json(self) -> Any:
        return jsonio.loads(self.body)

    def with_json(self, value: Any) -> Given:
        return replace(self, body=jsonio.dumps(value) + b"\n")


def given_json(status: int, value: Any, **headers: str) -> Given:
    """An answer of the script's own. Underscores in names of headers stand for hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Given(status, jsonio.dumps(value) + b"\n", CIMultiDict({"Content-Type": "application/json", **named}))


def refusal(status: int, error: str, reason: str, **headers: str) -> Given:
    """An error in CouchDB's form."""
    return given_json(status, {"error": error, "reason": reason}, **headers)


Forward = Callable[[Asked], Awaitable[Given]]
Script = Callable[[Asked, Forward], Awaitable[Given]]


async def untouched(asked: Asked, forward: Forward) -> Given:
    """The embedded endpoint as it is."""
    return await forward(asked)


class World(Site):
    """Requests to the endpoint (`at_source`) and to the proxy (`ask`), and what the proxy asked the script for."""

    asked: list[Asked]
    source: Source
    """The script, as the proxy knows it."""

    def count(self, endpoint: str) -> int:
        """The number of requests to an endpoint."""
        return sum(each.endpoint == endpoint for each in self.asked)


PHONE = profile("phone", OwnFacility(), WithoutSecret())


@asynccontextmanager
async def world(
    script: Script,
    *profiles: Profile,
    docs: Iterable[Mapping[str, Any]] = (),
    source: Mapping[str, Any] | None = None,
    **server: Any,
) -> AsyncIterator[World]:
    """The proxy in front of a script, with these profiles (by default `phone`) and documents of `clinic`."""
    account = {"auth": "service", "username": ADMIN[0], "password": ADMIN[1]}
    used = {each.name: each for each in profiles or (PHONE,)}
    asked: list[Asked] = []
    async with (
        await start(admins=dict([ADMIN]), users=USERS) as endpoint,
        aiohttp.ClientSession(auto_decompress=False) as session,
        _serving(script, endpoint.url, session, asked) as url,
    ):
        upstream = Source("main", url, **(account if source is None else source))
        settings = {"port": 0, "secret": b"a secret of the tests", **server}
        config = Config(
            Server(**settings), {"main": upstream}, {"clinic": Database("clinic", upstream, "clinic")}, used
        )
        feeds = Feeds(config)
        async with running(config, feeds) as (host, port):
            made = World(endpoint.url, f"http://{host}:{port}", session)
            made.hub = feeds.hubs.get("clinic")
            made.asked, made.source, made.server = asked, upstream, endpoint.server
            await made.at_source("PUT", "/clinic")
            for doc in docs:
                await made.put(doc)
            yield made


@asynccontextmanager
async def serving(
    script: Script, asked: list[Asked] | None = None, behind: str = "http://127.0.0.1:1"
) -> AsyncIterator[str]:
    """A script, by default with nothing behind it; its address."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        _serving(script, behind, session, [] if asked is None else asked) as url,
    ):
        yield url


@asynccontextmanager
async def place(script: Script, asked: list[Asked] | None = None) -> AsyncIterator[Place]:
    """The database `clinic` of a script with nothing behind it, as the proxy asks it."""
    async with serving(script, asked) as url:
        main = Source("main", url)
        upstream = Upstream(main, 10.0)
        try:
            yield Place(database=Database("clinic", main, "clinic"), upstream=upstream, headers={})
        finally:
            upstream.close()


@asynccontextmanager
async def _serving(script: Script, behind: str, session: aiohttp.ClientSession, log: list[Asked]) -> AsyncIterator[str]:
    async def forward(asked: Asked) -> Given:
        url = URL(f"{behind}{asked.path}?{urlencode(asked.query)}", encoded=True)
        async with session.request(
            asked.method, url, headers=asked.headers, data=asked.body or None, allow_redirects=False
        ) as got:
            headers = CIMultiDict([pair for pair in got.headers.items() if pair[0].title() not in _PER_HOP])
            return Given(got.status, await got.read(), headers)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        headers = CIMultiDict([pair for pair in request.headers.items() if pair[0].title() not in _PER_HOP])
        path = request.raw_path.partition("?")[0]
        query = dict(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
        asked = Asked(request.method, path, query, headers, await request.read())
        log.append(asked)
        given = await script(asked, forward)
        if given.cut is not None:
            return await _break_off(request, given)
        return web.Response(status=given.status, body=given.body, headers=given.headers)

    server = web.Server(handle, auto_decompress=False, access_log=None)
    async with served(server, listen("127.0.0.1", 0), seconds_to_end=0.1) as (host, port):
        yield f"http://{host}:{port}"


async def _break_off(request: web.BaseRequest, given: Given) -> web.StreamResponse:
    response = web.StreamResponse(status=given.status, headers=given.headers)
    response.content_length = len(given.body)
    await response.prepare(request)
    await response.write(given.body[: given.cut])
    if request.transport is not None:
        request.transport.abort()
    return response


def as_admin(asked: Asked) -> Asked:
    """The request with the endpoint's own credentials for whatever the script took."""
    headers = CIMultiDict(asked.headers)
    headers.popall("Cookie", None)
    headers["Authorization"] = basic(ADMIN)["Authorization"]
    return replace(asked, headers=headers)


async def follow(site: Site, limit: int = 100, since: str = "0", user: tuple[str, str] = ("ann", "ann")) -> list[Any]:
    """The rows of a client's feed, page by page to its end."""
    rows: list[Any] = []
    while True:
        page = await site.ask("GET", f"/clinic-phone/_changes?style=all_docs&limit={limit}&since={since}", user=user)
        assert page.status == 200, page.body
        if not page.json["results"]:
            return rows
        rows.extend(page.json["results"])
        since = page.json["last_seq"]


def docs_of(answer: Answer) -> Sequence[Any]:
    """The entries of a `_bulk_get` answer, flat."""
    assert answer.status == 200, answer.body
    return [entry for result in answer.json["results"] for entry in result["docs"]]
