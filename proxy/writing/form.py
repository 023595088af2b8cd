"""POST of a form to a document, as a browser sends it: `_doc` or `_rev`, and files in `_attachments`."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from proxy.core.wire import WireError
from proxy.core.wire.header import boundary_of, parse_header
from proxy.core.wire.multipart import MultipartDecoder, PartBegin, PartData
from proxy.errors import BadContentType, BadRequest
from proxy.exchange import Exchange
from proxy.reading.visible import visible_document
from proxy.writing.answer import stored
from proxy.writing.originals import rules_of
from proxy.writing.pushed import canonical_rev, check_id, read_pushed
from proxy.writing.store import write


@dataclass
class Field:
    """One field of a form; a file has a name."""

    name: str
    filename: str | None
    content_type: str
    data: bytearray = field(default_factory=bytearray)


async def post_document(exchange: Exchange) -> web.StreamResponse:
    """POST of multipart/form-data. The files replace attachments of the same name; others stay."""
    doc_id = check_id(exchange.target.doc_id)
    check_referer(exchange)
    content_type = exchange.request.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise BadContentType("Content-Type must be multipart/form-data")
    rules_of(exchange.view).applied_to(doc_id)
    fields = read_form(content_type, await exchange.read_body())
    doc = await _document(exchange, doc_id, fields)
    files = {f.filename: _inline(f) for f in fields if f.name == "_attachments" and f.filename}
    kept = doc.get("_attachments") or {}
    if files and isinstance(kept, dict):  # what is no object is refused with the rest of what is wrong
        kept = {name: entry for name, entry in kept.items() if name not in files}
        doc = {**doc, "_attachments": {**files, **kept}}
    written = await write(exchange, read_pushed({**doc, "_id": doc_id}, True))
    return stored(exchange, doc_id, written)


def check_referer(exchange: Exchange) -> None:
    """CouchDB's protection against forms of other sites. Raises BadRequest."""
    referer = exchange.request.headers.get("Referer")
    if referer is None:
        raise BadRequest("Referer header required.")
    try:
        host = urlsplit(referer).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    if not host or host != exchange.request.headers.get("Host"):
        raise BadRequest("Referer header must match host.")


def read_form(content_type: str, body: bytes) -> list[Field]:
    """The fields of a form. Raises BadRequest."""
    fields: list[Field] = []
    try:
        decoder = MultipartDecoder(boundary_of(content_type))
        for event in decoder.feed(body):
            if isinstance(event, PartBegin):
                params = parse_header(event.headers.get("content-disposition", "")).params
                kind = event.headers.get("content-type", "application/octet-stream")
                fields.append(Field(params.get("name", ""), params.get("filename"), kind))
            elif isinstance(event, PartData):
                fields[-1].data += event.data
        decoder.close()
    except WireError as error:
        raise BadRequest(error.reason) from None
    return fields


async def _document(exchange: Exchange, doc_id: str, fields: list[Field]) -> dict[str, Any]:
    """What the form edits: the document that it holds, or the revision that it names, as the client sees it."""
    values = {f.name: bytes(f.data) for f in reversed(fields)}
    if "_doc" in values:
        doc = exchange.parse(values["_doc"])
        if not isinstance(doc, dict):
            raise BadRequest("Document must be a JSON object")
        return doc
    if "_rev" not in values:
        raise BadRequest("The form needs a field _doc or _rev.")
    rev = canonical_rev(values["_rev"].decode("utf-8", "replace").strip())
    return (await visible_document(exchange.view, doc_id, str(rev))).doc


def _inline(file: Field) -> dict[str, Any]:
    return {"content_type": file.content_type, "data": b64encode(file.data).decode()}
