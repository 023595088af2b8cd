"""What a view shows of the rows of the source's `_changes`.

A row stands for the leaves of one document. Where a view has to look at bodies, the source sends the winner's with the
row (`include_docs`): it is the revision that the row announces, so a document without conflicts is settled by a look at
it. Only what that leaves open is looked up: documents with several leaves, and invisible ones that the client may have
seen before, which have a generation above 1. So a feed is one stream, however far away the source is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.core.selector import project_fields
from proxy.errors import Unavailable
from proxy.reading.changes_request import Wanted
from proxy.reading.document import without_encoding_info
from proxy.reading.source_feed import Row
from proxy.resolve import Shown, fetch_leaves, judge
from proxy.view import View


class Change(NamedTuple):
    """What became of a row: the source's sequence, and the row's JSON without it; None if the view shows nothing.

    `leaf`: the winner, where its document is yet to be added because the bodies of attachments belong into it.
    """

    seq: Any
    text: bytes | None = None
    leaf: Shown | None = None


class Rows:
    """Judges the rows of one client's feed."""

    def __init__(self, view: View, wanted: Wanted) -> None:
        self._view = view
        self._wanted = wanted
        self._looks = view.judges or wanted.include_docs or wanted.matches is not None
        self._encodings: Pairs = [("att_encoding_info", "true")] if wanted.att_encoding_info else []

    @property
    def asked(self) -> Pairs:
        """What the source is to be asked for."""
        own = list(self._wanted.source_filter)
        if not self._looks:
            return [("style", self._wanted.style), *own]
        return [("style", "all_docs"), ("include_docs", "true"), *self._encodings, *own]

    async def judge(self, batch: list[Row]) -> list[Change]:
        """What becomes of each row, in order."""
        designs, others = self._view.profile.design_docs, not self._wanted.design_only
        may = [designs if row["id"].startswith("_design/") else others for row in batch]
        try:
            if not self._looks:
                return [
                    _as_it_is(row) if wanted else Change(row["seq"]) for row, wanted in zip(batch, may, strict=True)
                ]
            leaves = await self._leaves([row for row, wanted in zip(batch, may, strict=True) if wanted])
        except (KeyError, TypeError, IndexError) as error:
            raise Unavailable("The source's _changes is not of CouchDB's form.") from error
        return [self._change(row, leaves.get(row["id"], [])) for row in batch]

    async def _leaves(self, batch: list[Row]) -> dict[str, list[Shown]]:
        """The leaves that the view shows of each document, the winner first."""
        found: dict[str, list[Shown]] = {}
        doubtful: list[str] = []
        shape = self._view.shape
        for row in batch:
            doc, changes = row.get("doc"), row["changes"]
            rev = changes[0]["rev"]
            if doc is None or len(changes) > 1 or doc["_rev"] != rev or doc["_id"] != row["id"]:
                doubtful.append(row["id"])
                continue
            shaped = shape(doc)
            if shaped is not None:
                found[row["id"]] = [Shown(shaped, rev)]
            elif not rev.startswith("1-"):
                doubtful.append(row["id"])
        if doubtful:
            found |= await judge(self._view, await fetch_leaves(self._view, doubtful, extra=self._encodings))
        return found

    def _change(self, row: Row, leaves: list[Shown]) -> Change:
        shown = self._passing(leaves)
        if not shown:
            return Change(row["seq"])
        winner = shown[0]
        change: Row = {"id": row["id"], "changes": [{"rev": leaf.rev} for leaf in shown]}
        if winner.deleted:
            change["deleted"] = True
        if self._wanted.include_docs:
            doc = self._dressed(winner.doc, leaves)
            if self._wanted.attachments and "_attachments" in doc:
                return Change(row["seq"], jsonio.dumps(change), Shown(doc, winner.origin))
            change["doc"] = doc
        return Change(row["seq"], jsonio.dumps(change))

    def _passing(self, leaves: list[Shown]) -> list[Shown]:
        """The leaves that the client's selector lets through: grafts and bare tombstones always, they have no body."""
        if self._wanted.style == "main_only":
            leaves = leaves[:1]
        matches = self._wanted.matches
        if matches is None:
            return leaves
        return [leaf for leaf in leaves if _bare(leaf) or matches(_plain(leaf.doc))]

    def _dressed(self, doc: Doc, leaves: list[Shown]) -> Doc:
        """The winner's document with what the client wants to see of it."""
        conflicts = [leaf.rev for leaf in leaves if not leaf.deleted and leaf.doc is not doc]
        doc = _plain(doc)
        if self._wanted.conflicts and conflicts:
            doc = {**doc, "_conflicts": conflicts}
        if self._wanted.fields is not None:
            doc = project_fields(doc, self._wanted.fields)
        return doc if self._wanted.att_encoding_info else without_encoding_info(doc)


def _as_it_is(row: Row) -> Change:
    change = {"id": row["id"], "changes": row["changes"]}
    if row.get("deleted"):
        change["deleted"] = True
    return Change(row["seq"], jsonio.dumps(change))


def _plain(doc: Doc) -> Doc:
    if "_revisions" not in doc:
        return doc
    return {key: value for key, value in doc.items() if key != "_revisions"}


def _bare(leaf: Shown) -> bool:
    return leaf.deleted and leaf.doc.keys() <= {"_id", "_rev", "_deleted", "_revisions"}
