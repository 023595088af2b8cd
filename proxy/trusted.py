"""What a trusted profile may ask of the source directly: views, list, show, update, search, `_index`, `_explain`, ...

The request is sent again from its decoded pieces and parameters, with the headers that matter, and the reply is
streamed as it is. For everybody else it is `forbidden`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from proxy.core.endpoints import path
from proxy.errors import Forbidden
from proxy.exchange import Exchange

_ASKED = (
    "Accept",
    "Accept-Encoding",
    "Content-Type",
    "Content-Encoding",
    "If-Match",
    "If-None-Match",
    "Destination",
)
_PASSED = (
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "ETag",
    "Location",
    "X-Couch-Update-NewRev",
    "X-Couch-Id",
)


async def pass_through(exchange: Exchange) -> web.StreamResponse:
    """Pass a request of a trusted profile to the source. Raises Forbidden for other profiles."""
    view, target = exchange.view, exchange.target
    if not view.profile.trusted:
        raise Forbidden(f"{'/'.join(target.rest)} is not available through this proxy.")
    if target.method not in ("GET", "HEAD") and not view.profile.write:
        raise Forbidden("This profile only reads.")
    sent = exchange.request.headers
    headers = {**view.headers, **{name: sent[name] for name in _ASKED if name in sent}}
    has_body = exchange.request.body_exists
    body: AsyncIterator[bytes] | None = exchange.incoming() if has_body else None
    async with await view.upstream.request(
        target.method,
        path(view.database.source_db, *target.rest),
        list(target.pairs),
        headers=headers,
        body=body,
    ) as reply:
        answer = {name: reply.headers[name] for name in _PASSED if name in reply.headers}
        response = await exchange.stream(answer, reply.status)
        if target.method != "HEAD":
            async for chunk in reply.chunks():
                await response.write(chunk)
        await response.write_eof()
        return response
