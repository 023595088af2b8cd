"""Documents as clients send them: read and checked before anything is known of what is stored.

The rules and the words for breaking them are those of CouchDB's couch_doc:from_json_obj and couch_att:from_json.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.core import jsonio
from proxy.core.revisions import Revisions, parse_hash, parse_rev
from proxy.endpoint.attachments import Attachment, Upload
from proxy.errors import BadRequest, TooLarge

MAX_DOCUMENT_SIZE = 8_000_000
"""Bytes of JSON that a document's body may have, as in CouchDB."""

_LOCAL = "_local/"
_DESIGN = "_design/"

_KEPT = frozenset(
    {
        "_access",
        "_replication_id",
        "_replication_state",
        "_replication_state_reason",
        "_replication_state_time",
        "_replication_stats",
    }
)
"""Members with an underscore that CouchDB stores like any other."""

_IGNORED = frozenset({"_conflicts", "_deleted_conflicts", "_local_seq", "_revs_info"})
"""Members that a read may have added."""


@dataclass(slots=True)
class Incoming:
    """An attachment as a document announces it. Without `upload` it is a stub for one that is stored already."""

    name: str
    content_type: str
    revpos: int | None
    upload: Upload | None = None
    digest: str | None = None
    length: int | None = None
    encoded_length: int | None = None
    encoding: str | None = None


@dataclass(slots=True)
class Edit:
    """A document as a client sends it, checked, before anything is known of what is stored.

    `text` is the JSON text of `body`. `revisions` is `_revisions`, or `_rev` alone, of what the client edited; with
    `new_edits=false` of the revision itself. `attachments` may have stored ones among those that come in.
    `problem`: the reason why the database refuses it, if it is no conflict.
    """

    id: str
    body: dict[str, Any]
    text: bytes
    deleted: bool = False
    revisions: Revisions | None = None
    attachments: tuple[Incoming | Attachment, ...] = ()
    problem: str | None = None

    @property
    def is_local(self) -> bool:
        return self.id.startswith(_LOCAL)


def read(doc: Any, doc_id: str | None = None, uploads: Mapping[str, Upload] | None = None) -> Edit:
    """Check one JSON document. `doc_id` overrides its `_id`; without either the result's id is empty.

    `uploads` has the bytes of attachments marked `follows`, by name. Raises BadRequest or TooLarge in CouchDB's words.
    """
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    body: dict[str, Any] = {}
    special: dict[str, Any] = {}
    for name, value in doc.items():
        (special if name[:1] == "_" and name not in _KEPT else body)[name] = value
    edit = Edit("", body, _stored(body))
    for name, value in special.items():
        if name == "_attachments" and isinstance(value, dict):
            edit.attachments = _attachments(value, uploads or {})
        elif name not in _IGNORED:
            _MEMBERS.get(name, _unknown)(edit, name, value)
    if doc_id is not None:
        check_id(doc_id)
        edit.id = doc_id
    if len(edit.text) > MAX_DOCUMENT_SIZE:
        raise TooLarge(edit.id, error="document_too_large")
    return edit


def _stored(body: dict[str, Any]) -> bytes:
    """The text of a body, in which zeros have no sign: CouchDB gives out none. It has a part in the revision's hash."""
    text = jsonio.dumps(body)
    return text if b"-0.0" not in text else jsonio.dumps(_without_negative_zeros(body))


def _without_negative_zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_negative_zeros(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_without_negative_zeros(item) for item in value]
    return 0.0 if isinstance(value, float) and not value else value


def check_id(doc_id: Any) -> None:
    """Raises BadRequest illegal_docid unless documents may have this id."""
    problem = None
    if not isinstance(doc_id, str):
        problem = "Document id must be a string"
    elif not doc_id:
        problem = "Document id must not be empty"
    elif doc_id in (_DESIGN, _LOCAL):
        problem = f"Illegal document id `{doc_id}`"
    elif doc_id[0] == "_" and not doc_id.startswith((_DESIGN, _LOCAL)):
        problem = "Only reserved document ids may start with underscore."
    elif not doc_id.isascii() and any("\ud800" <= char <= "\udfff" for char in doc_id):
        problem = "Document id must be valid UTF-8"
    if problem is not None:
        raise BadRequest(problem, error="illegal_docid")


