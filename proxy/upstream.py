"""Requests to a source, built from decoded pieces, with errors in the project's own tree.

Bodies come as they are on the wire (content codings not undone). A reply that breaks off raises Unavailable from
whatever reads it; a connection that is not read to its end is closed, never kept. Redirects are not followed.

Two refusals are answered here, for bodies that can be sent again: 401 by logging in again (`account`), 429 by waiting
(`backoff`). Both are certain not to have been executed.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from functools import cached_property
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from multidict import CIMultiDict

from proxy.account import AS_ACCOUNT, Account, Credentials, Said, login, service_headers
from proxy.backoff import TOTAL_SECONDS, Backoff
from proxy.config.model import Source
from proxy.core import jsonio
from proxy.core import query as query_strings
from proxy.core.wire import WireError
from proxy.core.wire.mixed import JsonPart, is_mixed, json_parts
from proxy.errors import (
    BadContentType,
    BadRequest,
    Conflict,
    CouchError,
    Forbidden,
    NotAcceptable,
    NotDone,
    NotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from proxy.http_client import Body, BrokenOff, Connection, Silent, Sized, TooLong, multidict, request_head
from proxy.pool import Origin, Pool, Unreachable

Headers = Mapping[str, str]

_READING_POSTS = frozenset(("_bulk_get", "_revs_diff", "_missing_revs", "_all_docs", "_changes", "_find"))
"""What may be sent again when a kept connection turns out to be stale, although it is a POST."""

log = logging.getLogger("couch_tailor.upstream")

_WORD = re.compile(r"[A-Za-z_]{1,40}\Z")

JSON_HEADERS: Headers = {"Accept": "application/json", "Content-Type": "application/json"}
_FORM_HEADERS: Headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


def word(error: str) -> str:
    """A source's `error` if it is a word, as errors of CouchDB are, and not something that was on its mind."""
    return error if _WORD.match(error) else "unknown_error"


OF_ACCESS = frozenset(
    [
        "You are not authorized to access this db.",
        "You are not allowed to access this db.",
        "Name or password is incorrect.",
        "Authentication required.",
        "Account is temporarily locked due to multiple authentication failures",
    ]
)
"""What CouchDB itself says with the errors by which validation refuses a document."""

_ERRORS = {
    each.status: each.error
    for each in (
        *(BadRequest, Unauthorized, Forbidden, NotFound, NotAcceptable, Conflict, PreconditionFailed),
        *(TooLarge, BadContentType, RangeNotSatisfiable),
    )
}
"""What CouchDB calls the errors of these statuses."""

_SMALL = 16 * 1024
"""A piece of fewer bytes was not worth the while."""
LONG = 64 * 1024
"""A reply of fewer bytes is nearly there: nobody is kept waiting for its end."""
SHORT = 64 * 1024
"""Bytes of the longest error, or answer to a login, that is read."""
LARGEST = 256 * 1024 * 1024
"""Bytes of the longest reply that is held whole, where nothing else is said."""


class _Where(NamedTuple):
    """What messages say of who was asked: `called` to clients, `exactly`, and what for, to operators."""

    called: str
    exactly: str

    def failure(self, what: str, more: str = "") -> Unavailable:
        """The error that `what` was the matter. `more`: what else is known, not for clients."""
        return Unavailable(f"{self.called} {what}.", details=f"{self.exactly} {what}{more}.")

    def refusal(self, what: str, more: str = "") -> NotDone:
        """As `failure`, where nothing of what was asked has been done."""
        return NotDone(f"{self.called} {what}.", details=f"{self.exactly} {what}{more}.")


