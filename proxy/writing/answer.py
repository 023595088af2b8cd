"""What writes are answered with."""

from __future__ import annotations

from aiohttp import web

from proxy.core.query import escape
from proxy.exchange import Exchange
from proxy.writing.store import Written


def location(exchange: Exchange, *pieces: str) -> str:
    """The absolute address of something below the database as the client knows it, escaped as CouchDB does."""
    sent = exchange.request.headers
    scheme, host = exchange.request.scheme, sent.get("Host", "")
    if exchange.server.trust_forwarded:
        scheme, host = sent.get("X-Forwarded-Proto", scheme), sent.get("X-Forwarded-Host", host)
    path = "/".join(map(escape, (exchange.view.name, *pieces)))
    return f"{scheme}://{host}/{path}"


def stored(
    exchange: Exchange, doc_id: str, written: Written, *, etag: bool = True, at: tuple[str, ...] = ()
) -> web.StreamResponse:
    """`{"ok", "id", "rev"}`. `at`: the pieces of what Location names, none for no such header."""
    headers = {}
    if etag:
        headers["ETag"] = f'"{written.rev}"'
    if at:
        headers["Location"] = location(exchange, *at)
    return exchange.json({"ok": True, "id": doc_id, "rev": written.rev}, written.status, headers)
