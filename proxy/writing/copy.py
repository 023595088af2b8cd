"""COPY: the document as the client sees it, written as the client's own.

CouchDB would copy the whole document, with all that is hidden in it, and give it a new id under which nothing that the
client writes later is restored. So the proxy does it: it reads through the view, and writes through the view.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote_to_bytes

from aiohttp import web

from proxy.contract import Doc
from proxy.errors import BadRequest
from proxy.exchange import Exchange
from proxy.reading.attachments import stored_body
from proxy.reading.local import LOCAL
from proxy.reading.visible import visible_document
from proxy.resolve import Shown
from proxy.view import View
from proxy.writing.answer import stored
from proxy.writing.originals import rules_of
from proxy.writing.pushed import DESCRIPTIVE, canonical_rev, check_id, read_pushed
from proxy.writing.store import write

_DESCRIBED = ("content_type", "length", "encoding", "encoded_length")


class Copied:
    """The bodies of a shown document's attachments, as the source stores them."""

    def __init__(self, view: View, shown: Shown) -> None:
        self._view = view
        self._shown = shown

    def next(self, name: str, length: int) -> AsyncIterator[bytes]:
        """The bytes of an attachment. Raises Unavailable if the source does not give it out as announced."""
        return stored_body(self._view, self._shown, name)

    async def finish(self) -> None:
        """There is nothing more."""


async def copy_document(exchange: Exchange) -> web.StreamResponse:
    """COPY, of the view's winner or the revision named, to `Destination: id[?rev=r]`."""
    view = exchange.view
    doc_id, rev = destination(exchange.request.headers.get("Destination"))
    rules_of(view).applied_to(doc_id)
    extra = [("att_encoding_info", "true")]
    shown = await visible_document(view, exchange.target.doc_id, exchange.query.first("rev"), extra=extra)
    pushed = read_pushed(_copied(shown, doc_id, rev), True, follows=True)
    written = await write(exchange, pushed, rules=rules_of(view), bodies=Copied(view, shown))
    return stored(exchange, doc_id, written._replace(status=max(written.status, 201)), at=(doc_id,))


def destination(header: str | None) -> tuple[str, str | None]:
    """The id and the revision in a Destination header. Raises BadRequest."""
    if header is None:
        raise BadRequest("Destination header is mandatory for COPY.")
    if header.lower().startswith(("http://", "https://")):
        raise BadRequest("Destination URL must be relative.")
    name, question, query = header.partition("?")
    try:
        doc_id = check_id(unquote_to_bytes(name.encode("utf-8", "surrogateescape")).decode())
    except UnicodeDecodeError:
        raise BadRequest("The Destination header is not UTF-8.") from None
    if doc_id.startswith(LOCAL):
        raise BadRequest("A document cannot be copied to a local one through this proxy.")
    if not question:
        return doc_id, None
    key, _, rev = query.partition("=")
    if key != "rev":
        raise BadRequest("The Destination header may have no other parameter than rev.")
    return doc_id, str(canonical_rev(rev))


def _copied(shown: Shown, doc_id: str, rev: str | None) -> Doc:
    own = {"_id", "_rev", "_deleted", *DESCRIPTIVE}
    doc: Doc = {"_id": doc_id, **({} if rev is None else {"_rev": rev})}
    doc |= {name: value for name, value in shown.doc.items() if name not in own}
    entries: dict[str, Any] = doc.get("_attachments") or {}
    if entries:
        doc["_attachments"] = {name: _follows(entry) for name, entry in entries.items()}
    return doc


def _follows(entry: dict[str, Any]) -> dict[str, Any]:
    return {**{name: entry[name] for name in _DESCRIBED if name in entry}, "follows": True}
