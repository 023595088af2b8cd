"""What a source answered: its body as it comes, or an error in the project's own tree.

A reply that breaks off raises Unavailable from whatever reads it; a connection that is not read to its end is closed,
never kept.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cached_property
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, Self

from multidict import CIMultiDict

from proxy.core import jsonio
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
from proxy.http_client import BrokenOff, Connection, Silent, TooLong, multidict
from proxy.pool import Pool, Unreachable
from proxy.troubles import Troubles

_WORD = re.compile(r"[A-Za-z_]{1,40}\Z")


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


class Where(NamedTuple):
    """What messages say of who was asked: `called` to clients, `exactly`, and what for, to operators. `troubles`: what
    the log says of it.
    """

    called: str
    exactly: str
    troubles: Troubles

    def failure(self, what: str, more: str = "") -> Unavailable:
        """The error that `what` was the matter. `more`: what else is known, not for clients."""
        return Unavailable(f"{self.called} {what}.", details=f"{self.exactly} {what}{more}.")

    def refusal(self, what: str, more: str = "") -> NotDone:
        """As `failure`, where nothing of what was asked has been done."""
        return NotDone(f"{self.called} {what}.", details=f"{self.exactly} {what}{more}.")


class Own(NamedTuple):
    """Credentials of the proxy. `refusals`: the statuses by which a source refuses these, not what is asked for."""

    refusals: tuple[int, ...]
    remedy: str


class Reply:
    """A reply of the source; a context manager that lets go of the connection."""

    def __init__(
        self, connection: Connection, pool: Pool, where: Where, own: Own | None = None, largest: int = LARGEST
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
            raise unavailable(error, self._where) from error
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
            raise unavailable(error, self._where) from error

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
        if self.of_account and not is_verdict:
            return self._refusal(error, reason)
        if self.status >= 500 and not verbatim:
            answered = f"answered {self.status} {error}: {reason}"
            self._where.troubles.failed(f"{self._where.called} {answered}", f"{self._where.exactly} {answered}")
            error, reason = word(error), f"The source answered {self.status}; the proxy's log has its words."
        return CouchError(reason, error=error, status=self.status)

    @property
    def of_account(self) -> bool:
        """Whether it has a status by which a source refuses the proxy's own account, and the request had that."""
        return self._own is not None and self.status in self._own.refusals

    def refusal_in(self, said: bytes) -> CouchError | None:
        """The error that the source refuses the proxy itself, if that is what the body, `said`, tells in CouchDB's
        words: functions of design documents answer with such a status for reasons of their own.
        """
        try:
            error, reason = _words_of(said)
        except (ValueError, TypeError, KeyError):
            return None
        return self._refusal(error, reason) if self.of_account and reason in OF_ACCESS else None

    def _refusal(self, error: str, reason: str) -> CouchError:
        assert self._own is not None
        words = f" ({self.status} {error}: {reason}); {self._own.remedy}"
        refusal = self._where.refusal("refuses the proxy itself", words)
        refusal.of_account = True
        return refusal

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
        return _words_of(await self.read(SHORT))

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


def _words_of(said: bytes) -> tuple[str, str]:
    """The `error` and `reason` of a body. Raises ValueError, TypeError or KeyError if there are none."""
    body = jsonio.loads(said)
    error, reason = body["error"], body["reason"]
    if not (isinstance(error, str) and isinstance(reason, str)):
        raise TypeError
    return error, reason


def unavailable(error: Silent | Unreachable | BrokenOff, where: Where) -> Unavailable:
    """What a failure to talk to the source is to the client."""
    if isinstance(error, Unreachable):
        return where.refusal("cannot be reached", f": {error}")
    if isinstance(error, BrokenOff):
        return where.failure("broke off", f": {error}")
    failure = where.failure("did not answer in time")
    failure.error, failure.status = "gateway_timeout", 504
    return failure
