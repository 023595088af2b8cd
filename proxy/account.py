"""The account by which a source is asked for every client, where that takes more than a fixed header.

    auth = "cookie"   a session of CouchDB's: POST _session with name and password
    auth = "iam"      a bearer token of IBM Cloud IAM for an API key, as Cloudant wants it

Rules:
  - credentials are fetched when they are first needed, and again when little of their time is left, by one request at a
    time, for which everybody waits; if that fails, those at hand serve as long as they are valid;
  - what the source refuses with 401 is dropped and fetched anew, but not if it was fetched only just now: CouchDB says
    401 for other reasons too (a validation function may);
  - a failure stands for a moment: a source locks accounts that knock too often.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from proxy.config.model import Source
from proxy.core import jsonio
from proxy.errors import Unavailable

log = logging.getLogger("couch_tailor.account")

AS_ACCOUNT: Mapping[str, str] = {"Authorization": "(the service account)"}
"""Stands in a request's headers for credentials that are put in when it is sent. Clients cannot send it: only Basic
credentials and cookies of theirs are passed on."""


def service_headers(source: Source) -> dict[str, str]:
    """The headers of the service account of a source, {} if it has none."""
    if source.username is None or source.password is None:
        return {}
    pair = f"{source.username}:{source.password}".encode()
    return {"Authorization": f"Basic {b64encode(pair).decode()}"}


FRESH_SECONDS = 1.0
_FAILURE_SECONDS = 5.0
_USED = 0.8
"""The part of their time after which credentials are renewed."""
_SESSION_SECONDS = 600.0
"""CouchDB's `[chttpd_auth] timeout`, where the cookie does not say."""

_COOKIE = re.compile(r"AuthSession=([^;\s\"]+)")
_MAX_AGE = re.compile(r";\s*Max-Age=([0-9]{1,9})", re.IGNORECASE)
_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]+")
_GRANT = "urn:ibm:params:oauth:grant-type:apikey"


@dataclass(frozen=True)
class Said:
    """What a login was answered."""

    status: int
    cookies: list[str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Credentials:
    """Headers that are valid for a number of seconds."""

    headers: Mapping[str, str] = field(repr=False)
    seconds: float


@dataclass(frozen=True)
class Login:
    """How credentials are got: the form that is sent, and what the answer makes of it (raises Unavailable)."""

    form: bytes = field(repr=False)
    read: Callable[[Said], Credentials] = field(repr=False)


@dataclass(frozen=True)
class _Held:
    headers: Mapping[str, str] = field(repr=False)
    since: float
    renew: float
    until: float


class Account:
    """The credentials of one source's account. `fetch` logs in, or raises Unavailable; `clock` counts seconds."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Credentials]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._held: _Held | None = None
        self._failure: Unavailable | None = None
        self._failed_until = 0.0
        self._fetching: asyncio.Task[_Held] | None = None

    async def headers(self) -> Mapping[str, str]:
        """What authenticates a request now. Raises Unavailable if the account is refused or nobody answers."""
        held = self._held
        if held is not None and self._clock() < held.renew:
            return held.headers
        try:
            return (await self._renewed()).headers
        except Unavailable:
            if held is not None and held is self._held and self._clock() < held.until:
                return held.headers
            raise

    def refused(self, headers: Mapping[str, str]) -> bool:
        """Note that the source said 401 to these credentials; whether another attempt may go better."""
        held = self._held
        if held is None or held.headers is not headers:
            return True  # they have been replaced since
        if self._clock() - held.since < FRESH_SECONDS:
            return False
        self._held = None
        return True

    def close(self) -> None:
        """Stop fetching."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def _renewed(self) -> _Held:
        if self._failure is not None and self._clock() < self._failed_until:
            raise copy(self._failure)
        if self._fetching is None:
            self._fetching = asyncio.ensure_future(self._renew())
            self._fetching.add_done_callback(self._done)
        return await asyncio.shield(self._fetching)

    def _done(self, task: asyncio.Task[_Held]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # nobody may be waiting any more

    async def _renew(self) -> _Held:
        try:
            got = await self._fetch()
        except Unavailable as error:
            if str(error) != str(self._failure):  # once, until it is over
                log.error("%s", error)
            self._failure, self._failed_until = error, self._clock() + _FAILURE_SECONDS
            raise
        now = self._clock()
        self._failure = None
        self._held = _Held(got.headers, now, now + _USED * got.seconds, now + got.seconds)
        return self._held


def login(source: Source) -> Login | None:
    """How the account of a source logs in, by its `auth`; None if that takes no login."""
    if source.auth == "cookie":
        form = urlencode({"name": source.username or "", "password": source.password or ""})
        return Login(form.encode(), lambda said: _session(said, source))
    if source.auth == "iam":
        form = urlencode({"grant_type": _GRANT, "apikey": source.api_key or ""})
        return Login(form.encode(), lambda said: _bearer(said, source))
    return None


def _session(said: Said, source: Source) -> Credentials:
    """https://docs.couchdb.org/en/stable/api/server/authn.html#post--_session"""
    if said.status != 200:
        raise _refusal(said, source, "The source refuses the service account", "username and password", "reason")
    for cookie in said.cookies:
        if match := _COOKIE.match(cookie):
            age = _MAX_AGE.search(cookie)
            seconds = float(age[1]) if age else _SESSION_SECONDS
            return Credentials({"Cookie": f"AuthSession={match[1]}"}, seconds)
    raise Unavailable("The source's _session gave no AuthSession cookie to the service account.")


def _bearer(said: Said, source: Source) -> Credentials:
    """https://cloud.ibm.com/apidocs/iam-identity-token-api#gettoken-apikey"""
    if said.status != 200:
        raise _refusal(said, source, "The token service refuses the API key", "api_key", "errorMessage")
    reply = _object(said.body)
    token, seconds = reply.get("access_token"), reply.get("expires_in")
    if not (isinstance(token, str) and _BEARER.fullmatch(token) and type(seconds) is int and seconds > 0):
        raise Unavailable("The token service's answer has no access_token with its expires_in: check token_url.")
    return Credentials({"Authorization": f"Bearer {token}"}, float(seconds))


def _refusal(said: Said, source: Source, what: str, keys: str, member: str) -> Unavailable:
    """The error for a login that failed. No secret is in it, even if the answer repeats one."""
    if said.status >= 500 or said.status == 429:
        details = f"The login of the service account of sources.{source.name} was answered {said.status}."
        return Unavailable(f"The login of the service account was answered {said.status}.", details=details)
    said_why = _object(said.body).get(member)
    why = f": {said_why}" if isinstance(said_why, str) else ""
    for secret in (source.password, source.api_key):
        if secret:
            why = why.replace(secret, "(not shown)")
    details = f"{what} ({said.status}{why}); check {keys} of sources.{source.name}."
    return Unavailable(f"{what}; the proxy's log has its words.", details=details)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = jsonio.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
