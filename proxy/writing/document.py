"""PUT and DELETE of a document, and POST to the database.

`batch=ok` is a normal write here: nothing is acknowledged before it is stored.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from aiohttp import web

from proxy.core import jsonio
from proxy.core.grafts import may_be_return
from proxy.core.revisions import Rev, parse_rev
from proxy.core.wire import WireError
from proxy.core.wire.header import boundary_of
from proxy.errors import BadRequest
from proxy.exchange import Exchange
from proxy.fetch import fetch_leaves
from proxy.intake import Arrival
from proxy.reading.local import LOCAL, source_id
from proxy.upstream import JSON_HEADERS
from proxy.writing.answer import stored
from proxy.writing.aside import planned
from proxy.writing.originals import fetch_stored, rules_of
from proxy.writing.plan import returning
from proxy.writing.pushed import Pushed, canonical_rev, check_id, named_rev, read_pushed
from proxy.writing.related import Received, following
from proxy.writing.store import Written, carry_out, edit, not_there, write
from proxy.writing.stored import NOTHING, Stored


async def put_document(exchange: Exchange) -> web.StreamResponse:
    """PUT, as JSON or, with attachments, as multipart/related; `new_edits=false` stores the named revision."""
    doc_id = check_id(exchange.target.doc_id)
    if exchange.request.headers.get("Content-Type", "").lower().startswith("multipart/related"):
        written = await _put_related(exchange, doc_id)
    else:
        body = await exchange.read_body()
        if not body and exchange.request.content_length is None:
            raise BadRequest("Missing request body")
        written = await write(exchange, read_put(exchange, doc_id, exchange.parse(body)))
    return stored(exchange, doc_id, written, at=(doc_id,))


async def _put_related(exchange: Exchange, doc_id: str) -> Written:
    """The document is judged before its attachments are read; those then pass through."""
    try:
        boundary = boundary_of(exchange.request.headers["Content-Type"])
    except WireError as error:
        raise BadRequest(error.reason) from None
    received = Received(exchange.incoming(), boundary)
    async with exchange.arrival(received.document(), exchange.server.max_body) as arrival:
        pushed = await _read_arrived(exchange, doc_id, arrival)
        if not following(pushed.body):
            del pushed
            exchange.leave()  # who has a place in memory does not wait for its client
            await received.finish()
            pushed = await _read_arrived(exchange, doc_id, arrival)
    if not following(pushed.body):
        return await write(exchange, pushed)
    written = await write(exchange, pushed, bodies=received)
    await received.drain()
    return written


async def _read_arrived(exchange: Exchange, doc_id: str, arrival: Arrival) -> Pushed:
    return read_put(exchange, doc_id, exchange.parse(await exchange.read_arrived(arrival)), follows=True)


def read_put(exchange: Exchange, doc_id: str, doc: Any, *, follows: bool = False) -> Pushed:
    """The document of a PUT. Its id is that of the path; query, If-Match and body must not name different revisions.

    Raises BadRequest.
    """
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    if "_id" in doc:
        check_id(doc["_id"])
    new_edits = exchange.query.first("new_edits") != "false"
    own = named_rev(doc)
    rev = rev_of(exchange, own)
    if own is None and rev is not None:
        doc = {**doc, "_rev": str(rev)}
    return read_pushed({**doc, "_id": doc_id}, new_edits, follows=follows)


def rev_of(exchange: Exchange, own: Rev | None = None) -> Rev | None:
    """The revision that a request names in its query, in If-Match, or in its document (`own`). Raises BadRequest."""
    asked = exchange.query.first("rev")
    if asked is not None:
        rev = canonical_rev(asked)
        if own is not None and own != rev:
            raise BadRequest("Document rev from request body and query string have different values")
        own = rev
    header = exchange.request.headers.get("If-Match")
    if header is None:
        return own
    rev = canonical_rev(header.strip().strip('"'))
    if own is not None and own != rev:
        raise BadRequest("Document rev and etag have different values")
    return rev


async def source_rev_of(exchange: Exchange, doc_id: str) -> Rev | None:
    """The same by the source's name: a return stands for the leaf that it shows again."""
    rev, view = rev_of(exchange), exchange.view
    if rev is None or not may_be_return(str(rev)):
        return rev
    stored_now = Stored((await fetch_leaves(view, [doc_id])).get(doc_id, ()))
    held = returning(doc_id, str(rev), stored_now, rules_of(view))
    return rev if held is None else parse_rev(held)


async def post_database(exchange: Exchange) -> web.StreamResponse:
    """POST to the database: a document with its own id, or a new one."""
    doc = await exchange.read_json()
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    if "_id" not in doc:
        left = {name: value for name, value in doc.items() if name not in ("_rev", "_revisions")}  # of no document
        doc = {"_id": uuid4().hex, **left}
    doc_id = check_id(doc["_id"])
    if doc_id.startswith(LOCAL):
        written = await _put_local(exchange, doc)
    else:
        written = await write(exchange, read_pushed(doc, True))
        written = written._replace(status=max(written.status, 201))  # also for a deletion, unlike PUT
    return stored(exchange, doc_id, written, etag=False, at=(doc_id,))


async def _put_local(exchange: Exchange, doc: dict[str, Any]) -> Written:
    view = exchange.view
    own_id = source_id(view, doc["_id"])
    headers = {**JSON_HEADERS, **view.headers}
    body = jsonio.dumps({**doc, "_id": own_id})
    return await edit(exchange, "PUT", view.document_path(own_id), [], headers, body)


async def delete_document(exchange: Exchange) -> web.StreamResponse:
    """DELETE. The tombstone keeps what decides whom it reaches, so it is written as a document."""
    view, doc_id = exchange.view, check_id(exchange.target.doc_id)
    rev = await source_rev_of(exchange, doc_id)
    doc = {"_id": doc_id, **({} if rev is None else {"_rev": str(rev)}), "_deleted": True}
    pushed = read_pushed(doc, True)
    rules = rules_of(view).applied_to(doc_id)
    if not rules.chain:
        pairs = [] if rev is None else [("rev", str(rev))]
        headers = {"Accept": "application/json", **view.headers}
        written = await edit(exchange, "DELETE", view.document_path(doc_id), pairs, headers)
        return stored(exchange, doc_id, written)
    held = (await fetch_stored(view, [pushed])).get(doc_id, NOTHING)
    if not any(map(rules.shows, held.live)):
        raise await not_there(view, doc_id)
    written = await carry_out(exchange, pushed, await planned(pushed, held, rules))
    return stored(exchange, doc_id, written._replace(status=202 if written.status == 202 else 200))
