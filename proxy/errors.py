"""Errors that reach the wire, in CouchDB's shape: an HTTP status and `{"error", "reason"}`.

CouchError
├── BadRequest            400 bad_request (or another 400 error: illegal_docid, doc_validation, ...)
├── Unauthorized          401 unauthorized
├── Forbidden             403 forbidden
├── NotFound              404 not_found (reason: missing | deleted | ...)
├── MethodNotAllowed      405 method_not_allowed
├── NotAcceptable         406 not_acceptable
├── Conflict              409 conflict
├── PreconditionFailed    412 file_exists, missing_stub
├── TooLarge              413 too_large
├── BadContentType        415 bad_content_type
├── RangeNotSatisfiable   416 requested_range_not_satisfiable
└── Unavailable           502 / 503 / 504: the source is down, slow or lies
    └── NotDone           502: the source was not asked, or refused to do anything
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from types import MappingProxyType
from typing import Any, Self


class CouchError(Exception):
    """An answer other than success. `error` and `reason` are CouchDB's words wherever CouchDB has some.

    `details`, where there are some, are what the error is as text, for logs and terminals: clients only get the reason,
    which names neither addresses nor anything else of the source.
    """

    status = 500
    error = "internal_server_error"
    members: Mapping[str, Any] = MappingProxyType({})
    """What the body of the answer has beside `error` and `reason`."""

    def __init__(
        self, reason: str, *, error: str | None = None, status: int | None = None, details: str | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.details = details
        if error is not None:
            self.error = error
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return self.reason if self.details is None else self.details

    def saying(self, reason: str) -> Self:
        """Another one that tells clients something else, with the same details for the log."""
        made = copy(self)
        made.reason = reason
        return made

    def __copy__(self) -> Self:
        """Another one that says the same, raised nowhere yet."""
        made = type(self).__new__(type(self), *self.args)
        vars(made).update(vars(self))
        return made


class BadRequest(CouchError):
    status = 400
    error = "bad_request"


class Unauthorized(CouchError):
    status = 401
    error = "unauthorized"


class Forbidden(CouchError):
    status = 403
    error = "forbidden"


class NotFound(CouchError):
    status = 404
    error = "not_found"


class MethodNotAllowed(CouchError):
    """`allowed` is the comma-separated list for the reason and the `Allow` header, as CouchDB writes it."""

    status = 405
    error = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"Only {allowed} allowed")
        self.allowed = allowed


class NotAcceptable(CouchError):
    status = 406
    error = "not_acceptable"


class Conflict(CouchError):
    status = 409
    error = "conflict"

    def __init__(self, reason: str = "Document update conflict.") -> None:
        super().__init__(reason)


class PreconditionFailed(CouchError):
    status = 412
    error = "precondition_failed"


class TooLarge(CouchError):
    status = 413
    error = "too_large"


class BadContentType(CouchError):
    status = 415
    error = "bad_content_type"


class RangeNotSatisfiable(CouchError):
    status = 416
    error = "requested_range_not_satisfiable"


class Unavailable(CouchError):
    status = 502
    error = "bad_gateway"
    of_account = False
    """Whether the source refuses the proxy's own account: that others are answered does not end it."""

    def unsure(self) -> Self:
        """The same, as the answer to a write that may or may not have been stored."""
        return self.saying(f"{self.reason} It is unknown whether the write was stored: fetch before trying again.")


class NotDone(Unavailable):
    """What was asked of the source has certainly had no effect: it refused, or was never asked."""