def check_attachment_name(name: str) -> None:
    """Raises BadRequest unless attachments may have this name."""
    if name.startswith("_"):
        raise BadRequest(f"Attachment name '{name}' starts with prohibited character '_'")


def _id(edit: Edit, name: str, value: Any) -> None:
    check_id(value)
    edit.id = value


def _rev(edit: Edit, name: str, value: Any) -> None:
    if edit.revisions is None:  # `_revisions` overrides it, whichever comes first
        try:
            rev = parse_rev(value)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        edit.revisions = Revisions(rev.generation, (rev.hash,))


def _deleted(edit: Edit, name: str, value: Any) -> None:
    if not isinstance(value, bool):
        _unknown(edit, name, value)
    edit.deleted = value


def _revisions(edit: Edit, name: str, value: Any) -> None:
    if not isinstance(value, dict):
        _unknown(edit, name, value)
    start, ids = value.get("start"), value.get("ids")
    if not isinstance(start, int) or isinstance(start, bool):
        raise _invalid("_revisions.start isn't an integer.")
    if not isinstance(ids, list):
        raise _invalid("_revisions.ids isn't a array.")
    if start < 0 or len(ids) > max(start, 1):  # local documents have `{"start":0,"ids":["1"]}`
        raise _invalid("_revisions.ids has more entries than _revisions.start.")
    if not all(isinstance(one, str) for one in ids):
        raise _invalid("RevId isn't a string")
    try:
        hashes = tuple(parse_hash(start - age, one) for age, one in enumerate(ids))
    except ValueError:
        raise _invalid("RevId isn't a valid hexadecimal") from None
    if hashes:
        edit.revisions = Revisions(start, hashes)


def _unknown(edit: Edit, name: str, value: Any) -> None:
    raise _invalid(f"Bad special document member: {name}")


def _invalid(reason: str) -> BadRequest:
    return BadRequest(reason, error="doc_validation")


_MEMBERS: dict[str, Callable[[Edit, str, Any], None]] = {
    "_id": _id,
    "_rev": _rev,
    "_deleted": _deleted,
    "_revisions": _revisions,
}


def _attachments(members: dict[str, Any], uploads: Mapping[str, Upload]) -> tuple[Incoming, ...]:
    """CouchDB passes over what is no object."""
    found = [_incoming(name, value, uploads) for name, value in members.items() if isinstance(value, dict)]
    return tuple(found)


def _incoming(name: str, value: dict[str, Any], uploads: Mapping[str, Upload]) -> Incoming:
    check_attachment_name(name)
    content_type = value.get("content_type", "application/octet-stream")
    revpos = value.get("revpos")
    if not isinstance(content_type, str) or not isinstance(revpos, int | None):
        raise BadRequest(f"Invalid attachment data for {name}")
    incoming = Incoming(name, content_type, revpos)
    if value.get("stub") is True:
        return incoming
    if value.get("follows") is True:
        _announce(incoming, value)
        incoming.upload = uploads.get(name)
    else:
        incoming.upload = _inline(value.get("data"))
    if incoming.upload is None:
        raise BadRequest(f"Invalid attachment data for {name}")
    return incoming


def _announce(incoming: Incoming, value: dict[str, Any]) -> None:
    """What is said of bytes that follow; `_inline` ones speak for themselves, as in CouchDB."""
    for member, kind in (("digest", str), ("length", int), ("encoded_length", int), ("encoding", str)):
        said = value.get(member)
        if said is not None and not isinstance(said, kind):
            raise BadRequest(f"Invalid attachment data for {incoming.name}")
        setattr(incoming, member, said)
    if incoming.encoding == "identity":
        incoming.encoding = None


def _inline(data: Any) -> Upload | None:
    """The bytes of base64, in which white space does not count: libraries for mail break its lines."""
    if not isinstance(data, str):
        return None
    try:
        return Upload.of(base64.b64decode(data.encode("ascii").translate(None, b" \t\r\n"), validate=True))
    except ValueError:
        return None
