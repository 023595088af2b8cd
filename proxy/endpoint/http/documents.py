"""Handler of `GET /{db}/{id}`. `_design` and `_local` documents too."""

from __future__ import annotations

from dataclasses import replace

from proxy.core.query import Query
from proxy.core.wire import accept, envelope
from proxy.endpoint.database import Database, Document, MissingRev
from proxy.endpoint.http import etag, outgoing
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.render import Shown, document_json, missing_json
from proxy.endpoint.http.reply import JSON_HEAD, Reply, Stream, json_stream, line
from proxy.endpoint.http.revs import check_rev, revs_list
from proxy.errors import NotFound


async def read(call: Call, database: Database, doc_id: str) -> Reply:
    """`GET /{db}/{id}` with all its parameters."""
    if not call.raw_query:
        return _single(call, doc_id, database.get(doc_id))
    query = call.query
    shown = shown_by(query)
    rev = query.last("rev")
    if rev is not None:
        check_rev(rev)
    open_revs = query.last("open_revs")
    wanted = None if open_revs in (None, "all") else revs_list(open_revs)
    if open_revs == "all" or wanted:  # as in CouchDB an empty list is as if there were none
        return await _open_revs(call, database, doc_id, shown, wanted)
    document = _requested(database, doc_id, query, shown)
    if shown.plain:
        return _single(call, doc_id, document, encoding_info=shown.encoding_info)
    if document.attachments and accept.attachments_as_multipart(call.headers.get("Accept")):
        return _related(call, database, document, shown)
    head, unchanged = _tag(call, doc_id, document)
    return unchanged or Reply(200, JSON_HEAD + head, await document_json(database, document, shown) + b"\n")


def shown_by(query: Query) -> Shown:
    """What the parameters of a document GET ask to see of attachments and paths."""
    since = revs_list(query.last("atts_since")) if "atts_since" in query else None
    return Shown(
        attachments=query.sticky("attachments"),
        encoding_info=query.sticky("att_encoding_info"),
        since=since,
        revs=query.sticky("revs"),
    )


def _requested(database: Database, doc_id: str, query: Query, shown: Shown) -> Document:
    """With `latest` and no `open_revs` CouchDB looks at the winner, whatever `rev` says."""
    rev = query.last("rev")
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
        deleted=query.sticky("deleted"),
    )


def _single(call: Call, doc_id: str, document: Document, *, encoding_info: bool = False) -> Reply:
    head, unchanged = _tag(call, doc_id, document)
    return unchanged or Reply(200, JSON_HEAD + head, document.json(encoding_info=encoding_info) + b"\n")


def _tag(call: Call, doc_id: str, document: Document) -> tuple[bytes, Reply | None]:
    """The ETag line and, if the client has the document, a 304. None of both where conflicts and such are shown."""
    if document.meta:
        return b"", None
    if doc_id.startswith("_local/"):
        tag = etag.of_local(document.rev, document.body)
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


async def _open_revs(call: Call, database: Database, doc_id: str, shown: Shown, revs: list[str] | None) -> Reply:
    found = database.open_revs(doc_id, revs, latest=call.query.sticky("latest"), revs=shown.needs_path)
    if not found:
        raise NotFound("missing")
    if not accept.open_revs_as_multipart(call.headers.get("Accept")):
        return json_stream(_json_revs(database, found, shown))
    form = envelope.OpenRevs(outgoing.new_boundary())
    all_bytes = replace(shown, attachments=True, encoding_info=True)  # this form always has them
    stream = outgoing.enveloped(database, form, outgoing.as_parts(found), all_bytes, outgoing.new_boundary())
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
