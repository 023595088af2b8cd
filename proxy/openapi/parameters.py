"""Parameters by name. One name means the same wherever it is taken."""

from __future__ import annotations

from typing import Any, NamedTuple

Schema = dict[str, Any]


class Parameter(NamedTuple):
    """What a parameter holds, and what it is for. Of JSON parameters `schema` is that of the value."""

    schema: Schema
    meaning: str
    json: bool = False


_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}
_REV: Schema = {"type": "string", "pattern": "^[0-9]+-.*$"}
_REVS: Schema = {"type": "array", "items": _REV}
_ANY: Schema = {}

PATH = {
    "db": Parameter(_TEXT, "The database, by its plain name or by that of a profile: `clinic-phone`."),
    "docid": Parameter(_TEXT, "The document's id; a slash in it is written `%2F`."),
    "attname": Parameter(_TEXT, "The attachment's name; it may have slashes."),
    "ddoc": Parameter(_TEXT, "The design document's name, without `_design/`."),
    "localid": Parameter(_TEXT, "The local document's name, without `_local/`."),
}

QUERY = {
    "att_encoding_info": Parameter(_FLAG, "Tell how attachments are stored (`encoding`, `encoded_length`)."),
    "attachments": Parameter(_FLAG, "The bodies of attachments go with the documents."),
    "atts_since": Parameter(_REVS, "Only the bodies of attachments that are newer than these revisions.", json=True),
    "basic": Parameter(_FLAG, "As in CouchDB: the source asks for credentials by `WWW-Authenticate`."),
    "batch": Parameter({"type": "string", "enum": ["ok"]}, "The source may acknowledge before it has stored."),
    "conflicts": Parameter(_FLAG, "Add `_conflicts`: the other live leaves."),
    "count": Parameter({"type": "integer", "minimum": 0, "maximum": 1000}, "How many, at most 1000."),
    "deleted_conflicts": Parameter(_FLAG, "Add `_deleted_conflicts`: the deleted leaves."),
    "descending": Parameter(_FLAG, "Backwards."),
    "doc_ids": Parameter({"type": "array", "items": _TEXT}, "With `filter=_doc_ids`: of these documents.", json=True),
    "endkey": Parameter(_ANY, "Up to this id.", json=True),
    "end_key": Parameter(_ANY, "The same as `endkey`.", json=True),
    "feed": Parameter(
        {"type": "string", "enum": ["normal", "longpoll", "continuous", "live", "eventsource"]},
        "How changes are delivered; `live` is `continuous`.",
    ),
    "filter": Parameter(
        _TEXT, "`_doc_ids`, `_selector` or `_design`; functions of design documents for trusted profiles only."
    ),
    "heartbeat": Parameter(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"const": True}]},
        "Milliseconds between signs of life; `true` is 60000.",
    ),
    "include_docs": Parameter(_FLAG, "Add the documents."),
    "inclusive_end": Parameter(_FLAG, "Whether the end is part of the list; it is, by default."),
    "key": Parameter(_ANY, "This id only.", json=True),
    "keys": Parameter({"type": "array"}, "These ids, in this order: each has a row, found or not.", json=True),
    "last-event-id": Parameter(_TEXT, "The same as `since`."),
    "latest": Parameter(_FLAG, "The leaves that descend from the revisions that are asked for."),
    "limit": Parameter(_COUNT, "At most so many rows."),
    "local_seq": Parameter(_FLAG, "Add `_local_seq`."),
    "meta": Parameter(_FLAG, "`conflicts`, `deleted_conflicts` and `revs_info` together."),
    "new_edits": Parameter(_FLAG, "`false`: store the revision that the document names, as replicators do."),
    "open_revs": Parameter(
        {"type": "string", "pattern": r"^(all|\[.*\])$"}, "Leaves: `all`, or a JSON array of revisions."
    ),
    "rev": Parameter(_REV, "The revision: the one to read, or the one that is edited."),
    "revs": Parameter(_FLAG, "Add `_revisions`: the revisions from this one to the root."),
    "revs_info": Parameter(_FLAG, "Add `_revs_info`: those revisions and whether they can still be read."),
    "seq_interval": Parameter({"type": "integer", "minimum": 1}, "No effect: every row has its sequence."),
    "since": Parameter(_TEXT, "After this sequence: a `seq` or `last_seq` of this database, `0`, or `now`."),
    "skip": Parameter(_COUNT, "Leave out so many rows at first."),
    "startkey": Parameter(_ANY, "From this id on.", json=True),
    "start_key": Parameter(_ANY, "The same as `startkey`.", json=True),
    "style": Parameter(
        {"type": "string", "enum": ["main_only", "all_docs"]}, "Rows list the winner only, or all leaves."
    ),
    "timeout": Parameter(_COUNT, "Milliseconds to wait for changes, at most 60000."),
    "update_seq": Parameter(_FLAG, "Add the present update sequence."),
}

HEADER = {
    "Accept": Parameter(_TEXT, "Which of the forms of the answer the client takes."),
    "Accept-Encoding": Parameter(_TEXT, "Whether an attachment that is stored gzipped may come so."),
    "Content-Encoding": Parameter(
        {"type": "string", "enum": ["gzip", "identity"]},
        "A JSON body may be gzipped. An attachment is stored as it is.",
    ),
    "Content-MD5": Parameter(
        _TEXT, "The digest of an attachment; passed on to the source. CouchDB 3.5 does not check it."
    ),
    "Destination": Parameter(_TEXT, "Where to copy to: `id`, or `id?rev=...`."),
    "If-Match": Parameter(_TEXT, "The same as `rev`, in quotes."),
    "If-None-Match": Parameter(_TEXT, "Answer 304 if it is still this entity tag."),
    "If-Range": Parameter(_TEXT, "Passed on, and ignored by CouchDB: compare the `ETag` of what comes."),
    "Last-Event-ID": Parameter(_TEXT, "With `feed=eventsource` the same as `since`, and stronger."),
    "Range": Parameter(_TEXT, "A part of an attachment."),
    "Referer": Parameter(_TEXT, "A form must come from a page of this very host."),
    "X-HTTP-Method-Override": Parameter(_TEXT, "With POST: another method, for gateways that know few."),
}
