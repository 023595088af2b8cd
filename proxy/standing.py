"""Whether a source takes the proxy's own account, by a small request that no document is read for: `GET /_session`."""

from __future__ import annotations

from typing import Any

from proxy.identify import towards
from proxy.reply import Reply
from proxy.upstream import Upstream

_SOMEBODY = "couch-tailor"
"""Whom the source is told of where it is told of each client by name: whether it believes that is the question."""


async def refusal(upstream: Upstream) -> str | None:
    """Why a source does not take the proxy's own account, for operators; None if it does, or if that cannot be told.

    With `auth = "client"` there is none. Raises CouchError if the source does not answer, or lets the account not log
    in, which takes a request of its own for some.
    """
    source = upstream.source
    if source.auth == "client":
        return None
    headers = {"Accept": "application/json", **towards(source, _SOMEBODY, frozenset(), {})}
    async with await upstream.request("GET", "/_session", headers=headers) as reply:
        if reply.status in (401, 403) or reply.status >= 500:
            return str(await reply.error())
        # what a session by a token of another service looks like is for that service to say
        if reply.status == 200 and source.auth != "iam" and await _is_nobody(reply):
            of_proxy = source.auth == "proxy"
            keys = "proxy_secret and proxy_hash" if of_proxy else "username and password"
            more = ", and whether proxy authentication is on there" if of_proxy else ""
            return f"it takes the proxy's own account for nobody; check {keys} of sources.{source.name}{more}"
    return None


async def _is_nobody(reply: Reply) -> bool:
    """Whether a session is nobody's. A source without administrators makes everybody one. Raises Unavailable."""
    session: Any = await reply.json()
    context = session.get("userCtx") if isinstance(session, dict) else None
    if not isinstance(context, dict) or context.get("name", "") is not None:
        return False
    return "_admin" not in (context.get("roles") or ())
