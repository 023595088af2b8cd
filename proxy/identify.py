"""Who is asking: request → Principal, by asking the source's `_session` with the client's own credentials.

Only the `AuthSession` cookie and an `Authorization: Basic` header count; a cookie beats Basic, as in CouchDB. The
source's word is kept for a configurable short time, under a digest of the credentials, never the credentials
themselves. What goes to the source later is decided by the source's `auth` setting.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any

from proxy.account import AS_ACCOUNT
from proxy.config.model import Source
from proxy.errors import CouchError, Forbidden, Unauthorized, Unavailable
from proxy.upstream import Upstream

_CACHED = 10_000


@dataclass(frozen=True)
class Principal:
    """A client as the source knows it. `headers` authenticate its requests to the source."""

    name: str | None
    roles: frozenset[str]
    headers: Mapping[str, str] = field(repr=False)
    set_cookie: str | None = field(default=None, repr=False)
    """A refreshed session cookie that the client is to get."""
    views: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The views that were opened for this principal, by database name, where nothing else decides."""


@dataclass
class _Known:
    principal: Principal
    expires: float


def credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """The request headers with which a client says who it is, reduced to what CouchDB would read."""
    found = {}
    cookie = headers.get("Cookie", "")
    if "AuthSession=" in cookie:
        for piece in cookie.split(";"):
            name, _, value = piece.strip().partition("=")
            if name == "AuthSession" and value:
                found["Cookie"] = f"AuthSession={value}"
    authorization = headers.get("Authorization", "")
    if authorization[:6].lower() == "basic ":
        found["Authorization"] = authorization
    return found


def _digest(own: Mapping[str, str]) -> bytes:
    text = f"{own.get('Cookie', '')}\n{own.get('Authorization', '')}"
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=32).digest()


class Identifier:
    """Resolves and remembers the clients of one source."""

    def __init__(self, upstream: Upstream, ttl: float, anonymous: bool) -> None:
        self._upstream = upstream
        self._ttl = ttl
        self._anonymous = anonymous
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[Principal]] = {}

    async def identify(self, headers: Mapping[str, str]) -> Principal:
        """The principal behind request headers. Raises Unauthorized, or the source's error."""
        own = credentials(headers)
        if not own:
            if not self._anonymous:
                raise Unauthorized("Authentication required: send CouchDB credentials.")
            return Principal(None, frozenset(), towards(self._upstream.source, None, frozenset(), {}))
        key = _digest(own)
        known = self._known.get(key)
        now = time.monotonic()
        if known is not None and known.expires > now:
            return known.principal
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.ensure_future(self._ask(own))
            self._asking[key] = asking
            asking.add_done_callback(partial(self._asked, key))
        principal = await asyncio.shield(asking)
        self._remember(key, principal, now)
        return principal

    def _asked(self, key: bytes, asking: asyncio.Future[Principal]) -> None:
        del self._asking[key]
        if not asking.cancelled():
            asking.exception()  # nobody may be left to hear of it: its clients may have hung up

    def forget(self, headers: Mapping[str, str]) -> None:
        """Drop what is remembered of these credentials, as after a log-out."""
        own = credentials(headers)
        self._known.pop(_digest(own), None)

    def _remember(self, key: bytes, principal: Principal, now: float) -> None:
        # a refreshed cookie is handed out once, not for as long as the answer is remembered
        kept = Principal(principal.name, principal.roles, principal.headers)
        self._known[key] = _Known(kept, now + self._ttl)
        self._known.move_to_end(key)
        while len(self._known) > _CACHED:
            self._known.popitem(last=False)

    async def _ask(self, own: dict[str, str]) -> Principal:
        async with await self._upstream.request(
            "GET", "/_session", headers={"Accept": "application/json", **own}
        ) as reply:
            if reply.status != 200:
                raise await _refusal(reply.status, reply.error())
            session = await reply.json()
            context = session.get("userCtx") if isinstance(session, dict) else None
            if not isinstance(context, dict):
                raise Unavailable("The source's _session has no userCtx: is it a CouchDB?")
            name = context.get("name")
            if name is None:
                return self._without_name()
            roles = frozenset(role for role in context.get("roles") or () if isinstance(role, str))
            cookie = next((c for c in reply.headers.getall("Set-Cookie", ()) if c.startswith("AuthSession=")), None)
            return Principal(str(name), roles, towards(self._upstream.source, str(name), roles, own), cookie)

    def _without_name(self) -> Principal:
        """The credentials did not convince the source, which takes their bearer for anonymous."""
        if not self._anonymous:
            raise Unauthorized("Name or password is incorrect.")
        # roles are dropped: a source without admins gives `_admin` to everybody
        return Principal(None, frozenset(), towards(self._upstream.source, None, frozenset(), {}))


async def _refusal(status: int, error: object) -> CouchError:
    refused: CouchError = await error  # type: ignore[misc]
    return Unauthorized(refused.reason) if status == 401 else refused


def service_headers(source: Source) -> dict[str, str]:
    """The headers of the service account of a source, {} if it has none."""
    if source.username is None or source.password is None:
        return {}
    pair = f"{source.username}:{source.password}".encode()
    return {"Authorization": f"Basic {b64encode(pair).decode()}"}


def towards(source: Source, name: str | None, roles: frozenset[str], own: dict[str, str]) -> Mapping[str, str]:
    """What authenticates a client's requests to the source, by the source's `auth` setting."""
    if source.auth == "client":
        return own
    if source.auth == "service":
        return service_headers(source)
    if source.auth in ("cookie", "iam"):
        return AS_ACCOUNT
    user = source.username or name
    if user is None:
        return {}
    if not _is_kept(user):
        raise Forbidden("The source cannot be told of a user by this name.")
    granted = source.roles if source.username else sorted(role for role in roles if _is_kept(role) and "," not in role)
    signed = {"X-Auth-CouchDB-UserName": user, "X-Auth-CouchDB-Roles": ",".join(granted)}
    if source.proxy_secret:
        signed["X-Auth-CouchDB-Token"] = proxy_token(source.proxy_secret, source.proxy_hash, user)
    return signed


def proxy_token(secret: str, algorithm: str, user: str) -> str:
    """https://docs.couchdb.org/en/stable/api/server/authn.html#proxy-authentication"""
    return hmac.new(secret.encode(), user.encode(), algorithm).hexdigest()


def _is_kept(word: str) -> bool:
    """Whether a header tells a name or role as it is: white space around it is lost there."""
    return word != "" and word == word.strip() and word.isprintable()
