"""The only HTTP client: requests to a source, built from decoded pieces, with errors in the project's own tree.

Bodies come as they are on the wire (content codings not undone). A reply that breaks off raises Unavailable from
whatever reads it; a connection that is not read to its end is closed, never put back into the pool.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.config.model import Source
from proxy.core import jsonio
from proxy.core import query as query_strings
from proxy.errors import CouchError, Unavailable

Headers = Mapping[str, str]
Body = bytes | AsyncIterator[bytes] | None

_SKIPPED = (hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT, hdrs.CONTENT_TYPE, hdrs.ACCEPT)
JSON_HEADERS: Headers = {"Accept": "application/json", "Content-Type": "application/json"}


class Reply:
    """A reply of the source; a context manager that lets go of the connection."""

    def __init__(self, response: aiohttp.ClientResponse, where: str) -> None:
        self._response = response
        self._where = where
        self.status = response.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self._response.headers

    async def read(self) -> bytes:
        """The whole body. Raises Unavailable if it breaks off."""
        try:
            return await self._response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise broke_off(self._where, error) from error

    async def json(self) -> Any:
        """The body as JSON. Raises Unavailable if it is not: a source that lies is a source that is down."""
        body = await self.read()
        try:
            return jsonio.loads(body)
        except ValueError as error:
            raise Unavailable(f"{self._where} answered with something that is not JSON: {error}") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unavailable if it breaks off."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise broke_off(self._where, error) from error

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
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class Upstream:
    """Requests to one source."""

    def __init__(self, source: Source, session: aiohttp.ClientSession) -> None:
        self.source = source
        self._session = session

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
        url = f"{self.source.url}{path}"
        if pairs:
            url = f"{url}?{query_strings.encode(pairs)}"
        where = f"The source ({method} {path})"
        options: dict[str, Any] = {}
        if timeout != 0:
            options["timeout"] = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=timeout)
        try:
            response = await self._session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                skip_auto_headers=_SKIPPED,
                **options,
            )
        except TimeoutError as error:
            raise Unavailable(f"{where} did not answer in time.", error="gateway_timeout", status=504) from error
        except (aiohttp.ClientError, OSError) as error:
            raise broke_off(where, error) from error
        return Reply(response, where)

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


def broke_off(where: str, error: BaseException) -> Unavailable:
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where} stopped answering.", error="gateway_timeout", status=504)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unavailable(f"{where} cannot be reached: {error.os_error or error}.")
    return Unavailable(f"{where} broke off: {type(error).__name__}.")


def open_session(timeout: float) -> aiohttp.ClientSession:
    """The session that all upstreams share: unlimited connections, no cookies of its own, bodies left as they are."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=timeout),
        read_bufsize=2**18,
        max_line_size=2**16,
        max_field_size=2**16,
    )
