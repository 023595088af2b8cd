"""A source over a real socket that records what it gets and can be told to fail, and the writing handlers before it.

The source is the embedded endpoint; with COUCHDB_URL=http://admin:secret@127.0.0.1:5984 it is a CouchDB.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from proxy.account import service_headers
from proxy.config.model import Database, Profile, Server, Source
from proxy.contract import Client
from proxy.core.endpoints import Kind, route
from proxy.endpoint.serve import start
from proxy.errors import CouchError
from proxy.exchange import Exchange
from proxy.http_server import served
from proxy.identify import Principal
from proxy.listening import listen
from proxy.reading.revs_diff import post_revs_diff
from proxy.upstream import Upstream
from proxy.view import View, make_view
from proxy.writing import attachment, bulk, copy, document, form
from tests.writing.filters import profile

Doc = dict[str, Any]
SECRET = b"a secret for tests, long enough"
NAMES = (f"tailor-writing-{os.getpid()}-{number}" for number in itertools.count())

HANDLERS: Mapping[tuple[Kind, str], Callable[[Exchange], Awaitable[web.StreamResponse]]] = {
    (Kind.BULK_DOCS, "POST"): bulk.bulk_docs,
    (Kind.DATABASE, "POST"): document.post_database,
    (Kind.REVS_DIFF, "POST"): post_revs_diff,
    **{
        (kind, method): handler
        for kind in (Kind.DOCUMENT, Kind.DESIGN)
        for method, handler in (
            ("PUT", document.put_document),
            ("DELETE", document.delete_document),
            ("POST", form.post_document),
            ("COPY", copy.copy_document),
        )
    },
    **{
        (kind, method): handler
        for kind in (Kind.ATTACHMENT, Kind.DESIGN_ATTACHMENT)
        for method, handler in (
            ("PUT", attachment.put_attachment),
            ("DELETE", attachment.delete_attachment),
        )
    },
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, error and reason."""
        found = self.json
        return self.status, found["error"], found["reason"]


