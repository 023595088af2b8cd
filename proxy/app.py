"""The proxy's only HTTP server: a request is routed, identified, given its view, and handed to its handler."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType

from aiohttp import web

from proxy.claim import Claim, claim
from proxy.closing import Closing
from proxy.config.model import Config
from proxy.core.endpoints import Kind, route
from proxy.cors import Policy
from proxy.cuts.memory import Memory
from proxy.errors import CouchError, Forbidden, NotFound
from proxy.exchange import Exchange
from proxy.feeds.hub import Hub
from proxy.feeds.local import Feeds
from proxy.feeds.remote import RemoteFeeds
from proxy.http_server import HttpServer, served
from proxy.identify import Following, Identifier
from proxy.intake import Intake
from proxy.listening import authority, listen
from proxy.loop import tune
from proxy.metrics import Requests, hub_samples, of_process, render
from proxy.reading import all_docs, attachments, bulk_get, changes, document, find, info, local, revs_diff
from proxy.scrapes import scraped
from proxy.session import session
from proxy.signals import stop_signals
from proxy.trusted import pass_through
from proxy.upstream import Upstream
from proxy.views import Views
from proxy.writing import attachment as written_attachment
from proxy.writing import bulk, copy, form
from proxy.writing import document as written

log = logging.getLogger("couch_tailor.app")

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]

_TIME_TO_END = 8.0
"""Seconds that requests have when the proxy is to end: a supervisor, or a container's, waits for ten."""

_READ = ("GET", "HEAD")
_BOTH = ("GET", "HEAD", "POST")

HANDLERS: dict[tuple[Kind, str], Handler] = {
    **{(Kind.DATABASE, method): info.get_database for method in _READ},
    (Kind.DATABASE, "POST"): written.post_database,
    (Kind.DATABASE, "PUT"): info.put_database,
    (Kind.DATABASE, "DELETE"): info.delete_database,
    **{(Kind.SECURITY, method): info.get_security for method in _READ},
    **{(Kind.REVS_LIMIT, method): info.get_revs_limit for method in _READ},
    (Kind.ENSURE_FULL_COMMIT, "POST"): info.ensure_full_commit,
    **{(Kind.ALL_DOCS, method): all_docs.get_all_docs for method in _BOTH},
    **{(Kind.DESIGN_DOCS, method): all_docs.get_design_docs for method in _BOTH},
    (Kind.ALL_DOCS_QUERIES, "POST"): all_docs.post_queries,
    **{(Kind.LOCAL_DOCS, method): local.get_local_docs for method in _BOTH},
    **{(Kind.CHANGES, method): changes.get_changes for method in _BOTH},
    (Kind.BULK_GET, "POST"): bulk_get.post_bulk_get,
    (Kind.REVS_DIFF, "POST"): revs_diff.post_revs_diff,
    (Kind.MISSING_REVS, "POST"): revs_diff.post_missing_revs,
    (Kind.FIND, "POST"): find.post_find,
    (Kind.BULK_DOCS, "POST"): bulk.bulk_docs,
    **{(Kind.LOCAL, method): local.get_local for method in _READ},
    (Kind.LOCAL, "PUT"): local.put_local,
    (Kind.LOCAL, "DELETE"): local.delete_local,
    **{
        (kind, method): handler
        for kind in (Kind.DOCUMENT, Kind.DESIGN)
        for method, handler in (
            ("GET", document.get_document),
            ("HEAD", document.get_document),
            ("PUT", written.put_document),
            ("DELETE", written.delete_document),
            ("POST", form.post_document),
            ("COPY", copy.copy_document),
        )
    },
    **{
        (kind, method): handler
        for kind in (Kind.ATTACHMENT, Kind.DESIGN_ATTACHMENT)
        for method, handler in (
            ("GET", attachments.get_attachment),
            ("HEAD", attachments.get_attachment),
            ("PUT", written_attachment.put_attachment),
            ("DELETE", written_attachment.delete_attachment),
        )
    },
}
"""What a database's endpoints do; a kind and method that is not here is denied."""

_WRITTEN = frozenset([Kind.DATABASE, Kind.BULK_DOCS, Kind.DOCUMENT, Kind.ATTACHMENT])
"""What is restored when it is written."""


