"""Handlers of one document: GET, PUT, DELETE, COPY, and POST of a form. `_design` and `_local` documents too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from proxy.core import jsonio
from proxy.core.query import Query
from proxy.core.revisions import parse_rev
from proxy.core.wire import accept, envelope
from proxy.endpoint.database import Database, Document, MissingRev, Updated, Upload
from proxy.endpoint.http import copying, etag, incoming, outgoing, permissions
from proxy.endpoint.http.call import INVALID_JSON, Call
from proxy.endpoint.http.render import Shown, document_json, missing_json
from proxy.endpoint.http.reply import JSON_HEAD, Reply, Stream, json_reply, json_stream, line
from proxy.errors import BadRequest, NotFound


async def read(call: Call, database: Database, doc_id: str) -> Reply:
    """`GET /{db}/{id}` with all its parameters."""
    if not call.raw_query:
        return _single(call, doc_id, database.get(doc_id))
    query = call.query
    shown = shown_by(query)
    if "open_revs" in query:
        return await _open_revs(call, database, doc_id, shown)
    document = _requested(database, doc_id, query, shown)
    if shown.plain:
        return _single(call, doc_id, document, encoding_info=shown.encoding_info)
    if document.attachments and accept.attachments_as_multipart(call.headers.get("Accept")):
        return _related(call, database, document, shown)
    head, unchanged = _tag(call, doc_id, document)
    return unchanged or Reply(200, JSON_HEAD + head, await document_json(database, document, shown) + b"\n")


def shown_by(query: Query) -> Shown:
    """What the parameters of a document GET ask to see of attachments and paths."""
    since = _revs_list(query.last("atts_since")) if "atts_since" in query else None
    return Shown(
        attachments=query.sticky("attachments"),
        encoding_info=query.sticky("att_encoding_info"),
        since=since,
        revs=query.sticky("revs"),
    )


def _requested(database: Database, doc_id: str, query: Query, shown: Shown) -> Document:
    """With `latest` and no `open_revs` CouchDB looks at the winner, whatever `rev` says."""
    rev = query.last("rev")
    if rev is not None:
        _check_rev(rev)
    if rev is not None and not query.sticky("latest"):
        return database.get(doc_id, rev, revs=shown.needs_path)
    meta = query.sticky("meta")
    return database.get(
        doc_id,
        revs=shown.needs_path,
        revs_info=meta or query.sticky("revs_info"),
        conflicts=meta or query.sticky("conflicts"),
        deleted_conflicts=meta or query.sticky("deleted_conflicts"),
        local_seq=query.sticky("local_seq"),
    )


def _single(call: Call, doc_id: str, document: Document, *, encoding_info: bool = False) -> Reply:
    head, unchanged = _tag(call, doc_id, document)
    return unchanged or Reply(200, JSON_HEAD + head, document.json(encoding_info=encoding_info) + b"\n")


def _tag(call: Call, doc_id: str, document: Document) -> tuple[bytes, Reply | None]:
    """The ETag line and, if the client has the document, a 304. None of both where conflicts and such are shown."""
    if document.meta:
        return b"", None
    if doc_id.startswith("_local/"):
        tag = etag.base36(document.body)
        return etag.header(tag), etag.not_modified(call, tag)
    head = b'ETag: "%b"\r\n' % document.rev.encode()
    return head, etag.not_modified(call, document.rev) if "If-None-Match" in call.headers else None


def _related(call: Call, database: Database, document: Document, shown: Shown) -> Reply:
    head, unchanged = _tag(call, document.id, document)
    if unchanged:
        return unchanged
    message = outgoing.related(document, shown, outgoing.new_boundary())
    body = outgoing.related_stream(database, message)
    head += line("Content-Type", message.form.content_type)
    return Reply(200, head, body, length=message.form.length)


async def _open_revs(call: Call, database: Database, doc_id: str, shown: Shown) -> Reply:
    wanted = call.query.last("open_revs")
    revs = None if wanted == "all" else _revs_list(wanted)
    found = database.open_revs(doc_id, revs, latest=call.query.sticky("latest"), revs=shown.needs_path)
    if not found:
        raise NotFound("missing")
    if not accept.open_revs_as_multipart(call.headers.get("Accept")):
        return json_stream(_json_revs(database, found, shown))
    form = envelope.OpenRevs(outgoing.new_boundary())
    all_bytes = replace(shown, attachments=True, encoding_info=True)  # this form always has them
    stream = outgoing.enveloped(database, form, outgoing.as_parts(found), all_bytes)
    return Reply(200, line("Content-Type", form.content_type), stream)


async def _json_revs(database: Database, found: list[Document | MissingRev], shown: Shown) -> Stream:
    separator = b"["
    for one in found:
        if isinstance(one, MissingRev):
            yield separator + missing_json(one.rev)
        else:
            yield separator + b'{"ok":' + await document_json(database, one, shown) + b"}"
        separator = b","
    yield b"]\n"


def _revs_list(text: str | None) -> list[str]:
    try:
        revs = jsonio.loads((text or "").encode())
    except ValueError:
        raise BadRequest(INVALID_JSON) from None
    if not isinstance(revs, list):
        raise BadRequest("Invalid rev list")
    for rev in revs:
        _check_rev(rev)
    return revs


def _check_rev(rev: object) -> None:
    try:
        parse_rev(rev)
    except ValueError:
        raise BadRequest("Invalid rev format") from None


async def write(call: Call, database: Database, doc_id: str) -> Reply:
    """`PUT /{db}/{id}`: JSON, or multipart/related with the bytes of attachments."""
    check_id(doc_id)
    if rev := call.query.first("rev"):
        _check_rev(rev)
    if not call.headers.get("Content-Type", "").startswith("multipart/related"):
        return await stored(call, database, doc_id, await call.json())
    async with incoming.related(call, database) as (doc, uploads):
        return await stored(call, database, doc_id, doc, uploads=uploads)


async def stored(
    call: Call,
    database: Database,
    doc_id: str,
    doc: Any,
    *,
    tagged: bool = True,
    uploads: dict[str, Upload] | None = None,
) -> Reply:
    """Store a document and answer as PUT and POST do; `tagged`: with an ETag, as PUT."""
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    need_writer(call, database, doc_id)
    updated = await database.put(
        doc_id,
        doc,
        rev=claimed_rev(call, doc.get("_rev")),
        new_edits=call.query.first("new_edits") != "false",
        uploads=uploads,
    )
    if call.query.first("batch") == "ok":
        return json_reply({"ok": True, "id": updated.id}, 202)
    head = line("Location", call.location(database.name, updated.id))
    if tagged:
        head += updated_tag(database, updated)
    return _accepted(updated, 200 if doc.get("_deleted") is True else 201, head)


async def remove(call: Call, database: Database, doc_id: str) -> Reply:
    """`DELETE /{db}/{id}`, with the revision in `rev` or If-Match."""
    need_writer(call, database, doc_id)
    updated = await database.delete(doc_id, claimed_rev(call, None))
    if call.query.first("batch") == "ok":
        return json_reply({"ok": True, "id": updated.id}, 202)
    return _accepted(updated, 200, updated_tag(database, updated))


async def copy(call: Call, database: Database, doc_id: str) -> Reply:
    """`COPY /{db}/{id}`: body and attachments become a new revision of the Destination."""
    source_rev = call.query.first("rev")
    if source_rev is not None:
        _check_rev(source_rev)
    target_id, target_rev = copying.destination(call.headers.get("Destination"))
    check_id(target_id)
    need_writer(call, database, target_id)
    claimed = claimed_rev(call, target_rev, query_rev=None)
    updated = await database.copy(doc_id, source_rev, target_id, claimed)
    head = line("Location", call.location(database.name, updated.id)) + updated_tag(database, updated)
    return _accepted(updated, 201, head)


async def form(call: Call, database: Database, doc_id: str) -> Reply:
    """`POST /{db}/{id}`: an HTML form with `_doc` or `_rev`, and files in `_attachments`."""
    _check_referer(call)
    check_id(doc_id)
    call.need_type("multipart/form-data")
    async with incoming.form(call, database) as (fields, files, uploads):
        doc = _form_document(database, doc_id, fields)
        doc["_attachments"] = {**(doc.get("_attachments") or {}), **files}
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


def claimed_rev(call: Call, body_rev: object, query_rev: str | None = "") -> str | None:
    """The revision that a write says it replaces: of the body, the query or If-Match, which must agree.

    Raises BadRequest if they do not, or are no revisions. `query_rev` None: the query has none to look at.
    """
    in_query = call.query.first("rev") if query_rev == "" else query_rev
    for rev in (body_rev, in_query):
        if rev is not None:
            _check_rev(rev)
    if body_rev is not None and in_query is not None and body_rev != in_query:
        raise BadRequest("Document rev from request body and query string have different values")
    explicit = body_rev if isinstance(body_rev, str) else in_query
    match = call.headers.get("If-Match")
    if match is None:
        return explicit
    match = match.strip('"')
    _check_rev(match)
    if explicit is not None and match != explicit:
        raise BadRequest("Document rev and etag have different values")
    return match


def updated_tag(database: Database, updated: Updated) -> bytes:
    if not updated.id.startswith("_local/"):
        return etag.header(updated.rev or "")
    try:
        return etag.header(etag.base36(database.get(updated.id).body))
    except NotFound:
        return etag.header(etag.base36(b"{}"))


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
        permissions.need_admin(call.identity, database)
