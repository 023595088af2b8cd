"""One document: planned, sent to the source by PUT, and what came of it.

The answer is the source's, or an error; where the source broke off it is what can be known (see `settle`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from proxy import recent
from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.errors import CouchError, NotDone, NotFound, Unavailable
from proxy.exchange import Exchange
from proxy.http_client import Body, Sized
from proxy.reply import Reply
from proxy.resolve import view_leaves
from proxy.upstream import JSON_HEADERS, Headers
from proxy.view import View
from proxy.writing.lending import with_lent
from proxy.writing.originals import errors_of_taken, plan_some, rules_of
from proxy.writing.pushed import Pushed
from proxy.writing.related import Bodies, Upload, following
from proxy.writing.rules import Acknowledge, Outcome, Refuse, Rules, Send
from proxy.writing.settle import heard, is_conflict, missing_revisions, not_stored


class Written(NamedTuple):
    """A revision that the source has, and the status that goes with it."""

    rev: str
    status: int


async def write(
    exchange: Exchange, pushed: Pushed, *, rules: Rules | None = None, bodies: Bodies | None = None
) -> Written:
    """Judge one document, and store it. `bodies`: of the attachments that follow it.

    Raises the CouchError that the client gets.
    """
    [outcome] = await plan_some(exchange.view, [pushed], rules, suppose=bodies is None)
    try:
        return await carry_out(exchange, pushed, outcome, bodies)
    except CouchError as error:
        is_taken = pushed.creates and isinstance(outcome, Send) and is_conflict(error.error)
        if not (is_taken and rules_of(exchange.view).chain):
            raise
    # nameless: an error refers to this frame, which must not refer to the error
    raise (await errors_of_taken(exchange.view, [pushed], rules))[0]


async def not_there(view: View, doc_id: str) -> NotFound:
    """The error where a client sees nothing that it could delete: what it reads says whether there was something."""
    return NotFound("deleted" if await view_leaves(view, [doc_id]) else "missing")


async def carry_out(exchange: Exchange, pushed: Pushed, outcome: Outcome, bodies: Bodies | None = None) -> Written:
    """Do what was planned for one document. Raises the CouchError that the client gets."""
    if isinstance(outcome, Refuse):
        raise outcome.told(exchange.view.profile.chain)
    if isinstance(outcome, Acknowledge):
        return Written(str(pushed.path[0]), 201)
    doc = await with_lent(exchange.view, outcome, exchange.server.max_body)
    if bodies is None or not following(doc):
        return await put(exchange, pushed, jsonio.dumps(doc), "application/json")
    upload = Upload(doc, bodies, begun=exchange.leave)
    return await put(exchange, pushed, Sized(upload.length, upload.pieces(), upload.epilogue), upload.content_type)


async def put(exchange: Exchange, pushed: Pushed, body: Body, content_type: str) -> Written:
    """PUT a whole document to the source."""
    view = exchange.view
    pairs = [] if pushed.new_edits else [("new_edits", "false")]
    headers = {**JSON_HEADERS, "Content-Type": content_type, **view.headers}
    path = view.document_path(pushed.id)
    if pushed.new_edits:
        return await edit(exchange, "PUT", path, pairs, headers, body, [pushed])
    try:
        return await _send(exchange, "PUT", path, pairs, headers, body, [pushed])
    except Unavailable as error:
        if isinstance(error, NotDone):
            raise
        if await missing_revisions(view, [pushed]):
            raise not_stored(error) from error
        return Written(str(pushed.path[0]), 201)


async def edit(
    exchange: Exchange,
    method: str,
    path: str,
    pairs: Pairs,
    headers: Headers,
    body: Body = None,
    batch: Sequence[Pushed] = (),
) -> Written:
    """An interactive write, whose success is `{"ok", "id", "rev"}`. `batch`: what the client sent for it.

    Raises the source's error, and Unavailable, which says so if it is unknown whether the write was stored.
    """
    try:
        return await _send(exchange, method, path, pairs, headers, body, batch)
    except Unavailable as error:
        if isinstance(error, NotDone):
            raise
        raise error.unsure() from error


async def _send(
    exchange: Exchange,
    method: str,
    path: str,
    pairs: Pairs,
    headers: Headers,
    body: Body,
    batch: Sequence[Pushed],
) -> Written:
    """The source's error is put in words that the client may hear."""
    try:
        async with await exchange.view.upstream.request(method, path, pairs, headers=headers, body=body) as reply:
            if reply.status >= 300:
                raise heard(await reply.error(verbatim=True, of_document=True), rules_of(exchange.view), batch)
            return await _written(reply)
    finally:
        recent.wrote(exchange.view, [pushed.id for pushed in batch] or [exchange.target.doc_id])


async def _written(reply: Reply) -> Written:
    answer: Doc = await reply.json()
    rev = answer.get("rev") if isinstance(answer, dict) else None
    if not isinstance(rev, str):
        raise Unavailable("The source's answer to a write does not say which revision it stored.")
    return Written(rev, reply.status)
