"""One request, parsed once: decoded path, query, headers, who asks, and the body as JSON or as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aiohttp import web
from multidict import CIMultiDictProxy

from proxy.core import jsonio, query
from proxy.core.wire.gzip import inflate
from proxy.errors import BadContentType, BadRequest, TooLarge
from proxy.http_server import PATIENCE, patient

if TYPE_CHECKING:
    from proxy.endpoint.http.app import Endpoint
    from proxy.endpoint.http.auth import Identity

OVERRIDES = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "COPY", "TRACE", "CONNECT"))
INVALID_JSON = "invalid UTF-8 JSON"


class Call:
    """A request to the endpoint. `path` are the decoded pieces, empty ones dropped (wire: `//db//a%2Fb/` → db, a/b)."""

    __slots__ = ("__dict__", "endpoint", "headers", "identity", "method", "path", "raw_query", "request")
    identity: Identity

    def __init__(self, request: web.BaseRequest, endpoint: Endpoint) -> None:
        self.request = request
        self.endpoint = endpoint
        self.headers: CIMultiDictProxy[str] = request.headers
        self.method = request.method
        if self.method == "POST":
            override = self.headers.get("X-HTTP-Method-Override")
            if override in OVERRIDES:  # what was asked for by POST has a body on the wire: as in CouchDB, that of GET
                self.method = "GET" if override == "HEAD" else override
        path, _, self.raw_query = _origin_form(request.raw_path).partition("?")
        self.path = _pieces(path)

    @cached_property
    def query(self) -> query.Query:
        return query.Query(query.parse(self.raw_query))

    @property
    def reads(self) -> bool:
        """Whether the method is GET, or HEAD, which runs as GET with the body cut."""
        return self.method in ("GET", "HEAD")

    def need_json_type(self) -> None:
        self.need_type("application/json")

    def need_type(self, content_type: str) -> None:
        """Raises BadContentType unless the body is declared as of this type (exactly, before any `;`)."""
        if self.headers.get("Content-Type", "").partition(";")[0] != content_type:
            raise BadContentType(f"Content-Type must be {content_type}")

    async def json(self, *, optional: bool = False) -> Any:
        """The JSON value of the body, inflated if it came gzipped. `optional`: nothing at all is an empty object.

        Raises BadRequest, TooLarge, BadContentType.
        """
        body = await self.body()
        if optional and not body:
            return {}
        try:
            return jsonio.loads(body)
        except ValueError:
            raise BadRequest(INVALID_JSON) from None

    async def json_object(self, *, optional: bool = False) -> dict[str, Any]:
        value = await self.json(optional=optional)
        if not isinstance(value, dict):
            raise BadRequest("Request body must be a JSON object")
        return value

    async def body(self) -> bytes:
        """The whole body, inflated if it came gzipped; both sizes are limited."""
        coding = self.headers.get("Content-Encoding")
        if coding not in (None, "identity", "gzip"):
            raise BadContentType(f"{coding} is not a supported content encoding.")
        raw = await self._read()
        return raw if coding != "gzip" else inflate(raw, self.endpoint.max_body)

    async def _read(self) -> bytes:
        limit = self.endpoint.max_body
        if (self.request.content_length or 0) > limit:
            raise too_large()
        pieces: list[bytes] = []
        total = 0
        async for piece in self.chunks():
            pieces.append(piece)
            total += len(piece)
            if total > limit:
                raise too_large()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives, not inflated. Raises ConnectionError if the client hangs up in between."""
        self.accept_body()
        async for chunk in patient(self.request.content, PATIENCE):
            yield chunk

    def accept_body(self) -> None:
        """Answer `Expect: 100-continue`: CouchDB does so when it reads the body, not before."""
        expect = self.headers.get("Expect")
        transport = self.request.transport
        if expect is not None and expect.lower() == "100-continue" and transport is not None:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def location(self, *pieces: str) -> str:
        """The absolute URL of a path, by the Host that the client named, escaped as CouchDB does."""
        host = self.headers.get("Host") or self.endpoint.host
        return f"http://{host}/" + "/".join(map(query.escape, pieces))

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """Cookies by name, without unquoting. A later one of the same name wins."""
        found: dict[str, str] = {}
        for piece in self.headers.get("Cookie", "").split(";"):
            name, equals, value = piece.strip().partition("=")
            if equals:
                found[name] = value.strip('"')
        return found


def too_large() -> TooLarge:
    return TooLarge("the request entity is too large")


def _origin_form(target: str) -> str:
    """Path and query of a request target; the absolute form is honoured."""
    if target.startswith("/"):
        return target
    _, separator, rest = target.partition("://")
    slash = rest.find("/")
    return rest[slash:] if separator and slash >= 0 else "/"


def _pieces(path: str) -> list[str]:
    if "%" not in path and "+" not in path:
        return [piece for piece in path.split("/") if piece]
    return [query.decode(piece) for piece in path.split("/") if piece]
