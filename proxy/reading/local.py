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
from proxy.core.wire.accept import JSON
from proxy.errors import BadRequest, NotDone, Unavailable
from proxy.exchange import Exchange
from proxy.reading.all_docs import check_allowed, read_options
from proxy.reading.answer import Answer
from proxy.reading.listing import ListEncoder, ListOptions
from proxy.upstream import JSON_HEADERS
from proxy.view import View

Row = dict[str, Any]

LOCAL = "_local/"
_ANSWERED = (200, 201, 202)


async def get_local(exchange: Exchange) -> web.StreamResponse:
    """GET and HEAD: the document as it was written, with the source's entity tag."""
    headers = {"Accept": JSON_HEADERS["Accept"]}
    if "If-None-Match" in exchange.request.headers:
        headers["If-None-Match"] = exchange.request.headers["If-None-Match"]
    return await _pass(exchange, "GET", [], headers)


async def put_local(exchange: Exchange) -> web.StreamResponse:
    """PUT: stored as it is. 3.x does not check for conflicts; a source that does has the last word."""
    doc = await exchange.read_json(typed=False)
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    doc["_id"] = source_id(exchange.view, exchange.target.doc_id)
    return await _write(exchange, "PUT", dict(JSON_HEADERS), jsonio.dumps(doc))


async def delete_local(exchange: Exchange) -> web.StreamResponse:
    """DELETE."""
    return await _write(exchange, "DELETE", {"Accept": JSON_HEADERS["Accept"]})


async def get_local_docs(exchange: Exchange) -> web.StreamResponse:
    """GET, HEAD and POST of `_local_docs`: the client's own, which are few."""
    check_allowed(exchange.view)
    options = await read_options(exchange)
    rows = await _own_rows(exchange.view, options.include_docs)
    encoder = ListEncoder()
    answer = Answer(exchange, JSON)
    await answer.write(encoder.head(None, None))
    await answer.write(encoder.rows(map(jsonio.dumps, select(rows, options))))
    await answer.write(encoder.tail() + b"\n")
    return await answer.finish()


def select(rows: dict[str, Row], options: ListOptions) -> list[Row]:
    """Those of `rows`, which are sorted by id, that the options ask for, as CouchDB orders them: by bytes."""
    if options.keys is not None:
        keys = [key for key in options.selected_keys if isinstance(key, str) and key.startswith(LOCAL)]
        return [rows.get(key, {"key": key, "error": "not_found"}) for key in keys]
    low, high = (options.end, options.start) if options.descending else (options.start, options.end)
    ids = [doc_id for doc_id in rows if _is_within(doc_id, low, high)]
    if options.has_end and not options.inclusive_end:
        ids = [doc_id for doc_id in ids if doc_id != options.end]
    if options.descending:
        ids.reverse()
    last = None if options.limit is None else options.skip + options.limit
    return [rows[doc_id] for doc_id in ids[options.skip : last]]


def _is_within(doc_id: str, low: Any, high: Any) -> bool:
    """Whether an id is in a range; a bound that is no text is none."""
    found = doc_id.encode()
    above = not isinstance(low, str) or found >= low.encode()
    return above and (not isinstance(high, str) or found <= high.encode())


async def _own_rows(view: View, include_docs: bool) -> dict[str, Row]:
    """The client's rows of the source's list, by the client's ids, in their order."""
    start = LOCAL + view.local_prefix
    pairs = [("startkey", jsonio.dumps(start).decode()), ("endkey", jsonio.dumps(start + "\ufff0").decode())]
    if include_docs:
        pairs.append(("include_docs", "true"))
    found = await view.upstream.json("GET", view.path("_local_docs"), pairs, headers=view.headers)
    rows: dict[str, Row] = {}
    try:
        for row in found["rows"]:
            own = client_id(view, row["id"])
            if own is not None:
                rows[own] = {"id": own, "key": own, "value": {"rev": row["value"]["rev"]}}
                if include_docs:
                    doc = row["doc"]
                    if doc["_id"] != row["id"]:
                        raise KeyError("another document")
                    rows[own]["doc"] = {**doc, "_id": own}
    except (TypeError, KeyError, AttributeError) as error:
        raise Unavailable("The source's _local_docs is not of CouchDB's form.") from error
    return dict(sorted(rows.items(), key=lambda item: item[0].encode()))


def source_id(view: View, doc_id: str) -> str:
    """The source's id of a client's `_local/...`."""
    return f"{LOCAL}{view.local_prefix}{doc_id.removeprefix(LOCAL)}"


def client_id(view: View, doc_id: str) -> str | None:
    """The client's id of a source's `_local/...`, None if it is another client's."""
    start = LOCAL + view.local_prefix
    return LOCAL + doc_id[len(start) :] if doc_id.startswith(start) else None


async def _write(
    exchange: Exchange, method: str, headers: dict[str, str], body: bytes | None = None
) -> web.StreamResponse:
    """Raises Unavailable, which says so if it is unknown what became of it."""
    try:
        return await _pass(exchange, method, ["rev", "batch"], headers, body)
    except Unavailable as error:
        if isinstance(error, NotDone):
            raise
        raise error.unsure() from error


async def _pass(
    exchange: Exchange, method: str, parameters: list[str], headers: dict[str, str], body: bytes | None = None
) -> web.StreamResponse:
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
        if method == "GET":  # another user's can have the same ETag: a browser must not keep it for them
            kept["Cache-Control"] = "no-store"
        if reply.status == 304:
            return exchange.whole(b"", 304, exchange.headers(kept))
        if reply.status not in _ANSWERED:
            raise await reply.error()
        if method == "PUT":
            kept["Location"] = _location(exchange)
        value = await reply.json()
        named = "_id" if method == "GET" else "id"
        if not isinstance(value, dict) or value.get(named) != source_id(view, doc_id):
            raise Unavailable("The source's answer for a local document is not of CouchDB's form.")
        return exchange.json({**value, named: doc_id}, reply.status, kept)


def _location(exchange: Exchange) -> str:
    """The absolute address of the document as the client knows it, escaped as CouchDB escapes it."""
    sent = exchange.request.headers
    scheme, host = exchange.request.scheme, sent.get("Host", "")
    if exchange.server.trust_forwarded:
        scheme, host = sent.get("X-Forwarded-Proto", scheme), sent.get("X-Forwarded-Host", host)
    return f"{scheme}://{host}{path(exchange.view.name, exchange.target.doc_id)}"
