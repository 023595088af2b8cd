"""Who is asking: request → Principal, by asking the source's `_session` with the client's own credentials.

What counts as credentials is told in `claim`. The source's word is kept for a configurable short time, under a digest
of the credentials, never the credentials themselves. What goes to the source later is decided by the source's `auth`
setting.

CouchDB locks an account for some minutes after a few wrong passwords from one address. To it all clients have the
proxy's, so it is told theirs (`X-Forwarded-For`); and nobody gets to guess the password of the proxy's own account:
who locked that would lock out everybody.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from proxy.account import AS_ACCOUNT, service_headers
from proxy.claim import Claim
from proxy.config.model import Source
from proxy.errors import CouchError, Forbidden, Unauthorized, Unavailable
from proxy.http_client import TooLong
from proxy.reply import Reply
from proxy.upstream import Upstream

log = logging.getLogger("couch_tailor.identify")

_CACHED = 10_000
LARGEST_SESSION = 1024 * 1024
"""Bytes of what a source says of somebody, who may have very many roles."""
_OF_CREDENTIALS = (400, 401, 403, 429)
"""How a source turns down credentials; anything else is not about them."""
_WRONG = "Name or password is incorrect."


@dataclass(frozen=True)
class Principal:
    """A client as the source knows it. `headers` authenticate its requests to the source."""

    name: str | None
    roles: frozenset[str]
    headers: Mapping[str, str] = field(repr=False)
    set_cookie: str | None = field(default=None, repr=False)
    """A refreshed session cookie that the client is to get, as a Set-Cookie header."""
    views: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The views that were opened for this principal, by database name, where nothing else decides."""


@dataclass
class _Known:
    principal: Principal
    expires: float


class Identifier:
    """Resolves and remembers the clients of one source."""

    def __init__(self, upstream: Upstream, ttl: float, anonymous: bool, timeout: float = 60.0) -> None:
        self._upstream = upstream
        self._ttl = ttl
        self._anonymous = anonymous
        self._timeout = timeout
        source = upstream.source
        by_password = source.auth in ("service", "cookie") and source.username is not None
        self._account = (source.username or "").encode() if by_password else None
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[Principal]] = {}

    def guard(self, *names: bytes | None) -> None:
        """Raises Unauthorized if a user name is that of the account by whose password the proxy asks the source."""
        if self._account is not None and self._account in names:
            log.warning("somebody tried to log in as the account of sources.%s", self._upstream.source.name)
            raise Unauthorized(_WRONG)

    def _key(self, claim: Claim) -> bytes:
        """What the source's word is kept under. Where clients ask it themselves, it is told the address of each."""
        tells = self._upstream.source.auth == "client" and claim.address is not None
        return claim.digest + (claim.address or "").encode() if tells else claim.digest

    async def identify(self, claim: Claim) -> Principal:
        """The principal behind a claim. Raises Unauthorized, or the source's error."""
        if not claim.credentials:
            if not self._anonymous:
                raise Unauthorized("Authentication required: send CouchDB credentials.")
            return Principal(None, frozenset(), towards(self._upstream.source, None, frozenset(), {}))
        key = self._key(claim)
        known = self._known.get(key)
        now = time.monotonic()
        if known is not None and known.expires > now:
            return known.principal
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.ensure_future(self._ask(claim))
            self._asking[key] = asking
            asking.add_done_callback(partial(self._forget_question, key))
        principal = await asyncio.shield(asking)
        self._remember(key, principal, now)
        return principal

    def _forget_question(self, key: bytes, asking: asyncio.Future[Principal]) -> None:
        del self._asking[key]
        if not asking.cancelled():
            asking.exception()  # nobody may be left to hear of it: its clients may have hung up

    def forget(self, claim: Claim) -> None:
        """Drop what is remembered of these credentials, as after a log-out."""
        self._known.pop(self._key(claim), None)

    def _remember(self, key: bytes, principal: Principal, now: float) -> None:
        self._known[key] = _Known(principal, now + self._ttl)
        self._known.move_to_end(key)
        while len(self._known) > _CACHED:
            self._known.popitem(last=False)

    async def _ask(self, claim: Claim) -> Principal:
        self.guard(claim.user)
        try:
            async with asyncio.timeout(self._timeout):
                return await self._session_of(claim)
        except TimeoutError:
            raise Unavailable("The source did not answer in time.", error="gateway_timeout", status=504) from None

    async def _session_of(self, claim: Claim) -> Principal:
        async with await self._upstream.request(
            "GET", "/_session", headers={"Accept": "application/json", **claim.headers}
        ) as reply:
            if reply.status != 200:
                raise await _refusal(reply)
            try:
                session = await reply.json(LARGEST_SESSION)
            except TooLong:
                session = None
            context = session.get("userCtx") if isinstance(session, dict) else None
            name, roles = (context.get("name"), context.get("roles")) if isinstance(context, dict) else (0, None)
            if not (isinstance(name, str | None) and isinstance(roles or [], list)):
                raise Unavailable("The source's _session has no userCtx with name and roles: is it a CouchDB?")
            if name is None:
                return self._without_name(claim)
            held = frozenset(role for role in roles or () if isinstance(role, str))
            cookie = next((c for c in reply.headers.getall("Set-Cookie", ()) if c.startswith("AuthSession=")), None)
            return Principal(name, held, towards(self._upstream.source, name, held, claim.headers), cookie)

    def _without_name(self, claim: Claim) -> Principal:
        """The credentials did not convince the source, which takes their bearer for anonymous."""
        if not self._anonymous:
            raise Unauthorized("The session has ended: log in again." if claim.user is None else _WRONG)
        # roles are dropped: a source without admins gives `_admin` to everybody
        return Principal(None, frozenset(), towards(self._upstream.source, None, frozenset(), {}))


class Following:
    """Asks again who the client of a request is, by the cookie that the source gave last.

    A feed outlives the cookie that it began with: CouchDB renews those that are asked with, and does not end feeds.
    """

    def __init__(self, identifier: Identifier, claim: Claim) -> None:
        self._identifier = identifier
        self._claim = claim

    async def __call__(self) -> Principal:
        principal = await self._identifier.identify(self._claim)
        if principal.set_cookie is not None:
            self._claim = self._claim.renewed(principal.set_cookie)
        return principal


async def _refusal(reply: Reply) -> CouchError:
    """What the client hears where `_session` does not say who it is."""
    if reply.status not in _OF_CREDENTIALS and reply.status < 500:
        return reply.unusable(f"answered {reply.status}: is it a CouchDB?")
    refused = await reply.error()
    if reply.status == 401:
        return Unauthorized(_WRONG if isinstance(refused, Unavailable) else refused.reason)
    return refused


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
