"""Who asks: proxy authentication headers, the session cookie, Basic credentials, in CouchDB's order.

A handler that finds nothing passes to the next; a valid cookie beats Basic; wrong Basic credentials are an error even
where nobody needs any.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass

from proxy.endpoint.http import cookies
from proxy.endpoint.http.call import Call
from proxy.endpoint.server import Server
from proxy.endpoint.users import User
from proxy.errors import BadRequest

_CACHED = 1000
"""Basic credentials that are remembered as right: checking them anew costs thousands of hash rounds."""

_REFRESH = 0.9
"""A cookie is renewed once less than this part of its life is left."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and the handler that found them (None: anonymous). `set_cookie` is a header line to answer with."""

    user: User
    handler: str | None = None
    set_cookie: bytes = b""

    @property
    def is_admin(self) -> bool:
        return "_admin" in self.user.roles


class Authenticator:
    """`open_to_all`: anonymous clients are administrators. `proxy_secret` switches proxy authentication on."""

    def __init__(self, server: Server, *, open_to_all: bool, proxy_secret: str | None, session_seconds: int) -> None:
        self.session_seconds = session_seconds
        self._server = server
        self._proxy_secret = proxy_secret.encode() if proxy_secret is not None else None
        self._anonymous = Identity(User(None, ("_admin",) if open_to_all else ()))
        self._known: OrderedDict[bytes, User] = OrderedDict()
        self.handlers = [*(["proxy"] if proxy_secret is not None else []), "cookie", "default"]

    async def identify(self, call: Call) -> Identity:
        """Raises Unauthorized for wrong Basic credentials, BadRequest for headers that make no sense."""
        headers = call.headers
        if self._proxy_secret is not None and "X-Auth-CouchDB-UserName" in headers:
            user = self._by_proxy(call, self._proxy_secret)
            if user is not None:
                return Identity(user, "proxy")
        if "Cookie" in headers:
            found = self._by_cookie(call.cookies.get(cookies.NAME, ""))
            if found is not None:
                return found
        authorization = headers.get("Authorization")
        if authorization is not None and authorization[:6].lower() == "basic ":
            user = await self._by_basic(authorization[6:].strip())
            if user is not None:
                return Identity(user, "default")
        return self._anonymous

    def cookie_for(self, user: User, now: float) -> bytes:
        """The `Set-Cookie` line of a fresh session."""
        assert user.name is not None
        value = cookies.sign(user.name, int(now), self._key(user))
        return cookies.set_cookie(value, now, self.session_seconds)

    def _by_proxy(self, call: Call, secret: bytes) -> User | None:
        name = call.headers["X-Auth-CouchDB-UserName"]
        token = call.headers.get("X-Auth-CouchDB-Token", "").lower().encode("utf-8", "replace")
        wanted = [hmac.digest(secret, name.encode(), kind).hex().encode() for kind in ("sha256", "sha1")]
        if sum(hmac.compare_digest(token, one) for one in wanted) == 0:  # both are compared, whatever matches
            return None
        roles = call.headers.get("X-Auth-CouchDB-Roles", "").split(",")
        return User(name, tuple(role.strip() for role in roles if role.strip()))

    def _by_cookie(self, value: str) -> Identity | None:
        if not value:
            return None
        name, issued, mac = cookies.parse(value)
        user = self._server.user(name)
        now = time.time()
        left = issued + self.session_seconds - now
        if user is None or left <= 0 or not cookies.genuine(name, issued, mac, self._key(user)):
            return None
        fresh = left >= self.session_seconds * _REFRESH
        return Identity(user, "cookie", b"" if fresh else self.cookie_for(user, now))

    async def _by_basic(self, encoded: str) -> User | None:
        digest = hmac.digest(self._server.secret, encoded.encode("utf-8", "replace"), "sha256")
        known = self._known.get(digest)
        if known is not None and known.name is not None and self._server.user(known.name) == known:
            self._known.move_to_end(digest)
            return known
        pair = _basic(encoded)
        if pair is None:
            return None
        user = await self._server.authenticate(*pair)
        self._known[digest] = user
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)
        return user

    def _key(self, user: User) -> bytes:
        return self._server.secret + user.salt.encode()


def _basic(encoded: str) -> tuple[str, str] | None:
    """Name and password; None where there is no colon, as in CouchDB: nobody has tried to log in."""
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        raise BadRequest("Authorization header has invalid base64 value") from None
    return (name, password) if colon else None
