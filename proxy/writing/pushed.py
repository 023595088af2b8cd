"""A document of a write request, validated as CouchDB validates it: its id, its place in the revision tree, its body.

Invariants:
  - what leaves here is unambiguous: `_revisions`, where given, has the say over `_rev` (as in CouchDB) and both agree;
  - revisions are in canonical form (32 hexadecimal characters in lower case), so they compare like the source's;
  - only members that CouchDB knows begin with an underscore; those that merely describe a tree are dropped.

Any error is one of the whole request: CouchDB stores nothing of a batch in which a single document is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from proxy.contract import Doc
from proxy.core.endpoints import has_dot_segments
from proxy.core.revisions import Rev, parse_hash, parse_rev
from proxy.errors import BadRequest

DESCRIPTIVE = frozenset(("_revisions", "_revs_info", "_conflicts", "_deleted_conflicts", "_local_seq"))
"""Members that say where a document stands in its tree: filters do not see them."""
_KNOWN = DESCRIPTIVE | {
    "_id",
    "_rev",
    "_deleted",
    "_attachments",
    "_replication_id",
    "_replication_state",
    "_replication_state_time",
    "_replication_state_reason",
    "_replication_stats",
}
_OWN = ("_id", "_rev")
_PLACING = frozenset((*_OWN, "_revisions"))
"""Members that have been looked at by then."""
_RESERVED = ("_design/", "_local/")
_rev_of: Callable[[tuple[int, str]], Rev] = partial(tuple.__new__, Rev)
"""A Rev of its fields, in half the time: there are as many as there are ancestors."""
_USUAL_FIRST = re.compile("1-[0-9a-f]{32}")
_USUAL_LENGTHS = {32}
_HEX = b"0123456789abcdef"
_GREATEST = 10**100 - 1
"""Of generations."""


class Pushed(NamedTuple):
    """One document that a client writes.

    `body` has `_id`, `_rev` where there is a path, and no other member of the protocol than `_deleted` and
    `_attachments`. `path` is, newest first, the pushed revision and its ancestors; with `new_edits` the revision is yet
    to be made by the source, and the path is that of its parent.
    """

    body: Doc
    path: tuple[Rev, ...]
    new_edits: bool

    @property
    def id(self) -> str:
        doc_id: str = self.body["_id"]
        return doc_id

    @property
    def rev(self) -> str | None:
        """The pushed revision; None where the source makes it."""
        return None if self.new_edits else self.body["_rev"]

    @property
    def ancestors(self) -> Sequence[Rev]:
        """What the client says it edited, newest first."""
        return self.path if self.new_edits else self.path[1:]

    @property
    def creates(self) -> bool:
        """Whether the source itself would say `conflict` if it had such a document: an edit of none."""
        return self.new_edits and not self.path

    @property
    def deleted(self) -> bool:
        return self.body.get("_deleted") is True

    @property
    def attachments(self) -> Mapping[str, Any]:
        return self.body.get("_attachments") or {}

    def complete(self, body: Doc) -> Doc:
        """`body` with the members that place it in the tree: what goes to the source."""
        mine, path, new_edits = self
        placed = not new_edits and len(path) > 1
        if body is mine:
            whole = body.copy() if placed else body
        else:
            own = {name: mine[name] for name in _OWN if name in mine}
            whole = {**own, **body, **own}
            if "_rev" not in own:
                whole.pop("_rev", None)
        if placed:
            whole["_revisions"] = {"start": path[0].generation, "ids": [rev.hash for rev in path]}
        return whole


_pushed_of: Callable[[tuple[Doc, tuple[Rev, ...], bool]], Pushed] = partial(tuple.__new__, Pushed)


def read_pushed(doc: Any, new_edits: bool, *, follows: bool = False) -> Pushed:
    """The document in the JSON of a request; it has its `_id`. `follows`: attachments may follow in a multipart body.

    Raises BadRequest in CouchDB's words.
    """
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    check_id(doc["_id"])
    body = doc.copy()
    path = _first(doc)
    if path is None:
        path = _path(doc)
        if path:
            body["_rev"] = str(path[0])
        elif not new_edits:
            raise BadRequest("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")
    for name in doc:
        if name[:1] == "_" and name not in _PLACING:
            _check_member(name, doc[name], follows)
            if name in DESCRIPTIVE:
                del body[name]
    body.pop("_revisions", None)
    if body.get("_deleted") is False:
        del body["_deleted"]
    return _pushed_of((body, path, new_edits))


def named_rev(doc: Any) -> Rev | None:
    """The revision that a document names by `_revisions` or `_rev`. Raises BadRequest."""
    path = _path(doc) if isinstance(doc, dict) else ()
    return path[0] if path else None


def check_id(doc_id: Any) -> str:
    """`doc_id`, if a document may have it. Raises BadRequest `illegal_docid`."""
    if not isinstance(doc_id, str):
        raise _illegal("Document id must be a string")
    if not doc_id:
        raise _illegal("Document id must not be empty")
    if doc_id in _RESERVED:
        raise _illegal(f"Illegal document id `{doc_id}`")
    if doc_id.startswith("_") and not doc_id.startswith(_RESERVED):
        raise _illegal("Only reserved document ids may start with underscore.")
    if has_dot_segments(doc_id):
        raise _illegal("Document ids with dot segments are not accepted.")
    return doc_id


def check_attachment_name(name: str) -> str:
    """`name`, if an attachment may have it. Raises BadRequest."""
    if not name:
        raise BadRequest("Attachment name is empty: it could not be asked for.")
    if name.startswith("_"):
        raise BadRequest(f"Attachment name '{name}' starts with prohibited character '_'")
    if has_dot_segments(name):
        raise BadRequest("Attachment names with dot segments are not accepted.")
    return name


def canonical_rev(text: Any) -> Rev:
    """A revision in canonical form. Raises BadRequest."""
    try:
        return parse_rev(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _illegal(reason: str) -> BadRequest:
    return BadRequest(reason, error="illegal_docid")


def _invalid(reason: str) -> BadRequest:
    return BadRequest(reason, error="doc_validation")


def _first(doc: Doc) -> tuple[Rev, ...] | None:
    """As `_path`, where it is a first revision spelled as most are: most of what comes in large numbers is new."""
    rev, revisions = doc.get("_rev"), doc.get("_revisions")
    if type(rev) is str and _USUAL_FIRST.fullmatch(rev):
        path = (_rev_of((1, rev[2:])),)
        if "_revisions" not in doc or (revisions == {"start": 1, "ids": [rev[2:]]} and type(revisions["start"]) is int):
            return path
    return None


def _path(doc: Doc) -> tuple[Rev, ...]:
    revisions = doc.get("_revisions")
    if revisions is None and "_revisions" not in doc:
        return (canonical_rev(doc["_rev"]),) if "_rev" in doc else ()
    path = _ancestry(revisions)
    if "_rev" in doc and doc["_rev"] != str(path[0]):
        canonical_rev(doc["_rev"])  # it has no say, but has to be one
    return path


def _ancestry(revisions: Any) -> tuple[Rev, ...]:
    """The path in `_revisions`. Raises BadRequest in CouchDB's words."""
    if not isinstance(revisions, dict) or not isinstance(revisions.get("ids"), list):
        raise _invalid("Bad special document member: _revisions")
    start, ids = revisions.get("start"), revisions["ids"]
    if isinstance(start, bool) or not isinstance(start, int):
        raise _invalid("_revisions.start isn't an integer.")
    try:
        joined = "".join(ids)
    except TypeError:
        raise _invalid("RevId isn't a string") from None
    if not ids or len(ids) > start or start > _GREATEST:
        raise _invalid("_revisions.start doesn't fit the number of ids.")
    try:
        usual = set(map(len, ids)) == _USUAL_LENGTHS and not joined.encode("utf-8", "replace").translate(None, _HEX)
        hashes = ids if usual else [parse_hash(start - age, name) for age, name in enumerate(ids)]
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return tuple(map(_rev_of, zip(range(start, 0, -1), hashes, strict=False)))


def _check_member(name: str, value: Any, follows: bool) -> None:
    if name not in _KNOWN or (name == "_deleted" and not isinstance(value, bool)):
        raise _invalid(f"Bad special document member: {name}")
    if name == "_attachments":
        if not isinstance(value, dict):
            raise _invalid(f"Bad special document member: {name}")
        for attachment, entry in value.items():
            _check_attachment(attachment, entry, follows)


def _check_attachment(name: str, entry: Any, follows: bool) -> None:
    check_attachment_name(name)
    if isinstance(entry, dict):
        kinds = [entry.get("stub") is True, entry.get("follows") is True, isinstance(entry.get("data"), str)]
        if kinds.count(True) == 1 and (follows or not kinds[1]):
            return
    raise BadRequest(f"Invalid attachment data for {name}")
