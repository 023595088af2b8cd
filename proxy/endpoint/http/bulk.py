"""Handlers of many documents at once: `_bulk_docs`, `_bulk_get`, `_revs_diff`, `_missing_revs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from proxy.core import jsonio
from proxy.core.revisions import parse_rev
from proxy.core.wire import accept, envelope
from proxy.endpoint.database import Database, Document, MissingRev, Updated
from proxy.endpoint.http import documents, outgoing, permissions
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.render import Shown, document_json
from proxy.endpoint.http.reply import CHUNK, JSON_HEAD, Reply, Stream, json_reply, line
from proxy.endpoint.incoming import check_id
from proxy.errors import BadRequest, CouchError, Forbidden, Unauthorized

_NOT_IN_BULK_GET = ("rev", "open_revs", "atts_since", "w", "new_edits")


async def bulk_docs(call: Call, database: Database) -> Reply:
    """Store many documents. With `new_edits: false` only failures are listed: `[]` is full success."""
    call.need_json_type()
    body = await call.json_object()
    docs, new_edits = _docs(body)
    if call.headers.get("X-Couch-Full-Commit") is None and body.get("all_or_nothing") is True:
        raise CouchError("`all_or_nothing` is not supported", error="not_implemented", status=417)
    refused = _refused(call, database, docs)
    if refused:
        allowed = [doc for index, doc in enumerate(docs) if index not in refused]
        results = iter(await database.bulk_docs(allowed, new_edits=new_edits))
        updated = [refused[index] if index in refused else next(results) for index in range(len(docs))]
    else:
        updated = await database.bulk_docs(docs, new_edits=new_edits)
    if new_edits:
        return json_reply([_row(one) for one in updated], 201)
    return json_reply([_failure(one) for one in updated if one.error is not None], 201)


def _docs(body: dict[str, Any]) -> tuple[list[Any], bool]:
    if "docs" not in body:
        raise BadRequest("POST body must include `docs` parameter.")
    docs = body["docs"]
    if not isinstance(docs, list):
        raise BadRequest("`docs` parameter must be an array.")
    new_edits = body.get("new_edits", True)
    if not isinstance(new_edits, bool):
        raise BadRequest("`new_edits` parameter must be a boolean.")
    if not all(isinstance(doc, dict) for doc in docs):
        raise BadRequest("Document must be a JSON object")
    return docs, new_edits


def _refused(call: Call, database: Database, docs: list[Any]) -> dict[int, Updated]:
    """Design documents that this user may not write, by their place."""
    designs = {i: doc["_id"] for i, doc in enumerate(docs) if str(doc.get("_id", "")).startswith("_design/")}
    if not designs:
        return {}
    try:
        permissions.need_designer(call.identity, database)
    except (Forbidden, Unauthorized) as error:
        return {i: Updated(name, docs[i].get("_rev"), error) for i, name in designs.items()}
    return {}


def _row(updated: Updated) -> dict[str, Any]:
    if updated.error is None:
        return {"ok": True, "id": updated.id, "rev": updated.rev}
    return {"id": updated.id, **_words(updated.error)}


def _failure(updated: Updated) -> dict[str, Any]:
    assert updated.error is not None
    return {"id": updated.id, "rev": updated.rev, **_words(updated.error)}


def _words(error: Exception) -> dict[str, str]:
    if isinstance(error, CouchError):
        return {"error": error.error, "reason": error.reason}
    return {"error": "internal_server_error", "reason": "The document could not be stored."}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One entry of a `_bulk_get` request; `error` is what is wrong with it."""

    id: Any
    rev: str | None
    since: list[str] | None
    error: dict[str, Any] | None = None


async def bulk_get(call: Call, database: Database) -> Reply:
    """Read many revisions: one result for each entry, in order. Multipart only where JSON is not acceptable."""
    for name in _NOT_IN_BULK_GET:
        if name in call.query:
            raise BadRequest(f'"{name}" query parameter is not acceptable')
    call.need_json_type()
    entries = (await call.json_object()).get("docs")
    if not isinstance(entries, list):
        raise BadRequest("Missing JSON list of 'docs'.")
    shown = documents.shown_by(call.query)
    latest = call.query.sticky("latest")
    wanted = [_entry(entry) for entry in entries]
    kind = accept.bulk_get_type(call.headers.get("Accept"))
    if kind != accept.JSON:
        return _multipart(database, wanted, shown, latest, kind)
    return await _as_json(database, wanted, shown, latest)


def _entry(entry: Any) -> _Wanted:
    if not isinstance(entry, dict):
        return _bad_entry(None, None, "document must be a JSON object")
    doc_id = entry.get("id")
    if doc_id is None:
        return _bad_entry(None, None, "document id missed")
    try:
        check_id(doc_id)
    except BadRequest as error:
        return _bad_entry(doc_id, None, error.reason, error.error)
    since = entry.get("atts_since", [])
    if "rev" in entry and not _is_rev(entry["rev"]):
        return _bad_entry(doc_id, entry["rev"], "Invalid rev format")
    if not isinstance(since, list):
        return _bad_entry(doc_id, since, "att_since value must be array of revs.")
    for rev in since:
        if not _is_rev(rev):
            return _bad_entry(doc_id, rev, "Invalid rev format")
    return _Wanted(doc_id, entry.get("rev"), since)


