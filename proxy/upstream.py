"""Requests to a source, built from decoded pieces, with errors in the project's own tree.

Bodies come as they are on the wire (content codings not undone). A reply that breaks off raises Unavailable from
whatever reads it; a connection that is not read to its end is closed, never kept.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from multidict import CIMultiDict

from proxy.config.model import Source
from proxy.core import jsonio
from proxy.core import query as query_strings
from proxy.errors import CouchError, Unavailable
from proxy.http_client import Body, BrokenOff, Connection, Silent, multidict, request_head
from proxy.pool import Origin, Pool, Unreachable

Headers = Mapping[str, str]
T = TypeVar("T")

_READING_POSTS = frozenset(("_bulk_get", "_revs_diff", "_missing_revs", "_all_docs", "_changes", "_find"))
"""What may be sent again when a kept connection turns out to be stale, although it is a POST."""

JSON_HEADERS: Headers = {"Accept": "application/json", "Content-Type": "application/json"}


class Reply:
    """A reply of the source; a context manager that lets go of the connection."""

    def __init__(self, connection: Connection, pool: Pool, where: str) -> None:
        self._connection: Connection | None = connection
        self._open = connection
        self._pool = pool
        self._where = where
        self.status = connection.status
        self._raw_headers = connection.raw_headers

    @cached_property
    def headers(self) -> CIMultiDict[str]:
        return multidict(self._raw_headers)

    async def read(self) -> bytes:
        """The whole body. Raises Unavailable if it breaks off."""
        return await _talk(self._open.read(), self._where)

    async def json(self) -> Any:
        """The body as JSON. Raises Unavailable if it is not: a source that lies is a source that is down."""
        body = await self.read()
        try:
            return jsonio.loads(body)
        except ValueError as error:
            raise Unavailable(f"{self._where} answered with something that is not JSON: {error}") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unavailable if it breaks off."""
        while chunk := await _talk(self._open.read_some(), self._where):
            yield chunk

    async def error(self) -> CouchError:
        """The error that a reply other than 2xx stands for, in the source's words."""
        try:
            body = jsonio.loads(await self.read())
            return CouchError(str(body.get("reason")), error=str(body.get("error")), status=self.status)
        except (ValueError, AttributeError):
            return Unavailable(f"{self._where} answered {self.status} without saying why.")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the connection back if the body was read to its end, close it otherwise."""
        if self._connection is not None:
            self._pool.give_back(self._connection)
            self._connection = None


class Upstream:
    """Requests to one source. `timeout`: seconds without a byte after which a request is given up."""

    def __init__(self, source: Source, timeout: float = 60.0) -> None:
        self.source = source
        self._timeout = timeout
        url = urlsplit(source.url)
        tls = ssl.create_default_context() if url.scheme == "https" else None
        port = url.port or (443 if tls else 80)
        self._host = url.netloc.rpartition("@")[2]
        self._prefix = url.path.rstrip("/")
        self._pool = Pool(Origin(url.hostname or "", port, tls))

    def close(self) -> None:
        """Close the connections that are kept."""
        self._pool.close()

    async def request(
        self,
        method: str,
        path: str,
        pairs: query_strings.Pairs | None = None,
        *,
        headers: Headers,
        body: Body = None,
        timeout: float | None = 0,
    ) -> Reply:
        """Send a request. `path` is canonical (`core.endpoints.path`); `timeout`: seconds without a byte, None: none.

        Raises Unavailable: 502 if the source cannot be reached or breaks off, 504 if it does not answer in time.
        """
        target = f"{self._prefix}{path}?{query_strings.encode(pairs)}" if pairs else self._prefix + path
        where = f"The source ({method} {path})"
        limit = self._timeout if timeout == 0 else timeout
        reads = method in ("GET", "HEAD") or (isinstance(body, bytes) and path.rpartition("/")[2] in _READING_POSTS)
        head = request_head(method, target, self._host, headers.items(), body)
        return Reply(await _talk(self._pool.exchange(head, body, method, limit, reads), where), self._pool, where)

    async def json(
        self,
        method: str,
        path: str,
        pairs: query_strings.Pairs | None = None,
        *,
        headers: Headers,
        body: Any = None,
    ) -> Any:
        """Send a request with a JSON body, if any, and return the JSON of a 2xx reply. Raises the source's error."""
        data = None if body is None else jsonio.dumps(body)
        async with await self.request(method, path, pairs, headers={**JSON_HEADERS, **headers}, body=data) as reply:
            if reply.status >= 300:
                raise await reply.error()
            return await reply.json()


async def _talk(doing: Awaitable[T], where: str) -> T:
    """The result of talking to the source, with its failures as Unavailable."""
    try:
        return await doing
    except Silent as error:
        raise Unavailable(f"{where} did not answer in time.", error="gateway_timeout", status=504) from error
    except Unreachable as error:
        raise Unavailable(f"{where} cannot be reached: {error}.") from error
    except BrokenOff as error:
        raise Unavailable(f"{where} broke off: {error}.") from error
