"""What each kind of endpoint takes and answers, method by method. HEAD is GET without a body, and not listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.core.endpoints import DATABASE, SERVER, Kind
from proxy.openapi.schemas import ref

Content = Mapping[str, Any]
"""Media type → schema."""


@dataclass(frozen=True)
class Operation:
    """One method of one kind. `answers` are the successes, and errors of another form than `{"error", "reason"}`."""

    summary: str
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    body: Content = field(default_factory=dict)
    answers: Mapping[int, Content | None] = field(default_factory=dict)


JSON, FORM, RELATED, ANYTHING = "application/json", "multipart/form-data", "multipart/related", "*/*"
_BYTES: dict[str, Any] = {}


def json(schema: str) -> dict[str, Any]:
    return {JSON: ref(schema)}


def _said(schema: str, *statuses: int) -> dict[int, Content | None]:
    """Answers of one schema."""
    return {status: json(schema) for status in statuses or (200,)}


_LISTED = (
    *("startkey", "start_key", "endkey", "end_key", "key", "keys", "inclusive_end", "descending", "limit", "skip"),
    *("include_docs", "conflicts", "attachments", "att_encoding_info", "update_seq"),
)
_CHANGES = (
    *("feed", "since", "last-event-id", "limit", "descending", "style", "include_docs", "conflicts", "attachments"),
    *("att_encoding_info", "filter", "doc_ids", "timeout", "heartbeat", "seq_interval"),
)
_READ = (
    *("rev", "open_revs", "latest", "revs", "revs_info", "conflicts", "deleted_conflicts", "meta", "local_seq"),
    *("attachments", "atts_since", "att_encoding_info"),
)
_MIXED: dict[int, Content | None] = {
    200: {
        JSON: {"anyOf": [ref("Document"), ref("Leaves")]},
        "multipart/related": _BYTES,
        "multipart/mixed": _BYTES,
    },
    304: None,
}
_CHANGED: dict[int, Content | None] = {200: {JSON: ref("Changes"), "text/event-stream": _BYTES}}
_ATTACHED: dict[int, Content | None] = {200: {ANYTHING: _BYTES}, 206: {ANYTHING: _BYTES}, 304: None}


def _list_of(what: str) -> dict[str, Operation]:
    return {
        "GET": Operation(f"List {what}.", _LISTED, answers=_said("List")),
        "POST": Operation(
            f"List {what}; options may stand in the body.",
            _LISTED,
            ("Content-Encoding",),
            json("ListRequest"),
            _said("List"),
        ),
    }


def _document(what: str) -> dict[str, Operation]:
    return {
        "GET": Operation(f"Read {what}.", _READ, ("Accept", "If-None-Match"), answers=_MIXED),
        "PUT": Operation(
            f"Write {what}; with attachments as multipart/related.",
            ("rev", "new_edits"),
            ("If-Match", "Content-Encoding"),
            {JSON: ref("NewDocument"), RELATED: _BYTES},
            _said("Written", 200, 201, 202),
        ),
        "DELETE": Operation(f"Delete {what}.", ("rev",), ("If-Match",), answers=_said("Written", 200, 202)),
        "POST": Operation(
            f"Write {what} with a form, as pages of the same host send it.",
            (),
            ("Referer", "Content-Encoding"),
            {FORM: ref("Form")},
            _said("Written", 200, 201, 202),
        ),
        "COPY": Operation(
            f"Copy {what}, as the client sees it.", ("rev",), ("Destination",), answers=_said("Written", 201, 202)
        ),
    }


def _attachment(whose: str) -> dict[str, Operation]:
    return {
        "GET": Operation(
            f"Read an attachment of {whose}.",
            ("rev",),
            ("Accept", "Accept-Encoding", "Range", "If-Range", "If-None-Match"),
            answers=_ATTACHED,
        ),
        "PUT": Operation(
            f"Add an attachment to {whose}, or replace it.",
            ("rev",),
            ("If-Match", "Content-Encoding", "Content-MD5"),
            {ANYTHING: _BYTES},
            _said("Written", 201, 202),
        ),
        "DELETE": Operation(
            f"Remove an attachment of {whose}.", ("rev",), ("If-Match",), answers=_said("Written", 200, 202)
        ),
    }


_LOCAL_WRITTEN = {**_said("Written", 200, 201), **_said("Accepted", 202)}
"""With `batch=ok` a source may acknowledge before it has stored, and made a revision."""

PATHS: dict[Kind, str] = {
    Kind.ROOT: "/",
    **{kind: f"/{name}" for name, kind in SERVER.items()},
    Kind.DATABASE: "/{db}",
    **{kind: f"/{{db}}/{name}" for name, kind in DATABASE.items()},
    Kind.ALL_DOCS_QUERIES: "/{db}/_all_docs/queries",
    Kind.DOCUMENT: "/{db}/{docid}",
    Kind.ATTACHMENT: "/{db}/{docid}/{attname}",
    Kind.DESIGN: "/{db}/_design/{ddoc}",
    Kind.DESIGN_ATTACHMENT: "/{db}/_design/{ddoc}/{attname}",
    Kind.LOCAL: "/{db}/_local/{localid}",
}

_ENCODED = ("Content-Encoding",)

OPERATIONS: dict[Kind, dict[str, Operation]] = {
    Kind.ROOT: {"GET": Operation("Welcome; `uuid` is the client's own.", answers=_said("Welcome"))},
    Kind.UP: {"GET": Operation("Whether all sources are up.", answers=_said("Status", 200, 404, 503))},
    Kind.UUIDS: {"GET": Operation("Random ids.", ("count",), answers=_said("Uuids"))},
    Kind.SESSION: {
        "GET": Operation("Who the client is, in the source's words.", ("basic",), answers=_said("Session")),
        "POST": Operation(
            "Log in: `name` and `password`.",
            ("basic",),
            _ENCODED,
            {JSON: ref("Credentials"), "application/x-www-form-urlencoded": ref("Credentials")},
            _said("Session"),
        ),
        "DELETE": Operation("Log out.", ("basic",), answers=_said("Session")),
    },
    Kind.ALL_DBS: {
        "GET": Operation(
            "The databases that the client may use.",
            ("startkey", "start_key", "endkey", "end_key", "key", "descending", "limit", "skip"),
            answers=_said("Names"),
        )
    },
    Kind.DATABASE: {
        "GET": Operation("What there is to know about a database.", answers=_said("Database")),
        "POST": Operation(
            "Write a document, whose id may be left to the proxy.",
            (),
            _ENCODED,
            json("NewDocument"),
            _said("Written", 200, 201, 202),
        ),
        "PUT": Operation("Always `file_exists`: the database is there."),
        "DELETE": Operation("Always `forbidden`."),
    },
    Kind.ALL_DOCS: _list_of("documents"),
    Kind.DESIGN_DOCS: _list_of("design documents"),
    Kind.LOCAL_DOCS: _list_of("the client's local documents"),
    Kind.ALL_DOCS_QUERIES: {
        "POST": Operation(
            "Several lists of documents; the query has the defaults.",
            _LISTED,
            _ENCODED,
            json("Queries"),
            _said("Lists"),
        )
    },
    Kind.CHANGES: {
        "GET": Operation("What has changed.", _CHANGES, ("Last-Event-ID",), answers=_CHANGED),
        "POST": Operation(
            "What has changed; for `_doc_ids` and `_selector` the body says of what.",
            _CHANGES,
            ("Last-Event-ID", *_ENCODED),
            json("ChangesRequest"),
            _CHANGED,
        ),
    },
    Kind.BULK_DOCS: {
        "POST": Operation("Write many documents.", (), _ENCODED, json("BulkDocs"), _said("BulkWritten", 201, 202))
    },
    Kind.BULK_GET: {
        "POST": Operation(
            "Read many documents or revisions.",
            ("revs", "latest", "attachments", "att_encoding_info"),
            ("Accept", *_ENCODED),
            json("BulkGet"),
            {200: {JSON: ref("BulkGot"), "multipart/related": _BYTES, "multipart/mixed": _BYTES}},
        )
    },
    Kind.REVS_DIFF: {
        "POST": Operation("Which revisions are missing here.", (), _ENCODED, json("RevsById"), _said("RevsDiff"))
    },
    Kind.MISSING_REVS: {
        "POST": Operation("The same, without possible ancestors.", (), _ENCODED, json("RevsById"), _said("MissingRevs"))
    },
    Kind.FIND: {"POST": Operation("Find documents.", (), _ENCODED, json("Find"), _said("Found"))},
    Kind.ENSURE_FULL_COMMIT: {
        "POST": Operation("Nothing that was acknowledged gets lost.", answers=_said("Committed", 201))
    },
    Kind.SECURITY: {
        "GET": Operation("Always nobody: others' access is not the client's business.", answers=_said("Security"))
    },
    Kind.REVS_LIMIT: {"GET": Operation("How many revisions of a branch are kept.", answers=_said("Integer"))},
    Kind.DOCUMENT: _document("a document"),
    Kind.DESIGN: _document("a design document"),
    Kind.ATTACHMENT: _attachment("a document"),
    Kind.DESIGN_ATTACHMENT: _attachment("a design document"),
    Kind.LOCAL: {
        "GET": Operation(
            "Read a local document of the client's own.",
            (),
            ("If-None-Match",),
            answers={**_said("LocalDocument"), 304: None},
        ),
        "PUT": Operation(
            "Write a local document.",
            ("rev", "batch"),
            ("If-Match", *_ENCODED),
            json("LocalDocument"),
            _LOCAL_WRITTEN,
        ),
        "DELETE": Operation("Delete a local document.", ("rev", "batch"), ("If-Match",), answers=_LOCAL_WRITTEN),
    },
}