def _is_rev(value: object) -> bool:
    try:
        parse_rev(value)
    except ValueError:
        return False
    return True


def _bad_entry(doc_id: Any, rev: Any, reason: str, error: str = "bad_request") -> _Wanted:
    return _Wanted(doc_id, None, None, {"rev": rev, "reason": reason, "id": doc_id, "error": error})


def _found(
    database: Database, want: _Wanted, shown: Shown, latest: bool
) -> Sequence[Document | MissingRev | dict[str, Any]]:
    if want.error is not None:
        return [want.error]
    revs = None if want.rev is None else [want.rev]
    return database.open_revs(want.id, revs, latest=latest, revs=shown.needs_path) or [MissingRev("undefined")]


def _missing(doc_id: str, rev: str) -> dict[str, Any]:
    return {"rev": rev, "reason": "missing", "id": doc_id, "error": "not_found"}


async def _as_json(database: Database, wanted: list[_Wanted], shown: Shown, latest: bool) -> Reply:
    """A short answer has a length, a long one is streamed."""
    stream = _json_results(database, wanted, shown, latest)
    first = await anext(stream)
    if len(first) < CHUNK:
        rest = [piece async for piece in stream]
        return Reply(200, JSON_HEAD, first + b"".join(rest))
    return Reply(200, JSON_HEAD, _resumed(first, stream))


async def _resumed(first: bytes, rest: Stream) -> Stream:
    try:
        yield first
        async for piece in rest:
            yield piece
    finally:
        await rest.aclose()


async def _json_results(database: Database, wanted: list[_Wanted], shown: Shown, latest: bool) -> Stream:
    pieces = [b'{"results":[']
    size = 0
    separator = b'{"id":'
    for want in wanted:
        here = replace(shown, attachments=True, since=want.since) if want.since else shown  # [] asks for none
        pieces += (separator, jsonio.dumps(want.id), b',"docs":[')
        for index, one in enumerate(_found(database, want, here, latest)):
            text = await _one(database, want.id, one, here)
            pieces += (b"," if index else b"", text)
            size += len(text)
        pieces.append(b"]}")
        separator = b',{"id":'
        if size > CHUNK:
            yield b"".join(pieces)
            pieces, size = [], 0
    pieces.append(b"]}\n")
    yield b"".join(pieces)


async def _one(database: Database, doc_id: str, one: Document | MissingRev | dict[str, Any], shown: Shown) -> bytes:
    if isinstance(one, Document):
        if shown.plain:
            return b'{"ok":' + one.json(encoding_info=shown.encoding_info) + b"}"
        return b'{"ok":' + await document_json(database, one, shown) + b"}"
    return jsonio.dumps({"error": _missing(doc_id, one.rev) if isinstance(one, MissingRev) else one})


def _multipart(database: Database, wanted: list[_Wanted], shown: Shown, latest: bool, kind: str) -> Reply:
    if not wanted:
        return Reply(200, line("Content-Type", kind))
    outer, inner = b"--" + outgoing.new_boundary(), b"--" + outgoing.new_boundary()
    form = envelope.BulkGet(outer, kind)
    everything = replace(shown, attachments=True, encoding_info=True)
    stream = outgoing.enveloped(database, form, _parts(database, wanted, everything, latest), everything, inner)
    return Reply(200, line("Content-Type", form.content_type), stream)


def _parts(database: Database, wanted: list[_Wanted], shown: Shown, latest: bool) -> Iterator[Document | bytes]:
    for want in wanted:
        for one in _found(database, want, shown, latest):
            if isinstance(one, Document):
                yield one
            elif isinstance(one, MissingRev) and want.rev is not None:
                yield jsonio.dumps({"rev": one.rev, "error": "not_found", "reason": "missing"})
            else:
                yield jsonio.dumps(_missing(want.id, one.rev) if isinstance(one, MissingRev) else one)


async def revs_diff(call: Call, database: Database) -> Reply:
    """Which of the revisions that a client has are unknown here."""
    return json_reply(database.revs_diff(await _revs_by_id(call)))


async def missing_revs(call: Call, database: Database) -> Reply:
    return json_reply({"missing_revs": database.missing_revs(await _revs_by_id(call))})


async def _revs_by_id(call: Call) -> dict[str, list[str]]:
    call.need_json_type()
    asked = await call.json_object()
    for revs in asked.values():
        if not isinstance(revs, list):
            raise BadRequest("The revisions of each document must be an array.")
        for rev in revs:
            try:
                parse_rev(rev)
            except ValueError:
                raise BadRequest("Invalid rev format") from None
    return asked
