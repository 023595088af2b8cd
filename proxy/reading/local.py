"""`_local` documents: checkpoints, kept apart for each client of each view.

A client's `_local/x` is the source's `_local/<prefix>x`, where the prefix stands for database, profile and user. So no
client reads or overwrites the checkpoints of another, and two profiles of one database do not share any. Bodies pass as
they are: what is in them comes from the client. A profile that may not write may still write these.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from proxy.core import jsonio
from proxy.core.endpoints import path
from proxy.core.query import Pairs
from proxy.errors import BadRequest, Unavailable
from proxy.exchange import Exchange
from proxy.upstream import JSON_HEADERS, Reply
from proxy.view import View

LOCAL = "_local/"
_ANSWERED = (200, 201, 202)


async def get_local(exchange: Exchange) -> web.Response:
    """GET and HEAD: the document as it was written, with the source's entity tag."""
    headers = {"Accept": JSON_HEADERS["Accept"]}
    if "If-None-Match" in exchange.request.headers:
        headers["If-None-Match"] = exchange.request.headers["If-None-Match"]
    return await _pass(exchange, "GET", [], headers)


async def put_local(exchange: Exchange) -> web.Response:
    """PUT: stored as it is. 3.x does not check for conflicts; a source that does has the last word."""
    doc = await exchange.read_json(typed=False)
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    doc["_id"] = source_id(exchange.view, exchange.target.doc_id)
    return await _pass(exchange, "PUT", ["rev", "batch"], dict(JSON_HEADERS), jsonio.dumps(doc))


async def delete_local(exchange: Exchange) -> web.Response:
    """DELETE."""
    return await _pass(exchange, "DELETE", ["rev", "batch"], {"Accept": JSON_HEADERS["Accept"]})


def source_id(view: View, doc_id: str) -> str:
    """The source's id of a client's `_local/...`."""
    return f"{LOCAL}{view.local_prefix}{doc_id.removeprefix(LOCAL)}"


def client_id(view: View, doc_id: str) -> str | None:
    """The client's id of a source's `_local/...`, None if it is another client's."""
    start = LOCAL + view.local_prefix
    return LOCAL + doc_id[len(start) :] if doc_id.startswith(start) else None


async def _pass(
    exchange: Exchange, method: str, parameters: list[str], headers: dict[str, str], body: bytes | None = None
) -> web.Response:
    """Send the request on with the source's id, and the reply back with the client's."""
    view, doc_id = exchange.view, exchange.target.doc_id
    pairs: Pairs = [(name, value) for name in parameters if (value := exchange.query.first(name)) is not None]
    if method != "GET" and "If-Match" in exchange.request.headers:
        headers["If-Match"] = exchange.request.headers["If-Match"]
    async with await view.upstream.request(
        method,
        view.document_path(source_id(view, doc_id)),
        pairs,
        headers={**headers, **view.headers},
        body=body,
    ) as reply:
        kept = {"ETag": reply.headers["ETag"]} if "ETag" in reply.headers else {}
        if reply.status == 304:
            return exchange.whole(b"", 304, exchange.headers(kept))
        if reply.status not in _ANSWERED:
            raise await reply.error()
        if method == "PUT":
            kept["Location"] = _location(exchange)
        return exchange.json(await _translated(reply, doc_id), reply.status, kept)


async def _translated(reply: Reply, doc_id: str) -> Any:
    value = await reply.json()
    if not isinstance(value, dict):
        raise Unavailable("The source's answer for a local document is not an object.")
    return {name: doc_id if name in ("_id", "id") else member for name, member in value.items()}


def _location(exchange: Exchange) -> str:
    """The absolute address of the document as the client knows it, escaped as CouchDB escapes it."""
    sent = exchange.request.headers
    scheme, host = exchange.request.scheme, sent.get("Host", "")
    if exchange.server.trust_forwarded:
        scheme, host = sent.get("X-Forwarded-Proto", scheme), sent.get("X-Forwarded-Host", host)
    return f"{scheme}://{host}{path(exchange.view.name, exchange.target.doc_id)}"
