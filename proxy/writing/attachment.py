"""PUT and DELETE of an attachment: edits of the document that has it, judged as such.

An attachment that is added streams to the source, as it is: a request for the attachment alone where nothing else of
the document changes; where a filter changes something along with it (a stamp), a multipart PUT of the whole document.
What filters know of an attachment is its name, type and length, so the length must be known before: a body without
Content-Length is read first, up to `server.max_body` bytes, and more than that is 411. Without filters it need not be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from aiohttp import web

from proxy.contract import Doc
from proxy.core.equality import same
from proxy.core.revisions import descends, parse_rev, rank
from proxy.errors import BadContentType, Conflict, CouchError, NotFound, TooLarge
from proxy.exchange import Exchange
from proxy.http_client import Body, Sized
from proxy.writing.answer import stored
from proxy.writing.aside import planned
from proxy.writing.document import source_rev_of
from proxy.writing.doubt import note_edit
from proxy.writing.originals import fetch_stored, rules_of
from proxy.writing.pushed import Pushed, check_attachment_name, check_id, read_pushed
from proxy.writing.related import Given
from proxy.writing.rules import Refuse, Rules, Send, content
from proxy.writing.store import Written, carry_out, edit, not_there
from proxy.writing.stored import NOTHING, Stored

_MISSING = "Document is missing attachment"
_PASSED = ("Content-Type", "Content-Encoding", "Content-MD5")


async def put_attachment(exchange: Exchange) -> web.StreamResponse:
    """PUT: authorised by the revision that it is added to; without one it creates the document."""
    target = exchange.target
    doc_id, name = check_id(target.doc_id), check_attachment_name(target.attachment)
    encoding = _encoding(exchange)
    rules = replace(rules_of(exchange.view).applied_to(doc_id), on_surplus="refuse")
    rev = await source_rev_of(exchange, doc_id)
    named = {"_id": doc_id, **({} if rev is None else {"_rev": str(rev)})}
    if rules.chain:
        written = await _judged(exchange, named, name, encoding, rules)
    else:
        await _note(exchange, named, rules)
        length, stream = exchange.request.content_length, exchange.incoming()
        written = await _pass(exchange, named, stream if length is None else Sized(length, stream))
    return stored(exchange, doc_id, written, etag=False, at=(doc_id, name))


def _encoding(exchange: Exchange) -> str | None:
    encoding = exchange.request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("gzip", "identity"):
        raise BadContentType("Only gzip and identity content-encodings are supported")
    return None if encoding == "identity" else encoding


async def _judged(exchange: Exchange, named: Doc, name: str, encoding: str | None, rules: Rules) -> Written:
    held = await _fetch(exchange, named)
    async with _body_of(exchange) as (length, stream):
        pushed = _with_attachment(named, held, name, _entry(exchange, length, encoding), rules)
        outcome = await planned(pushed, held, rules)
        if isinstance(outcome, Send):
            await note_edit(exchange.view, rules, held.leaf(named.get("_rev", "")))
        if "_rev" in named and isinstance(outcome, Refuse) and isinstance(outcome.error, Conflict):
            raise _not_to_edit(named["_rev"], held, rules)
        if isinstance(outcome, Send) and _adds_only(outcome.doc, held.leaf(named.get("_rev", "")), name):
            return await _pass(exchange, named, Sized(length, Given(stream).next(name, length)))
        return await carry_out(exchange, pushed, outcome, Given(stream))


@asynccontextmanager
async def _body_of(exchange: Exchange) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
    """The length of a body, and the body. Raises 411 if it comes without one, and is too large to be read first."""
    length = exchange.request.content_length
    if length is not None:
        yield length, exchange.incoming()
        return
    most = exchange.server.max_body
    async with AsyncExitStack() as stack:
        try:
            body = await stack.enter_async_context(exchange.arrival(exchange.incoming(), most))
        except TooLarge:
            reason = f"An attachment of more than {most} bytes needs a Content-Length."
            raise CouchError(reason, error="length_required", status=411) from None
        yield body.size, body.pieces()


def _not_to_edit(rev: str, held: Stored, rules: Rules) -> CouchError:
    """The error for a revision that is no leaf. CouchDB tells those that it has from those that it has not; a client is
    told so of what is above a leaf that it sees, where `_revisions` says the same. All else is missing.
    """
    seen = [leaf for leaf in held.live if rules.shape(leaf) is not None]
    return Conflict() if any(descends(leaf, rev) for leaf in seen) else NotFound("missing_rev", status=409)


async def _note(exchange: Exchange, named: Doc, rules: Rules) -> None:
    """Where what is stored is looked at for nothing else."""
    if not exchange.view.past.is_clear and "_rev" in named:
        await note_edit(exchange.view, rules, (await _fetch(exchange, named)).leaf(named["_rev"]))


async def _fetch(exchange: Exchange, named: Doc) -> Stored:
    return (await fetch_stored(exchange.view, [read_pushed(named, True)])).get(named["_id"], NOTHING)


def _entry(exchange: Exchange, length: int, encoding: str | None) -> dict[str, Any]:
    content_type = exchange.request.headers.get("Content-Type", "application/octet-stream")
    if not content_type.isprintable():
        raise BadContentType("The Content-Type header is not UTF-8 text.")
    entry = {"content_type": content_type, "follows": True, "length": length}
    # of a body that comes compressed CouchDB knows no other length either
    return entry if encoding is None else {**entry, "encoding": encoding, "encoded_length": length}


def _with_attachment(named: Doc, held: Stored, name: str, entry: dict[str, Any], rules: Rules) -> Pushed:
    """The document as the client sees it, with its attachment."""
    doc = _shown(named, held, rules)
    return read_pushed({**doc, "_attachments": {**doc.get("_attachments", {}), name: entry}}, True, follows=True)


def _shown(named: Doc, held: Stored, rules: Rules) -> Doc:
    leaf = held.leaf(named.get("_rev", ""))
    shaped = rules.shape(leaf) if leaf is not None else None
    return named if shaped is None else {**shaped, **named}


def _adds_only(whole: Doc, leaf: Doc | None, name: str) -> bool:
    """Whether the document to store is the one that is stored with nothing but the attachment added."""
    before: Doc = {} if leaf is None else content(leaf)
    names = {*(before.get("_attachments") or {}), name}
    return names == set(whole["_attachments"]) and same(_body(before), _body(whole))


def _body(doc: Doc) -> Doc:
    return {key: value for key, value in doc.items() if key not in ("_id", "_rev", "_attachments")}


async def _pass(exchange: Exchange, named: Doc, body: Body) -> Written:
    view, target, sent = exchange.view, exchange.target, exchange.request.headers
    headers = {"Accept": "application/json", **{name: sent[name] for name in _PASSED if name in sent}, **view.headers}
    pairs = [("rev", named["_rev"])] if "_rev" in named else []
    return await edit(exchange, "PUT", view.document_path(target.doc_id, target.attachment), pairs, headers, body)


async def delete_attachment(exchange: Exchange) -> web.StreamResponse:
    """DELETE: the document is stored without it. What the client does not see is missing."""
    view, target = exchange.view, exchange.target
    doc_id, name = check_id(target.doc_id), check_attachment_name(target.attachment)
    rules = rules_of(view).applied_to(doc_id)
    rev = await source_rev_of(exchange, doc_id)
    named = {"_id": doc_id, **({} if rev is None else {"_rev": str(rev)})}
    if not rules.chain:
        await _note(exchange, named, rules)
        pairs = [] if rev is None else [("rev", str(rev))]
        headers = {"Accept": "application/json", **view.headers}
        written = await edit(exchange, "DELETE", view.document_path(doc_id, name), pairs, headers)
    else:
        held = await _fetch(exchange, named)
        if rev is None and not any(map(rules.shows, held.leaves)):
            raise await not_there(view, doc_id)
        pushed = _without_attachment(named, held, name, rules)
        outcome = await planned(pushed, held, rules)
        if isinstance(outcome, Send):
            await note_edit(view, rules, held.leaf(named["_rev"]))
        written = await carry_out(exchange, pushed, outcome)
    return stored(exchange, doc_id, written._replace(status=202 if written.status == 202 else 200), etag=False)


def _check_is_there(seen: Sequence[Doc], name: str, rules: Rules) -> None:
    """Raises NotFound where there is nothing to be removed, which CouchDB says before it misses a revision."""
    live = [leaf for leaf in seen if leaf.get("_deleted") is not True]
    if not live:
        raise NotFound("deleted")
    winner = max(live, key=lambda leaf: rank(parse_rev(leaf["_rev"])))
    if name not in ((rules.shape(winner) or {}).get("_attachments") or {}):
        raise NotFound(_MISSING)


def _without_attachment(named: Doc, held: Stored, name: str, rules: Rules) -> Pushed:
    if "_rev" not in named:
        _check_is_there([leaf for leaf in held.leaves if rules.shows(leaf)], name, rules)
        raise Conflict()
    leaf = held.leaf(named["_rev"])
    if leaf is None or (leaf.get("_deleted") is not True and rules.shape(leaf) is None):
        raise _not_to_edit(named["_rev"], held, rules)
    doc = _shown(named, held, rules)
    attachments = dict(doc.get("_attachments") or {})
    if attachments.pop(name, None) is None:
        raise NotFound(_MISSING)
    return read_pushed({**doc, "_attachments": attachments}, True)
