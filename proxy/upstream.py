"""Requests to a source, built from decoded pieces, with errors in the project's own tree.

Bodies come as they are on the wire (content codings not undone). A reply that breaks off raises Unavailable from
whatever reads it; a connection that is not read to its end is closed, never kept. Redirects are not followed.

Two refusals are answered here, for bodies that can be sent again: 401 by logging in again (`account`), 429 by waiting
(`backoff`). Both are certain not to have been executed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from proxy.account import AS_ACCOUNT, Account, Credentials, Said, login, service_headers
from proxy.backoff import TOTAL_SECONDS, Backoff
from proxy.config.model import Source
from proxy.core import jsonio
from proxy.core import query as query_strings
from proxy.errors import NotDone, Unavailable
from proxy.http_client import Body, BrokenOff, Silent, Sized, request_head
from proxy.pool import Origin, Pool, Unreachable
from proxy.reply import LARGEST, Own, Reply, Where, unavailable
from proxy.troubles import Troubles

Headers = Mapping[str, str]

_READING_POSTS = frozenset(("_bulk_get", "_revs_diff", "_missing_revs", "_all_docs", "_changes", "_find"))
"""What may be sent again when a kept connection turns out to be stale, although it is a POST."""

JSON_HEADERS: Headers = {"Accept": "application/json", "Content-Type": "application/json"}
_FORM_HEADERS: Headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


def _own(source: Source) -> Own | None:
    if source.auth == "client":
        return None
    if source.one_account:
        return Own((401, 403), f"check the account of sources.{source.name}: its name, its secret, and what it may do")
    # a client by its name, who may be refused; but it is known who that is
    return Own((401,), f"check proxy_secret and proxy_hash of sources.{source.name}")


class _Asked(NamedTuple):
    """A request, as it is sent however often. `limit`: seconds of silence;
    `reads`: it changes nothing.
    """

    method: str
    target: str
    headers: Headers
    body: Body
    limit: float | None
    reads: bool
    where: Where


class Upstream:
    """Requests to one source. `timeout`: seconds without a byte after which a request is given up; `called`: what
    messages call the source; `of`: what they add for operators; `largest`: bytes of JSON that are held whole.
    """

    def __init__(
        self,
        source: Source,
        timeout: float = 60.0,
        called: str = "The source",
        of: str = "",
        largest: int = LARGEST,
    ) -> None:
        self.source = source
        self.troubles = Troubles(source.name)
        self._largest = largest
        self._timeout = timeout
        self._called = called
        self._of = of
        url = urlsplit(source.url)
        tls = ssl.create_default_context() if url.scheme == "https" else None
        port = url.port or (443 if tls else 80)
        self._host = url.netloc.rpartition("@")[2]
        self._prefix = url.path.rstrip("/")
        self._pool = Pool(Origin(url.hostname or "", port, tls))
        self._token_service: Upstream | None = None
        self._account = None if login(source) is None else Account(self._log_in)
        self._own = _own(source)
        self._service = service_headers(source).get("Authorization") if source.auth == "service" else None

    def close(self) -> None:
        """Close the connections that are kept."""
        if self._account is not None:
            self._account.close()
        if self._token_service is not None:
            self._token_service.close()
        self._pool.close()

    async def account_headers(self) -> Headers:
        """What authenticates the service account of a source whose account logs in. Raises Unavailable."""
        return {} if self._account is None else await self._account.headers()

    async def request(
        self,
        method: str,
        path: str,
        pairs: query_strings.Pairs | None = None,
        *,
        headers: Headers,
        body: Body = None,
        timeout: float | None = 0,
        changes_nothing: bool = False,
    ) -> Reply:
        """Send a request. `path` is canonical (`core.endpoints.path`); `timeout`: seconds without a byte, None: none;
        `changes_nothing`: it may be sent twice, which goes without saying for some.

        Raises Unavailable: 502 if the source cannot be reached or breaks off, 504 if it does not answer in time.
        """
        target = f"{self._prefix}{path}?{query_strings.encode(pairs)}" if pairs else self._prefix + path
        limit = self._timeout if timeout == 0 else timeout
        reads = changes_nothing or method in ("GET", "HEAD")
        reads = reads or (isinstance(body, bytes) and path.rpartition("/")[2] in _READING_POSTS)
        where = Where(self._called, f"{self._called}{self._of} ({method} {path})", self.troubles)
        asked = _Asked(method, target, headers, body, limit, reads, where)
        held = None if self._account is None else await self._held(headers)
        reply = await self._once(asked, held)
        if reply.status in (401, 429):
            return await self._insist(asked, reply, held)
        return reply

    async def _once(self, asked: _Asked, held: Headers | None) -> Reply:
        method, target, headers, body, limit, reads, where = asked
        sent = headers if held is None else {**_without_authorization(headers), **held}
        head = request_head(method, target, self._host, sent.items(), body)
        try:
            connection = await self._pool.exchange(head, body, method, limit, reads, 0.0 if reads else _digestion(body))
        except (Silent, Unreachable, BrokenOff) as error:
            raise unavailable(error, where) from error
        own = self._own if self._are_own(headers) else None
        reply = Reply(connection, self._pool, where, own, self._largest)
        if reply.status < 500 and (own is None or reply.status not in own.refusals):
            self.troubles.succeeded(by_account=own is self._own)
        return reply

    def _are_own(self, headers: Headers) -> bool:
        """Whether these are credentials of the proxy, and not a client's."""
        if self.source.auth == "proxy":
            return "X-Auth-CouchDB-UserName" in headers
        return headers.get("Authorization") == (self._service or AS_ACCOUNT["Authorization"])

    async def _held(self, headers: Headers) -> Headers | None:
        """The account's credentials for a request that is made by it."""
        if self._account is None or headers.get("Authorization") != AS_ACCOUNT["Authorization"]:
            return None
        try:
            return await self._account.headers()
        except Unavailable as error:
            failed = NotDone(error.reason, error=error.error, status=error.status, details=error.details)
            failed.of_account = True
            raise failed from error

    async def _insist(self, asked: _Asked, reply: Reply, held: Headers | None) -> Reply:
        """Answer refusals for as long as that makes sense; the last reply."""
        may_repeat = asked.body is None or type(asked.body) is bytes
        backoff = Backoff(TOTAL_SECONDS if asked.limit is None else min(asked.limit, TOTAL_SECONDS))
        logins = 0
        while reply.status in (401, 429):
            pause: float | None = None
            if reply.status == 429:
                pause = backoff.pause(reply.headers.get("Retry-After"))
            elif self._account is not None and held is not None and self._account.refused(held) and not logins:
                logins, pause = 1, 0.0
            if pause is None or not may_repeat:
                return reply
            async with reply:
                await reply.skip()
            await asyncio.sleep(pause)
            held = await self._held(asked.headers)
            reply = await self._once(asked, held)
        return reply

    async def _log_in(self) -> Credentials:
        """New credentials for the account. Raises Unavailable."""
        how = login(self.source)
        assert how is not None
        if self.source.auth == "iam" and self._token_service is None:
            origin = urlsplit(self.source.token_url)
            where = Source("iam", f"{origin.scheme}://{origin.netloc}")
            self._token_service = Upstream(where, self._timeout, "The token service", f" of sources.{self.source.name}")
        service = self._token_service or self
        path = urlsplit(self.source.token_url).path if self._token_service else "/_session"
        async with await service.request(
            "POST", path, headers=_FORM_HEADERS, body=how.form, changes_nothing=True
        ) as reply:
            said = Said(reply.status, reply.headers.getall("Set-Cookie", []), await reply.within())
        return how.read(said)

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


def _digestion(body: Body) -> float:
    """Seconds that the source may need after the last byte: it may still have a second's work with every MiB."""
    size = body.length if isinstance(body, Sized) else len(body) if isinstance(body, bytes) else 0
    return size / 2**20


def _without_authorization(headers: Headers) -> Headers:
    return {name: value for name, value in headers.items() if name != "Authorization"}
