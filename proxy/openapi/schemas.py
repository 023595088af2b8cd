"""Bodies of requests and answers, as JSON schemas by name."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str = "", open_to_more: bool = True, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required.split()
    if not open_to_more:
        schema["additionalProperties"] = False
    return schema


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_REV: Schema = {"type": "string", "pattern": "^[0-9]+-.*$"}
_SEQ: Schema = {"type": ["string", "integer", "null"]}
_OK: Schema = {"const": True}

_ATTACHMENT = _object(
    content_type=_TEXT, data=_TEXT, stub=_FLAG, follows=_FLAG, digest=_TEXT, length=_COUNT, revpos=_COUNT
)
_DOCUMENT = _object(
    _id=_TEXT,
    _rev=_REV,
    _deleted=_FLAG,
    _attachments={"type": "object", "additionalProperties": _ATTACHMENT},
    _revisions=_object("start ids", start=_COUNT, ids=_list(_TEXT)),
)
_READ = {**_DOCUMENT, "required": ["_id", "_rev"]}
_FAILURE = _object("error reason", error=_TEXT, reason=_TEXT, id=_TEXT, rev=_TEXT)
_LEAF = {"anyOf": [_object("ok", ok=ref("Document")), _object("missing", missing=_TEXT)]}
_LIST_ROW = _object("key", id=_TEXT, key={}, value=_object(rev=_REV, deleted=_FLAG), doc={}, error=_TEXT)
_CHANGE = _object(
    "seq id changes", seq=_SEQ, id=_TEXT, changes=_list(_object("rev", rev=_REV)), deleted=_OK, doc={"type": "object"}
)
_REVS_BY_ID = {"type": "object", "additionalProperties": _list(_REV)}

SCHEMAS: dict[str, Schema] = {
    "Error": _object("error reason", open_to_more=False, error=_TEXT, reason=_TEXT),
    "Document": _READ,
    "NewDocument": _DOCUMENT,
    "LocalDocument": _object(_id=_TEXT, _rev=_TEXT),
    "Written": _object("ok id rev", ok=_OK, id=_TEXT, rev=_TEXT),
    "Accepted": _object("ok id", ok=_OK, id=_TEXT),
    "Welcome": _object("couchdb uuid", couchdb=_TEXT, uuid=_TEXT),
    "Status": _object("status", status=_TEXT),
    "Uuids": _object("uuids", uuids=_list(_TEXT)),
    "Session": _object("ok", ok=_OK),
    "Credentials": _object("name password", name=_TEXT, password=_TEXT),
    "Names": _list(_TEXT),
    "Database": _object("db_name update_seq instance_start_time", db_name=_TEXT, update_seq=_SEQ),
    "Security": _object("admins members", admins={"type": "object"}, members={"type": "object"}),
    "Integer": {"type": "integer"},
    "Committed": _object("ok instance_start_time", ok=_OK, instance_start_time=_TEXT),
    "List": _object(
        "rows", total_rows={"type": ["integer", "null"]}, offset={"type": ["integer", "null"]}, rows=_list(_LIST_ROW)
    ),
    "ListRequest": _object(
        keys={"type": "array"},
        key={},
        startkey={},
        start_key={},
        endkey={},
        end_key={},
        inclusive_end=_FLAG,
        descending=_FLAG,
        limit=_COUNT,
        skip=_COUNT,
        include_docs=_FLAG,
        conflicts=_FLAG,
        attachments=_FLAG,
        att_encoding_info=_FLAG,
        update_seq=_FLAG,
    ),
    "Queries": _object("queries", queries=_list(ref("ListRequest"))),
    "Lists": _object("results", results=_list(ref("List"))),
    "ChangesRequest": _object(doc_ids=_list(_TEXT), selector={"type": "object"}, fields=_list(_TEXT)),
    "Changes": _object("results last_seq", results=_list(_CHANGE), last_seq=_SEQ, pending={"type": "integer"}),
    "BulkDocs": _object("docs", docs=_list(ref("NewDocument")), new_edits=_FLAG),
    "BulkWritten": _list({"anyOf": [ref("Written"), _FAILURE]}),
    "BulkGet": _object("docs", docs=_list(_object("id", id=_TEXT, rev=_REV, atts_since=_list(_REV)))),
    "BulkGot": _object(
        "results",
        results=_list(
            _object(
                "id docs",
                id={},
                docs=_list({"anyOf": [_object("ok", ok=ref("Document")), _object("error", error={"type": "object"})]}),
            )
        ),
    ),
    "Leaves": _list(_LEAF),
    "RevsById": _REVS_BY_ID,
    "RevsDiff": {
        "type": "object",
        "additionalProperties": _object("missing", missing=_list(_REV), possible_ancestors=_list(_REV)),
    },
    "MissingRevs": _object("missing_revs", missing_revs=_REVS_BY_ID),
    "Find": _object(
        "selector",
        open_to_more=False,
        selector={"type": "object"},
        fields=_list(_TEXT),
        sort={"type": "array"},
        limit=_COUNT,
        skip=_COUNT,
        bookmark={"type": ["string", "null"]},
        conflicts=_FLAG,
        execution_stats=_FLAG,
        use_index={"type": ["string", "array"]},
        r={"type": "integer", "minimum": 1},
        update=_FLAG,
        stable=_FLAG,
        stale={"enum": ["ok", False]},
        allow_fallback=_FLAG,
    ),
    "Found": _object("docs bookmark", docs=_list({"type": "object"}), bookmark=_TEXT, warning=_TEXT),
    "Form": _object(_doc=_TEXT, _rev=_TEXT, _attachments=_list({"type": "string", "contentMediaType": "*/*"})),
}