@dataclass(frozen=True)
class Request:
    """What the source was asked. `complete`: the body came to its end."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: CIMultiDict[str]
    body: bytes
    complete: bool

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Fault = Callable[[web.BaseRequest, Callable[[], Awaitable[web.StreamResponse]]], Awaitable[web.StreamResponse]]


@dataclass
class Tap:
    """What stands before the real source. `faults`: by the end of a path, what happens instead, once each."""

    target: str
    credentials: Mapping[str, str]
    session: aiohttp.ClientSession
    requests: list[Request] = field(default_factory=list)
    faults: list[tuple[str, str, Fault]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    """The methods of requests whose body is still to come."""

    @property
    def writes(self) -> list[Request]:
        """The requests that can have stored something."""
        asking = ("_bulk_get", "_revs_diff")
        return [r for r in self.requests if r.method not in ("GET", "HEAD") and not r.path.endswith(asking)]

    def fail(self, method: str, end: str, fault: Fault) -> None:
        self.faults.append((method, end, fault))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        async def forward() -> web.StreamResponse:
            return await self._forward(request)

        for index, (method, end, fault) in enumerate(self.faults):
            if request.method == method and request.path.endswith(end):
                del self.faults[index]
                return await fault(request, forward)
        return await forward()

    async def _forward(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await self._record(request)
        sent = {name: value for name, value in request.headers.items() if name not in ("Host", "Transfer-Encoding")}
        url = self.target + request.raw_path
        async with self.session.request(
            request.method, url, data=BytesIO(body) if body else None, headers=sent
        ) as reply:
            data = await reply.read()
            headers = {name: value for name, value in reply.headers.items() if name in _PASSED}
            return web.Response(status=reply.status, body=data, headers=headers)

    async def _record(self, request: web.BaseRequest) -> bytes:
        body, complete = bytearray(), False
        self.open.append(request.method)
        try:
            async for piece in request.content.iter_any():
                body += piece
            complete = True
        finally:
            self.open.remove(request.method)
            headers = CIMultiDict(request.headers)
            seen = Request(request.method, request.path, request.query, headers, bytes(body), complete)
            self.requests.append(seen)
        return bytes(body)


_PASSED = ("Content-Type", "ETag", "Location", "Content-Encoding")


async def pass_on(request: web.BaseRequest, forward: Callable[[], Awaitable[web.StreamResponse]]) -> Any:
    """No fault: the next of its kind is for a later request."""
    return await forward()


async def break_before(request: web.BaseRequest, forward: Callable[[], Awaitable[web.StreamResponse]]) -> Any:
    """The connection breaks, and nothing was stored."""
    await request.read() if isinstance(request, web.Request) else await request.content.read()
    _cut(request)


async def break_after(request: web.BaseRequest, forward: Callable[[], Awaitable[web.StreamResponse]]) -> Any:
    """All is stored, and the connection breaks before the answer."""
    await forward()
    _cut(request)


def answer_with(status: int, value: Any) -> Fault:
    """The source answers with this, and does nothing."""

    async def fault(request: web.BaseRequest, forward: Any) -> web.StreamResponse:
        await request.content.read()
        return web.json_response(value, status=status)

    return fault


def _cut(request: web.BaseRequest) -> Any:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError("cut by the test")


@dataclass
class World:
    """`ask` goes through the proxy, to `/db-phone`; `source` past it, to the database."""

    tap: Tap
    proxy: str
    database: str
    session: aiohttp.ClientSession
    view: View

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return await self._send(f"{self.proxy}/db-phone{path}", method, body, data, headers or {})

    async def source(
        self, method: str, path: str, body: Any = None, *, data: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        url = f"{self.tap.target}/{self.database}{path}"
        return await self._send(url, method, body, data, {**self.tap.credentials, **(headers or {})})

    async def put(self, doc: Doc) -> str:
        """Store a document at the source; its revision."""
        answer = await self.source("POST", "", doc)
        assert answer.status == 201, answer.body
        return str(answer.json["rev"])

    async def replicate(self, *docs: Doc) -> None:
        """Store revisions at the source."""
        answer = await self.source("POST", "/_bulk_docs", {"docs": docs, "new_edits": False})
        assert answer.json == [], answer.body

    async def leaves(self, doc_id: str) -> dict[str, Doc]:
        """All leaves at the source, by revision."""
        answer = await self.source("GET", f"/{doc_id}?open_revs=all", headers={"Accept": "application/json"})
        return {entry["ok"]["_rev"]: entry["ok"] for entry in answer.json}

    async def stored(self, doc_id: str) -> Doc:
        """The winner at the source."""
        answer = await self.source("GET", f"/{doc_id}")
        assert answer.status == 200, answer.body
        found: Doc = answer.json
        return found

    async def push(self, *docs: Doc) -> list[Doc]:
        """Push revisions through the proxy; the rows."""
        answer = await self.ask("POST", "/_bulk_docs", {"docs": docs, "new_edits": False})
        assert answer.status == 201, answer.body
        rows: list[Doc] = answer.json
        return rows

    async def _send(self, url: str, method: str, body: Any, data: Any, headers: Mapping[str, str]) -> Answer:
        sent = {"Accept": "application/json", **headers}
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, url, data=data, headers=sent) as reply:
            return Answer(reply.status, CIMultiDict(reply.headers), await reply.read())


@asynccontextmanager
async def world(using: Profile | None = None, user: str | None = "ann", **server: Any) -> AsyncIterator[World]:
    """A database that is empty, and the proxy for one user before it. `server`: settings other than the usual."""
    async with (
        _source() as (url, source),
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding", "Content-Type"]) as raw,
    ):
        credentials = service_headers(source)
        tap = Tap(url, credentials, raw)
        name = next(NAMES)
        async with _listening(tap.handle) as tapped:
            upstream = Upstream(Source("main", tapped), 10.0)
            principal = Principal(user, frozenset(), credentials)
            database = Database("db", upstream.source, name)
            view = make_view("db-phone", database, using or profile(), Client(user), principal, upstream, SECRET)
            async with _listening(_handler(view, Server(secret=SECRET, **server))) as proxy:
                made = World(tap, proxy, name, session, view)
                assert (await made.source("PUT", "")).status == 201
                try:
                    yield made
                finally:
                    await made.source("DELETE", "")
                    upstream.close()


@asynccontextmanager
async def _source() -> AsyncIterator[tuple[str, Source]]:
    given = os.environ.get("COUCHDB_URL")
    if given:
        parts = urlsplit(given)
        url = f"http://{parts.hostname}:{parts.port}"
        yield url, Source("main", url, username=parts.username, password=parts.password)
    else:
        async with await start(admins={"admin": "secret"}) as endpoint:
            yield endpoint.url, Source("main", endpoint.url, username="admin", password="secret")


def _handler(view: View, server: Server) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        exchange = Exchange(request, server)
        try:
            exchange.target = target = route(request.method, request.raw_path)
            exchange.view = view
            return await HANDLERS[target.kind, target.method](exchange)
        except CouchError as error:
            return exchange.error(error)

    return handle


@asynccontextmanager
async def _listening(handle: Any) -> AsyncIterator[str]:
    server = web.Server(handle, access_log=None, auto_decompress=False)
    async with served(server, listen("127.0.0.1", 0), seconds_to_end=0.5) as (host, port):
        yield f"http://{host}:{port}"