class Reply:
    """A reply of the source; a context manager that lets go of the connection."""

    def __init__(
        self, connection: Connection, pool: Pool, where: _Where, own: _Own | None = None, largest: int = LARGEST
    ) -> None:
        """`own`: the proxy's credentials, if the request had those. `largest`: bytes that JSON may have."""
        self._own = own
        self._largest = largest
        self._connection: Connection | None = connection
        self._open = connection
        self._pool = pool
        self._where = where
        self.status = connection.status
        self._bodiless = connection.head_only
        self.size = 0
        """Bytes of the body, once all of it was read."""
        self._raw_headers = connection.raw_headers

    @cached_property
    def headers(self) -> CIMultiDict[str]:
        return multidict(self._raw_headers)

    async def read(self, most: int | None = None) -> bytes:
        """The whole body. Raises Unavailable if it breaks off, TooLong if it goes on after `most` bytes."""
        try:
            # a small one comes together with the headers
            body = self._open.take() if self._open.complete else await self._open.read(most)
        except (Silent, BrokenOff) as error:
            raise _unavailable(error, self._where) from error
        self.size = len(body)
        return body

    async def within(self, most: int = SHORT) -> bytes:
        """The whole body of a reply that has no business to be longer than `most` bytes. Raises Unavailable."""
        try:
            return await self.read(most)
        except TooLong:
            raise self._where.failure(f"answered with more than {most} bytes") from None

    async def skip(self) -> None:
        """Read a body that nobody wants, so that the connection can be kept, unless it is long. Raises Unavailable."""
        with suppress(TooLong):
            await self.read(SHORT)

    async def json(self, most: int | None = 0) -> Any:
        """The body as JSON. Raises Unavailable if it is not: a source that lies is a source that is down. Longer than
        `most` bytes it raises TooLong; 0: longer than any document it is a lie as well; None: nobody can say how long
        it may be.

        A multipart body of a single part is that part: some servers give documents in no other way.
        """
        found, parts = await self._content(most)
        if parts is None:
            return found
        if len(parts) == 1:
            return parts[0].value
        raise self._where.failure(f"answered with {len(parts)} parts instead of JSON")

    async def open_revs(self) -> Any:
        """The answer to `open_revs`, JSON or multipart: a list of `{"ok": doc}` and `{"missing": rev}`.

        It may be of any length: a document can have any number of leaves.
        """
        found, parts = await self._content(None)
        return found if parts is None else [part.value if part.error else {"ok": part.value} for part in parts]

    async def _content(self, most: int | None) -> tuple[Any, list[JsonPart] | None]:
        """The JSON of the body, or the parts of it. `most` as in `json`. Raises Unavailable, TooLong."""
        body = await self.within(self._largest) if most == 0 else await self.read(most)
        try:
            return jsonio.loads(body), None
        except ValueError as error:
            kind = self.headers.get("Content-Type", "")
            if is_mixed(kind):
                return None, self._parts(kind, body)
            coding = self.headers.get("Content-Encoding", "identity")
            why = str(error) if coding == "identity" else f"it is compressed ({coding}), which was not asked for"
            raise self._where.failure(f"answered with something that is not JSON: {why}") from error

    def _parts(self, kind: str, body: bytes) -> list[JsonPart]:
        try:
            return json_parts(kind, body)
        except WireError as error:
            raise self._where.failure(f"answered with multipart that cannot be read: {error.reason}") from error

    async def chunks(self, *, gathered: bool = False) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unavailable if it breaks off.

        `gathered`: once it has proven to be long, small pieces are left to gather for a moment.
        """
        received = 0
        try:
            while chunk := await self._open.read_some():
                yield chunk
                received += len(chunk)
                if gathered and len(chunk) < _SMALL and received > LONG:
                    await self._open.gather()
        except (Silent, BrokenOff) as error:
            raise _unavailable(error, self._where) from error

    async def error(self, *, verbatim: bool = False, of_document: bool = False) -> CouchError:
        """The error that a reply other than 2xx stands for, in the source's words.

        Of an error of its own (5xx) the words are for the log, unless `verbatim`: a crash tells of what the source was
        working on, which can be a document that the client may not see. A refusal of the proxy's own account is for
        the log, too: the client would take it for one of its own, or of what it wrote. `of_document`: validation may
        refuse what was sent.
        """
        if self.status < 400:
            return self._where.refusal(f"answered {self.status}: redirects are not followed, its url must be right")
        try:
            error, reason = await self._words()
        except (ValueError, TypeError, KeyError, TooLong):
            return self._where.failure(f"answered {self.status} without saying why")
        is_verdict = of_document and reason not in OF_ACCESS
        if self._own is not None and self.status in self._own.refusals and not is_verdict:
            words = f" ({self.status} {error}: {reason}); {self._own.remedy}"
            return self._where.refusal("refuses the proxy itself", words)
        if self.status >= 500 and not verbatim:
            log.warning("%s answered %d %s: %s", self._where.exactly, self.status, error, reason)
            error, reason = word(error), f"The source answered {self.status}; the proxy's log has its words."
        return CouchError(reason, error=error, status=self.status)

    def unusable(self, what: str) -> Unavailable:
        """The error that the reply is not what was asked for."""
        return self._where.failure(what)

    async def _words(self) -> tuple[str, str]:
        """The source's `error` and `reason`. A reply to a HEAD has none: there, those that its status stands for.

        Raises ValueError, TypeError, KeyError or TooLong if there are none.
        """
        phrase = HTTPStatus(self.status).phrase  # raises for a number that stands for nothing
        if self._bodiless:
            return _ERRORS.get(self.status, "unknown_error"), phrase
        body = jsonio.loads(await self.read(SHORT))
        error, reason = body["error"], body["reason"]
        if not (isinstance(error, str) and isinstance(reason, str)):
            raise TypeError
        return error, reason

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


class _Own(NamedTuple):
    """Credentials of the proxy. `refusals`: the statuses by which a source refuses these, not what is asked for."""

    refusals: tuple[int, ...]
    remedy: str


def _own(source: Source) -> _Own | None:
    if source.auth == "client":
        return None
    if source.one_account:
        return _Own(
            (401, 403), f"check the account of sources.{source.name}: its name, its secret, and what it may do."
        )
    # a client by its name, who may be refused; but it is known who that is
    return _Own((401,), f"check proxy_secret and proxy_hash of sources.{source.name}.")


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
    where: _Where


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
        where = _Where(self._called, f"{self._called}{self._of} ({method} {path})")
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
            raise _unavailable(error, where) from error
        return Reply(connection, self._pool, where, self._own if self._are_own(headers) else None, self._largest)

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
            raise NotDone(error.reason, error=error.error, status=error.status, details=error.details) from error

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


def _unavailable(error: Silent | Unreachable | BrokenOff, where: _Where) -> Unavailable:
    """What a failure to talk to the source is to the client."""
    if isinstance(error, Unreachable):
        return where.refusal("cannot be reached", f": {error}")
    if isinstance(error, BrokenOff):
        return where.failure("broke off", f": {error}")
    failure = where.failure("did not answer in time")
    failure.error, failure.status = "gateway_timeout", 504
    return failure


def _digestion(body: Body) -> float:
    """Seconds that the source may need after the last byte: it may still have a second's work with every MiB."""
    size = body.length if isinstance(body, Sized) else len(body) if isinstance(body, bytes) else 0
    return size / 2**20


def _without_authorization(headers: Headers) -> Headers:
    return {name: value for name, value in headers.items() if name != "Authorization"}
