"""One request and its answer: reading bodies within limits, and answering in CouchDB's form."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Protocol

from aiohttp import web
from multidict import CIMultiDict

from proxy import __version__
from proxy.closing import Closing
from proxy.config.model import Server
from proxy.core import jsonio
from proxy.core.endpoints import Kind, Target
from proxy.core.query import Query
from proxy.core.wire.gzip import inflated
from proxy.errors import BadContentType, BadRequest, CouchError, MethodNotAllowed, TooLarge
from proxy.http_server import patient
from proxy.identify import Principal
from proxy.intake import SMALL, Arrival, Intake
from proxy.sent import Whole
from proxy.sockets import reset
from proxy.turns import in_turns
from proxy.upstream import Upstream
from proxy.view import View

_SERVER_NAME = f"couch-tailor/{__version__} (CouchDB)"
_JSON_TYPE = ("Content-Type", "application/json")
_NEVER = Closing()
_WEIGHT = 8
"""Bytes of memory that a body may take when it is decoded, for each byte that one may have: documents take from two to
seven times their text, a list of empty lists fifty times."""
_USUAL_WEIGHT = 3
"""Bytes of memory that what bodies are decoded to mostly takes, for each byte of theirs."""
_MOST_INFLATED = 1032
"""How many times larger what was compressed can be than that."""
_LEAST_BODY = 8 * 1024 * 1024
"""Bytes that bodies may have at least, in this respect: small ones take little, whatever is in them."""
_request_numbers = count(secrets.randbits(40))
_REQUEST_ID = re.compile(r"[0-9A-Za-z_-]{1,36}\Z")


class Recall(Protocol):
    """See `Exchange.recall`."""

    async def __call__(self, *, now: bool = False) -> None: ...


class Exchange:
    """A routed request on its way to an answer."""

    def __init__(
        self, request: web.BaseRequest, server: Server, closing: Closing = _NEVER, intake: Intake | None = None
    ) -> None:
        """`closing`: what ends waits when the server is to end. `intake`: where all requests have their bodies."""
        self.request = request
        self.server = server
        self.closing = closing
        self._intake = intake or Intake(server.max_bodies)
        self._place = self._lasting = 0
        """Bytes of the place that the body has there, and of one that lasts as long as the answer."""
        self.extra_headers: list[tuple[str, str]] = []
        """Headers that every answer gets, such as a refreshed session cookie."""
        self.more_vary = ""
        """What else than the view's headers decides about the answer, for `Vary`; begins with a comma."""
        self.begun: web.StreamResponse | None = None
        """The answer, once its first bytes may be on their way."""
        self.identify: Callable[[], Awaitable[Principal]] | None = None
        """Asks once more who the client is: what a long answer may show can change while it lasts."""
        self.recall: Recall | None = None
        """Sees once more that what the client is shown is recorded, if that was long ago, or `now`: others may have
        been shown something else meanwhile.
        """
        self.upstream: Upstream | None = None
        """The source that the request is for; None: the first one."""
        self.target: Target
        self.kind: Kind | None = None
        """That of the target, once the request is routed."""
        self._view: View | None = None
        self._query: Query | None = None

    @property
    def view(self) -> View:
        """The view through which the request is answered; requests at the server's root have none."""
        assert self._view is not None
        return self._view

    @view.setter
    def view(self, view: View) -> None:
        self._view = view

    def greet(self, principal: Principal) -> None:
        """Hand the client the session cookie that the source has refreshed, if it has."""
        if principal.set_cookie is not None:
            self.extra_headers.append(("Set-Cookie", principal.set_cookie))

    @property
    def query(self) -> Query:
        if self._query is None:
            self._query = Query(list(self.target.pairs))
        return self._query

    @property
    def method(self) -> str:
        """The method in force, which `X-HTTP-Method-Override` may have changed."""
        return self.target.method

    def headers(self, more: Mapping[str, str] | None = None) -> CIMultiDict[str]:
        """The headers of an answer; `more` of a name replace those that every answer has."""
        headers = CIMultiDict(self._common_headers())
        if more:
            headers.update(more)
        return headers

    def _common_headers(self) -> list[tuple[str, str]]:
        sent = self.request.headers.get("X-Couch-Request-ID", "")
        request_id = sent if sent and _REQUEST_ID.match(sent) else f"{next(_request_numbers) & 0xFFFFFFFFFF:010x}"
        return [
            ("Server", _SERVER_NAME),
            ("X-Couch-Request-ID", request_id),
            ("Cache-Control", "must-revalidate, private"),
            ("Vary", (self._view.vary if self._view is not None else "Authorization, Cookie") + self.more_vary),
            *self.extra_headers,
        ]

    def json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Whole:
        """An answer with a JSON value on a line of its own."""
        return self.raw_json(jsonio.dumps(value), status, headers)

    def raw_json(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Whole:
        """An answer with JSON text, to which the line end is added."""
        all_headers = [*self._common_headers(), _JSON_TYPE]
        if headers:
            if "Cache-Control" in headers or "Content-Type" in headers:
                all_headers = [pair for pair in all_headers if pair[0] not in headers]
            all_headers.extend(headers.items())
        return self.whole(body + b"\n", status, all_headers)

    def whole(self, body: bytes, status: int, headers: CIMultiDict[str] | list[tuple[str, str]]) -> Whole:
        """An answer whose body is at hand; HEAD gets its length only."""
        if self.request.method != "HEAD" and getattr(self, "target", None) and self.target.method == "HEAD":
            body = b""  # HEAD by method override
        return Whole(status, headers if isinstance(headers, list) else headers.items(), body)

    def error(self, error: CouchError) -> Whole:
        """An error in CouchDB's form."""
        headers = {"Allow": error.allowed.replace(",", ", ")} if isinstance(error, MethodNotAllowed) else None
        # a reason may repeat bytes of a header that are no text
        reason = error.reason.encode("utf-8", "replace").decode()
        body = jsonio.dumps({"error": error.error, "reason": reason, **error.members}) + b"\n"
        all_headers = [*self._common_headers(), _JSON_TYPE, *(headers or {}).items()]
        return Whole(error.status, all_headers, body, close=isinstance(error, TooLarge))

    async def stream(self, headers: Mapping[str, str], status: int = 200) -> web.StreamResponse:
        """Begin an answer of which the rest is written piece by piece. Raises CouchError (503) where too much is held
        for answers like this.
        """
        if self._place and not self._lasting:
            if not self._intake.change(self._place):
                raise _no_room()
            self._lasting, self._place = self._place, 0
        response = web.StreamResponse(status=status, headers=self.headers(headers))
        if self.target.method == "HEAD" and self.request.method != "HEAD":
            response.content_length = 0  # HEAD by method override: to HTTP it is a POST, whose body is none
        self.begun = response
        await response.prepare(self.request)
        return response

    def abort(self) -> None:
        """Cut the client's connection: what was sent so far must not look complete."""
        transport = self.request.transport
        if transport is None:
            return
        if self.begun is not None and self.begun.content_length is not None:
            reset(transport)  # a close is no news where a length was told: PouchDB 9 in Node waits for ever
        else:
            transport.abort()

    async def incoming(self) -> AsyncIterator[bytes]:
        """The request's body as it comes, as it is. A client that waits to be told (`Expect`) is told to go on.

        Raises BadRequest where its framing breaks, CouchError (408) if it does not go on for `client_timeout`.
        """
        request = self.request
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async for chunk in patient(request.content, self.server.client_timeout):
            yield chunk

    async def read_body(self, limit: int | None = None) -> bytes:
        """The request's body, at most `server.max_body` bytes after inflating. Raises TooLarge.

        It has its place in memory until the answer is there, or begins.
        """
        limit = self.server.max_body if limit is None else limit
        length = self.request.content_length
        if length is not None and length > limit:
            raise TooLarge("the request entity is too large")
        coding = self.request.headers.get("Content-Encoding", "identity")
        async with self.arrival(self.incoming(), limit) as arrival:
            if coding == "gzip":
                body = await self._inflated(arrival, limit)
                if self._place:
                    place = _place_of(len(body), jsonio.weight(body))
                    self._intake.give(self._place - place)
                    self._place = place
                return body
            if coding == "identity":
                return await self.read_arrived(arrival)
        raise BadContentType(f"Unsupported Content-Encoding: {coding}")

    async def read_arrived(self, arrival: Arrival) -> bytes:
        """What has arrived of the body, likewise."""
        await self._enter(arrival.size, arrival.weight)
        return arrival.read()

    @asynccontextmanager
    async def arrival(self, pieces: AsyncIterator[bytes], limit: int) -> AsyncIterator[Arrival]:
        """What comes in pieces, all of it, as it is: kept while the context lasts. Raises TooLarge."""
        with Arrival(self._intake) as arrival:
            async for piece in pieces:
                arrival.write(piece)
                if arrival.size > limit:
                    raise TooLarge("the request entity is too large")
            yield arrival

    async def _inflated(self, data: Arrival, limit: int) -> bytes:
        """The content of gzip `data`. If it is larger than it says, it needs another place, and begins anew."""
        said = min(int.from_bytes(data.end, "little"), _MOST_INFLATED * data.size)
        size = min(limit, max(data.size, said))
        while True:
            await self._enter(size, _USUAL_WEIGHT * size)
            try:
                return b"".join(await in_turns(inflated(data.read(), size), bytes))
            except TooLarge:
                if size == limit:
                    raise
            self.leave()
            size = min(limit, 4 * size + SMALL)

    async def _enter(self, size: int, weight: int) -> None:
        """Wait until there is room for a body of so many bytes, and for what it is decoded to. Raises CouchError (503)
        if there is none for `server.timeout`.
        """
        if size <= SMALL:
            return
        place = _place_of(size, weight)
        try:
            await self._intake.take(place, self.server.timeout)
        except TimeoutError:
            raise _no_room() from None
        self._place = place

    def leave(self) -> None:
        """Nothing is held of the body any more."""
        self._intake.give(self._place)
        self._intake.end(self._lasting)
        self._place = self._lasting = 0

    def parse(self, text: bytes) -> Any:
        """The value of JSON that the client sent. Raises BadRequest, and TooLarge for what would take too much memory.

        A kilobyte of compressed brackets can become a megabyte of them, and that fifty of lists.
        """
        if jsonio.weighs_more(text, _WEIGHT * max(self.server.max_body, _LEAST_BODY)):
            raise TooLarge("the request entity is too large: decoded, it would take too much memory")
        try:
            return jsonio.loads_sent(text)
        except (ValueError, RecursionError):
            raise BadRequest("invalid UTF-8 JSON") from None

    async def read_json(self, *, typed: bool = True, optional: bool = False) -> Any:
        """The request's JSON body. `typed`: a Content-Type other than application/json is refused with 415. `optional`:
        nothing at all is an empty object. Raises as `parse` does.
        """
        if typed:
            kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
            if kind != "application/json":
                raise BadContentType("Content-Type must be application/json")
        body = await self.read_body()
        return {} if optional and not body else self.parse(body)

    async def read_object(self, *, typed: bool = True, optional: bool = False) -> dict[str, Any]:
        """The request's JSON body, which must be an object."""
        value = await self.read_json(typed=typed, optional=optional)
        if not isinstance(value, dict):
            raise BadRequest("Request body must be a JSON object")
        return value


def _no_room() -> CouchError:
    reason = "Too many requests with large bodies are under way. Try again later."
    return CouchError(reason, error="service_unavailable", status=503)


def _place_of(size: int, weight: int) -> int:
    """Bytes of memory for a body of so many, what it is decoded to, and what is made of that."""
    return 2 * size + weight


def etag_matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names the entity tag (with its quotes); `*` is not honoured, as in CouchDB."""
    if not header:
        return False
    return any(piece.strip().removeprefix("W/") == etag for piece in header.split(","))
