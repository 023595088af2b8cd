"""Single handlers of the proxy behind a real socket, with a view in front of a given source."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from proxy.config.model import Database, Profile, Server, Source
from proxy.contract import Client, Doc, Filter
from proxy.core.endpoints import Kind, route
from proxy.core.lens import Chain, Link
from proxy.errors import CouchError
from proxy.exchange import Exchange
from proxy.http_server import HttpServer, served
from proxy.identify import Principal
from proxy.listening import listen
from proxy.upstream import Upstream
from proxy.view import View, make_view
from tests.reading.couch import Couch

SECRET = b"a secret for tests, long enough"
Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]
Handlers = Mapping[Kind, Handler] | Handler


class Own(Filter):
    """Documents of the client's own; others are invisible."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return doc if doc.get("owner") == client.name else None


class Without(Filter):
    """Documents without a field."""

    passes_all = True

    def __init__(self, field: str) -> None:
        self._field = field

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return {name: value for name, value in doc.items() if name != self._field}


def chain(*filters: Filter) -> Chain:
    return Chain([Link(type(each).__name__, each) for each in filters])


OWN = chain(Own(), Without("ssn"))
"""Hides documents of others, and a field."""
PLAIN = chain(Without("ssn"))
"""Hides a field only."""


def profile(filters: Chain = OWN, **options: Any) -> Profile:
    return Profile(name="phone", databases=frozenset(["db"]), chain=filters, suffix="phone", **options)


def view_of(url: str, upstream: Upstream, using: Profile, user: str | None = "ann") -> View:
    database = Database("db", Source("main", url), "db")
    principal = Principal(user, frozenset(), {})
    return make_view("db-phone", database, using, Client(user), principal, upstream, SECRET)


class Front:
    """A client of the handlers."""

    def __init__(self, url: str, view: View, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.view = view
        self.session = session

    async def raw(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers of a request below `/db-phone`."""
        sent = dict(headers or {})
        options: dict[str, Any] = {}
        if isinstance(body, bytes):
            options["data"] = body
        elif body is not None:
            options["json"] = body
        url = self.url + path
        async with self.session.request(method, url, headers=sent, **options) as response:
            return response.status, await response.read(), response.headers

    async def json(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON of a 2xx reply."""
        status, text, _ = await self.raw(method, path, body, headers)
        assert status < 300, (status, text)
        return json.loads(text)

    async def error(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Status, error and reason of a reply that is one."""
        status, text, _ = await self.raw(method, path, body, headers)
        assert status >= 400, (status, text)
        found = json.loads(text)
        return status, found["error"], found["reason"]


@asynccontextmanager
async def front(
    couch: Couch, handlers: Handlers, using: Profile | None = None, user: str | None = "ann"
) -> AsyncIterator[Front]:
    """The handlers for a view of `couch`; one handler stands for all kinds of request."""
    server = Server(secret=SECRET)
    upstream = Upstream(Source("main", couch.url), timeout=5.0)
    view = view_of(couch.url, upstream, using or profile(), user)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        exchange = Exchange(request, server)
        try:
            exchange.target = route(request.method, request.raw_path)
            exchange.view = view
            handler = handlers[exchange.target.kind] if isinstance(handlers, Mapping) else handlers
            return await handler(exchange)
        except CouchError as error:
            if exchange.begun is None:
                return exchange.error(error)
            exchange.abort()
            return exchange.begun

    try:
        async with (
            served(HttpServer(handle), listen("127.0.0.1", 0)) as (host, port),
            aiohttp.ClientSession(auto_decompress=False) as session,
        ):
            yield Front(f"http://{host}:{port}", view, session)
    finally:
        upstream.close()
