"""`_session`: logging in and out happens at the source, with the source's cookie."""

from __future__ import annotations

from aiohttp import web

from proxy.claim import Claim, names_in
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.errors import Unavailable
from proxy.exchange import Exchange
from proxy.identify import LARGEST_SESSION, Identifier
from proxy.upstream import Upstream

_MAX_LOGIN = 64 * 1024
_PASSED = ("Content-Type", "Location", "WWW-Authenticate")


async def session(exchange: Exchange, upstream: Upstream, identifier: Identifier, claim: Claim) -> web.StreamResponse:
    """GET tells who the client is, POST logs in, DELETE logs out: in the source's words, cookies included.

    Raises Unauthorized to whoever tries the account of the proxy itself (see `identify`).
    """
    names = [claim.user]
    headers = {"Accept": "application/json", **claim.headers}
    body = None
    if exchange.method == "POST":
        body = await exchange.read_body(_MAX_LOGIN)
        names += names_in(body)
        kind = exchange.request.headers.get("Content-Type")
        headers |= {"Content-Type": kind} if kind else {}
        headers.pop("Cookie", None)
    if exchange.method == "DELETE":
        identifier.forget(claim)
    identifier.guard(*names)
    basic = exchange.query.last("basic")
    pairs: Pairs = [] if basic is None else [("basic", basic)]
    async with await upstream.request(exchange.method, "/_session", pairs, headers=headers, body=body) as reply:
        if reply.status >= 300 and not 400 <= reply.status < 500:
            raise await reply.error()
        said = await reply.within(LARGEST_SESSION)
        if exchange.method != "HEAD" and not _is_object(said):
            raise Unavailable("The source's _session is not of CouchDB's form.")
        answer = exchange.headers({name: reply.headers[name] for name in _PASSED if name in reply.headers})
        for cookie in reply.headers.getall("Set-Cookie", ()):
            answer.add("Set-Cookie", cookie)
        return exchange.whole(said, reply.status, answer)


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(jsonio.loads(text), dict)
    except ValueError:
        return False
