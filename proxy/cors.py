"""Cross-origin requests of browsers: which answers other origins' pages may read, as CouchDB decides it.

Pure: request headers in, answer headers out. CouchDB's `chttpd_cors` is the model: an origin is compared as it is
written, a preflight that asks for too much is no preflight, and the answer repeats what was asked for. Different is
that `*` never comes with credentials, which the configuration refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.config.model import Cors

Headers = list[tuple[str, str]]

EXPOSED = (
    "content-type, cache-control, accept-ranges, etag, server, "
    "x-couch-request-id, x-couch-update-newrev, x-couchdb-body-time"
)
"""What scripts may read of an answer, in CouchDB's order."""

ALLOWED = frozenset(
    (
        "accept",
        "accept-language",
        "authorization",
        "content-length",
        "content-range",
        "content-type",
        "destination",
        "expires",
        "if-match",
        "last-modified",
        "origin",
        "pragma",
        "x-couch-full-commit",
        "x-couch-id",
        "x-couch-persist",
        "x-couchdb-www-authenticate",
        "x-http-method-override",
        "x-requested-with",
        "x-couchdb-vhost-path",
    )
)
"""The request headers that CouchDB lets scripts set."""


class Policy:
    """The configuration's rules, ready to be asked for each request."""

    def __init__(self, config: Cors, named: Iterable[str] = ()) -> None:
        """`named`: lower-case request headers that profiles ask for, allowed where `headers` is not configured."""
        self._origins = frozenset(config.origins)
        self._everybody = "*" in self._origins
        self._credentials: Headers = [("Access-Control-Allow-Credentials", "true")] if config.credentials else []
        self._methods = config.methods
        self._allowed = ALLOWED.union(named) if config.headers is None else config.headers
        self._max_age = str(config.max_age)

    def simple(self, headers: Mapping[str, str]) -> Headers:
        """What an answer to a request with these headers gets; nothing if its origin is none of ours."""
        allowed = self._allow(headers)
        return [*allowed, ("Access-Control-Expose-Headers", EXPOSED)] if allowed else []

    def preflight(self, method: str, headers: Mapping[str, str]) -> Headers:
        """What the answer to a preflight says; nothing if it is none, or asks for what is not allowed."""
        if method != "OPTIONS" or headers.get("Access-Control-Request-Method") not in self._methods:
            return []
        allowed = self._allow(headers)
        pieces = (piece.strip() for piece in headers.get("Access-Control-Request-Headers", "").split(","))
        names = [piece.lower() for piece in pieces if piece]
        if not allowed or not self._allowed.issuperset(names):
            return []
        return [
            *allowed,
            ("Access-Control-Max-Age", self._max_age),
            ("Access-Control-Allow-Methods", ", ".join(self._methods)),
            ("Access-Control-Allow-Headers", ", ".join(names)),
        ]

    def _allow(self, headers: Mapping[str, str]) -> Headers:
        origin = headers.get("Origin")
        if origin is None or not (origin in self._origins or (self._everybody and _plain(origin))):
            return []
        return [("Access-Control-Allow-Origin", origin), *self._credentials]


def _plain(origin: str) -> bool:
    """Whether an origin that nobody configured may be repeated in a header."""
    return origin.isascii() and origin.isprintable()
