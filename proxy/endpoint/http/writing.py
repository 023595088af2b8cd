"""Handlers that write one document: PUT, DELETE, COPY, and POST of a form. `_design` and `_local` documents too."""

from __future__ import annotations

from typing import Any

from proxy.core import jsonio
from proxy.endpoint.database import Database, Updated, Upload
from proxy.endpoint.http import copying, etag, incoming, permissions
from proxy.endpoint.http.call import INVALID_JSON, Call
from proxy.endpoint.http.reply import Reply, json_reply, line
from proxy.endpoint.http.revs import check_rev, claimed_rev, if_match
from proxy.errors import BadRequest, NotFound


async def write(call: Call, database: Database, doc_id: str) -> Reply:
    """`PUT /{db}/{id}`: JSON, or multipart/related with the bytes of attachments."""
    check_id(doc_id)
    if rev := call.query.first("rev"):
        check_rev(rev)
    if not call.headers.get("Content-Type", "").startswith("multipart/related"):
        return await stored(call, database, doc_id, await call.json())
    async with incoming.related(call, database) as (doc, uploads):
        return await stored(call, database, doc_id, doc, uploads=uploads)


async def stored(
    call: Call,
    database: Database,
    doc_id: str,
    doc: Any,
    uploads: dict[str, Upload] | None = None,
) -> Reply:
    """Store a document and answer as PUT does: with 200 for a deletion."""
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    need_writer(call, database, doc_id)
    updated = await database.put(
        doc_id,
        doc,
        rev=call.query.first("rev"),
        match=if_match(call),
        new_edits=_new_edits(call),
        uploads=uploads,
    )
    head = line("Location", call.location(database.name, updated.id)) + updated_tag(database, updated)
    return written(call, updated, 200 if doc.get("_deleted") is True else 201, head)


def _new_edits(call: Call) -> bool:
    """The last that is true or false counts."""
    given = [value for value in call.query.all("new_edits") if value in ("true", "false")]
    return given[-1:] != ["false"]


async def remove(call: Call, database: Database, doc_id: str) -> Reply:
    """`DELETE /{db}/{id}`, with the revision in `rev` or If-Match, at which CouchDB looks if there is a document."""
    need_writer(call, database, doc_id)
    database.get(doc_id)
    updated = await database.delete(doc_id, claimed_rev(call))
    return written(call, updated, 200, updated_tag(database, updated))


async def copy(call: Call, database: Database, doc_id: str) -> Reply:
    """`COPY /{db}/{id}`: body and attachments become a new revision of the Destination. `rev` is the source's, and so
    is If-Match.
    """
    source_rev = claimed_rev(call)
    target_id, target_rev = copying.destination(call.headers.get("Destination"))
    check_id(target_id)
    need_writer(call, database, target_id)
    updated = await database.copy(doc_id, source_rev, target_id, target_rev)
    head = line("Location", call.location(database.name, updated.id)) + updated_tag(database, updated)
    return _accepted(updated, 201, head)


async def form(call: Call, database: Database, doc_id: str) -> Reply:
    """`POST /{db}/{id}`: an HTML form with `_doc` or `_rev`, and files in `_attachments`."""
    _check_referer(call)
    check_id(doc_id)
    call.need_type("multipart/form-data")
    async with incoming.form(call, database) as (fields, files, uploads):
        doc = _form_document(database, doc_id, fields)
        kept = doc.get("_attachments") or {}
        if isinstance(kept, dict):  # what is no object is refused with the rest of what is wrong
            doc["_attachments"] = {**kept, **files}
        need_writer(call, database, doc_id)
        updated = await database.put(doc_id, doc, uploads=uploads)
    return _accepted(updated, 201, updated_tag(database, updated))


def _form_document(database: Database, doc_id: str, fields: dict[str, bytes]) -> dict[str, Any]:
    try:
        if "_doc" in fields:
            doc = jsonio.loads(fields["_doc"])
        else:
            rev = fields.get("_rev", b"").decode()
            doc = jsonio.loads(database.get(doc_id, rev).json())
    except ValueError:
        raise BadRequest(INVALID_JSON) from None
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    return doc


def _check_referer(call: Call) -> None:
    """A form is only taken from a page of this very server: browsers send forms across sites without asking."""
    referer = call.headers.get("Referer")
    if referer is None:
        raise BadRequest("Referer header required.")
    host = referer.partition("://")[2].partition("/")[0]
    if host != call.headers.get("Host"):
        raise BadRequest("Referer host must match host.")


def updated_tag(database: Database, updated: Updated) -> bytes:
    if not updated.id.startswith("_local/"):
        return etag.header(updated.rev or "")
    try:
        document = database.get(updated.id)
    except NotFound:
        return etag.header(etag.of_local(updated.rev or "", b"{}"))
    return etag.header(etag.of_local(document.rev, document.body))


def written(call: Call, updated: Updated, status: int, head: bytes) -> Reply:
    """The answer to a write; who asks for `batch=ok` is told no revision."""
    if call.query.first("batch") == "ok":
        return json_reply({"ok": True, "id": updated.id}, 202)
    return _accepted(updated, status, head)


def _accepted(updated: Updated, status: int, head: bytes) -> Reply:
    return json_reply({"ok": True, "id": updated.id, "rev": updated.rev}, status, head)


def check_id(doc_id: str) -> None:
    """Raises BadRequest for an id that nothing may be stored under, before the body is read."""
    if not doc_id:
        raise BadRequest("Document id must not be empty", error="illegal_docid")
    if doc_id.startswith("_") and not doc_id.startswith(("_design/", "_local/")):
        raise BadRequest("Only reserved document ids may start with underscore.", error="illegal_docid")


def need_writer(call: Call, database: Database, doc_id: str) -> None:
    """Design documents are written by administrators only."""
    if doc_id.startswith("_design/"):
        permissions.need_designer(call.identity, database)