class App:
    """The proxy: its configuration, its sources and who is known."""

    def __init__(
        self, config: Config, hubs: Mapping[str, Hub] = MappingProxyType({}), requests: Requests | None = None
    ) -> None:
        self.config = config
        self.upstreams = {
            name: Upstream(source, config.server.timeout, largest=config.server.largest_reply)
            for name, source in config.sources.items()
        }
        self.identifiers = {
            name: Identifier(upstream, config.server.session_ttl, config.server.anonymous, config.server.timeout)
            for name, upstream in self.upstreams.items()
        }
        self.views = Views(config, self.upstreams, hubs)
        self._memory = Memory(config)
        self._intake = Intake(config.server.max_bodies)
        self.closing = Closing()
        self._requests = Requests() if requests is None else requests
        self._cors = Policy(config.server.cors, _named_headers(config)) if config.server.cors is not None else None
        first = next(iter(config.sources))
        self._host_upstream = self.upstreams[first]
        self._host_identifier = self.identifiers[first]

    def close(self) -> None:
        """Close the connections to the sources."""
        for upstream in self.upstreams.values():
            upstream.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and count it."""
        exchange = Exchange(request, self.config.server, self.closing, self._intake)
        status = "aborted"
        try:
            response = await self._handle(exchange)
            status = str(response.status)
            return response
        finally:
            exchange.leave()
            self._requests.ended(exchange.kind, status)

    async def _handle(self, exchange: Exchange) -> web.StreamResponse:
        """Errors that have a CouchDB form get it; anything else is logged and says nothing."""
        request = exchange.request
        try:
            return await self._answer(exchange)
        except CouchError as error:
            return self._fail(exchange, error)
        except ConnectionError:  # the client hung up; raised, it would be logged as a failure of the proxy
            exchange.abort()
            return exchange.begun or web.Response()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.raw_path)
            return self._fail(exchange, CouchError("An internal error occurred; the proxy's log has the details."))

    def _fail(self, exchange: Exchange, error: CouchError) -> web.StreamResponse:
        """The error's answer or, where the answer has begun, the end of the connection."""
        begun, request = exchange.begun, exchange.request
        how = "failed" if begun is None else "broken off"
        if error.details is not None:  # it is the source's
            asked = exchange.upstream or self._host_upstream
            asked.troubles.ended(error, f"{request.method} {request.raw_path} {how}")
        elif begun is not None:
            log.warning("%s %s: %s", request.raw_path, how, error)
        if begun is None:
            return exchange.error(error)
        exchange.abort()
        return begun

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        request = exchange.request
        if self._cors is not None and _share(exchange, self._cors):
            return exchange.whole(b"", 204, exchange.headers())
        override = request.headers.get("X-HTTP-Method-Override")
        target = exchange.target = route(request.method, request.raw_path, override)
        exchange.kind = target.kind
        self._requests.began(target.kind)
        if not target.db:
            return await self._answer_host(exchange)
        try:
            database = self.views.locate(target.db)
        except NotFound:
            # which databases there are is not for everybody
            exchange.greet(await self._host_identifier.identify(self._claim(request)))
            raise
        exchange.upstream = self.upstreams[database.source.name]
        exchange.identify = Following(self.identifiers[database.source.name], self._claim(request))
        principal = await exchange.identify()
        exchange.greet(principal)
        exchange.view = self.views.open(target.db, principal, request.headers)
        if target.kind is Kind.TRUSTED:
            return await pass_through(exchange)
        to_write = target.kind in _WRITTEN and target.method not in _READ
        await self._memory.recall(exchange.view, to_write=to_write)
        exchange.recall = partial(self._memory.recall_again, exchange.view)
        handler = HANDLERS.get((target.kind, target.method))
        if handler is None:
            raise Forbidden(f"{target.method} is not available here through this proxy.")
        return await handler(exchange)

    def _claim(self, request: web.BaseRequest) -> Claim:
        return claim(request.headers, request.remote, behind_gateway=self.config.server.trust_forwarded)

    async def _answer_host(self, exchange: Exchange) -> web.StreamResponse:
        kind = exchange.target.kind
        if kind is Kind.UP:
            return await info.get_up(exchange, list(self.upstreams.values()))
        if kind is Kind.SESSION:
            return await session(exchange, self._host_upstream, self._host_identifier, self._claim(exchange.request))
        if kind is Kind.UUIDS:
            return info.get_uuids(exchange)
        principal = await self._host_identifier.identify(self._claim(exchange.request))
        exchange.greet(principal)
        if kind is Kind.ROOT:
            return await info.get_root(exchange, self._host_upstream, principal)
        if kind is Kind.ALL_DBS:
            return info.get_all_dbs(exchange, self.views.names(principal, exchange.request.headers))
        raise Forbidden("This is not available through this proxy.")


def _share(exchange: Exchange, cors: Policy) -> bool:
    """Let the answer say which pages may read it, whatever it becomes. True for a preflight: that is all of it."""
    exchange.more_vary = ", Origin"
    request = exchange.request
    preflight = cors.preflight(request.method, request.headers)
    exchange.extra_headers.extend(preflight or cors.simple(request.headers))
    return bool(preflight)


def _named_headers(config: Config) -> Iterator[str]:
    """The request headers by which profiles are chosen and devices described."""
    for profile in config.profiles.values():
        if profile.header is not None:
            yield profile.header[0]
        yield from profile.device_headers.values()


@asynccontextmanager
async def running(
    config: Config,
    feeds: Feeds | RemoteFeeds | None = None,
    listening: Sequence[socket.socket] = (),
    requests: Requests | None = None,
) -> AsyncIterator[tuple[str, int]]:
    """The proxy, listening while the context lasts; yields host and port (of a port 0, the one that was given).

    `feeds`: the indexes, where somebody else follows or wants to know of them. `listening`: sockets that are
    bound already; `requests`: where they are counted, if anybody wants to know.
    """
    feeds = Feeds(config) if feeds is None else feeds
    app = App(config, feeds.hubs, requests)
    server = HttpServer(app.handle, patience=config.server.client_timeout, max_line_size=2**16, max_field_size=2**16)
    sockets = listening or listen(config.server.host, config.server.port)
    try:
        async with served(server, sockets, seconds_to_end=_TIME_TO_END) as address:
            feeds.start()
            try:
                yield address
            finally:
                app.closing.begin()
    finally:
        await feeds.stop()
        app.close()


async def serve(config: Config, listening: Sequence[socket.socket], scrapes: Sequence[socket.socket]) -> None:
    """Run the proxy until SIGTERM or SIGINT. `scrapes`: where it answers those who ask for metrics."""
    tune()
    stop = stop_signals()
    feeds, requests = Feeds(config), Requests()

    async def collect() -> bytes:
        return render(of_process("worker 1", [*requests.samples(), *hub_samples(feeds.hubs)]))

    async with running(config, feeds, listening, requests) as (host, port), scraped(scrapes, collect):
        print(f"couch-tailor listens on http://{authority(host, port)}", flush=True)
        await stop.wait()
