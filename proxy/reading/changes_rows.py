"""What a view shows of the rows of the source's `_changes`.

A row stands for the leaves of one document. Where a view has to look at bodies, the source sends the winner's with the
row (`include_docs`): it is the revision that the row announces, so a document without conflicts is settled by a look at
it. Only what that leaves open is looked up: documents with several leaves, and invisible ones that the client may have
seen before, which have a generation above 1. So a feed is one stream, however far away the source is.

A page for a replicator is judged by the documents' leaves instead, read apart and with their paths: they are what it
asks for next (see `recent`), and the source reads them once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from proxy import recent
from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.core.revisions import canonical, descends
from proxy.core.selector import project_fields
from proxy.errors import Unavailable
from proxy.fetch import fetch_leaves, fetch_revisions, path_of
from proxy.reading.changes_request import Wanted
from proxy.reading.document import without_encoding_info
from proxy.reading.epochs import Epochs
from proxy.reading.source_feed import Row
from proxy.resolve import Shown, judge
from proxy.sizes import first_part
from proxy.turns import Turn, in_turns
from proxy.view import View

_PAUSES = (0.1, 0.5)
"""Seconds before the source is asked again for what it announces."""

_NOT_GIVEN = "The source announces a revision that it does not give."
_REMEDY = (
    "a node of it may lag. If it does not end, a feed index that there is may be wrong: couch-tailor index rebuild."
)


class Change(NamedTuple):
    """What became of a row: the source's sequence, and what follows that in the row's JSON; None if the view shows
    nothing.

    `leaf`: the winner, where its document is yet to be added because the bodies of attachments belong into it.
    """

    seq: Any
    rest: bytes | None = None
    leaf: Shown | None = None


class Rows:
    """Judges the rows of one client's feed."""

    def __init__(self, view: View, wanted: Wanted, epochs: Epochs) -> None:
        self._view = view
        self._wanted = wanted
        self._epochs = epochs
        self.looks = view.judges or wanted.include_docs or wanted.matches is not None or not epochs.is_one
        """Whether documents are needed to judge a row."""
        self._settled = True
        self._failures = view.failures.count
        self._usual = wanted.matches is None and wanted.fields is None
        """Whether of a document without conflicts and attachments all is wanted, or nothing."""
        self._encodings: Pairs = [("att_encoding_info", "true")] if wanted.att_encoding_info else []
        self.kept_from: float | None = None
        """If what is read of documents is kept for the `_bulk_get` that follows: when the page was asked for."""

    @property
    def lasting(self) -> bool:
        """Whether all that was judged follows from the documents' leaves, whatever the source says of ancestors, and
        no filter failed.
        """
        return self._settled and self._view.failures.count == self._failures

    @property
    def asked(self) -> Pairs:
        """What the source is to be asked for."""
        own = list(self._wanted.source_filter)
        if not self.looks:
            return [("style", self._wanted.style), *own]
        return [("style", "all_docs"), ("include_docs", "true"), *self._encodings, *own]

    @property
    def asked_apart(self) -> Pairs | None:
        """What instead where the documents are read apart; None where the client is not likely to ask for them next."""
        wanted = self._wanted
        by_page = wanted.style == "all_docs" and wanted.limit and not wanted.descending
        if not by_page or wanted.include_docs or self._encodings or not self.looks:
            return None
        return [("style", "all_docs"), *wanted.source_filter]

    async def judge(self, batch: Sequence[Row]) -> Sequence[Change]:
        """What becomes of the rows, in order: of all, or of the first ones where documents that have to be looked up
        are too large to be held together.
        """
        designs, others = self._view.profile.design_docs, not self._wanted.design_only
        settle = self._settle if self.looks else _as_it_is
        changes: list[Change | None] = []
        turn = Turn()
        try:
            for row in batch:
                may_be_shown = designs if row["id"].startswith("_design/") else others
                changes.append(settle(row) if may_be_shown else Change(row["seq"]))
                if turn.is_over():
                    await turn.pass_on()
        except (KeyError, TypeError, IndexError) as error:
            raise Unavailable("The source's _changes is not of CouchDB's form.") from error
        doubtful = [index for index, change in enumerate(changes) if change is None]
        if not doubtful:
            return cast(list[Change], changes)
        found = await first_part(self._view, [batch[index] for index in doubtful], self._look_up)
        for index, change in zip(doubtful, found, strict=False):
            changes[index] = change
        return cast(list[Change], changes[: doubtful[len(found)] if len(found) < len(doubtful) else None])

    async def _look_up(self, rows: Sequence[Row]) -> list[Change]:
        """What becomes of rows by their documents' leaves. Raises TooMany."""
        bodies = await self._leaves(rows)
        leaves = await judge(self._view, bodies, self._epochs.teller(rows, bodies))
        self._settled = self._settled and all(_is_settled(row, bodies, leaves) for row in rows)
        if not self._epochs.is_one:
            leaves = await self._epochs.grow(rows, bodies, leaves)
        return await in_turns(rows, lambda row: self._change(row, leaves.get(row["id"], [])))

    async def _leaves(self, rows: Sequence[Row]) -> dict[str, list[Doc]]:
        """The documents of the rows' leaves: of those that the rows name, if they name all. Raises TooMany."""
        extra, several = self._encodings, len(rows) > 1
        named = {row["id"]: row["leaves"] for row in rows if "leaves" in row}
        wanted = [(doc_id, rev) for doc_id, revs in named.items() for rev in revs]
        bodies = await fetch_revisions(self._view, wanted, kept=True, extra=extra, at_once=several) if wanted else {}
        found = {
            doc_id: [bodies[doc_id, rev] for rev in revs]
            for doc_id, revs in named.items()
            if all((doc_id, rev) in bodies for rev in revs)
        }
        # one that is not there any more has a successor
        others = {row["id"]: _revs(row) for row in rows if row["id"] not in found}
        if others:
            found |= await self._announced(others, several)
        if self.kept_from is not None:
            recent.keep(self._view, found, found, self.kept_from)
        return found

    async def _announced(self, revs: dict[str, list[str]], several: bool) -> dict[str, list[Doc]]:
        """The leaves of documents of which the source has announced these revisions.

        Raises Unavailable if it goes on not to know of them, and TooMany.
        """
        found: dict[str, list[Doc]] = {}
        for pause in (0.0, *_PAUSES):
            if pause:
                await asyncio.sleep(pause)
            found |= await fetch_leaves(self._view, revs, extra=self._encodings, at_once=several)
            revs = {doc_id: named for doc_id, named in revs.items() if not _has_all(found.get(doc_id, ()), named)}
            if not revs:
                return found
        raise Unavailable(_NOT_GIVEN, details=f"{_NOT_GIVEN} It is one of {next(iter(revs))}; {_REMEDY}")

    def _settle(self, row: Row) -> Change | None:
        """What becomes of a row by the document that came with it; None if that leaves it open."""
        doc, changes = row.get("doc") or self._kept(row), row["changes"]
        rev = changes[0]["rev"]
        if doc is None or len(changes) > 1 or doc["_rev"] != rev or doc["_id"] != row["id"]:
            return None
        shaped = self._view.shape(doc)
        if not (self._epochs.is_one or self._epochs.settles(row, doc, shaped)):
            return None
        if shaped is None:
            return Change(row["seq"]) if rev.startswith("1-") and self._view.undecided(doc) is None else None
        if not self._usual or "_attachments" in shaped or "_revisions" in shaped:
            return self._change(row, [Shown(shaped, rev)])
        change: Row = {"id": row["id"], "changes": [{"rev": rev}]}
        if shaped.get("_deleted") is True:
            change["deleted"] = True
        if self._wanted.include_docs:
            change["doc"] = shaped
        return Change(row["seq"], _rest(change))

    def _kept(self, row: Row) -> Doc | None:
        """The document of a row that names its only leaf, if that is kept."""
        bodies, leaves = self._view.bodies, row.get("leaves", ())
        if bodies is None or self._encodings or len(leaves) != 1:
            return None
        return bodies.get((row["id"], leaves[0]))

    def _change(self, row: Row, leaves: list[Shown]) -> Change:
        shown = self._passing(leaves)
        if not shown:
            return Change(row["seq"])
        winner = shown[0].doc
        change: Row = {"id": row["id"], "changes": [{"rev": leaf.rev} for leaf in shown]}
        if winner.get("_deleted") is True:
            change["deleted"] = True
        if self._wanted.include_docs:
            change["doc"] = doc = self._dressed(winner, leaves)
            if self._wanted.attachments and "_attachments" in doc:
                del change["doc"]
                return Change(row["seq"], _rest(change), Shown(doc, shown[0].origin))
        return Change(row["seq"], _rest(change))

    def _passing(self, leaves: list[Shown]) -> list[Shown]:
        """The leaves that the client's selector lets through: always what is told since the document was seen, and bare
        tombstones, which have no body.
        """
        if len(leaves) > 1 and self._wanted.style == "main_only":
            leaves = [leaf for leaf in leaves if leaf is leaves[0] or leaf.closes]
        matches = self._wanted.matches
        if matches is None:
            return leaves
        return [leaf for leaf in leaves if leaf.departed or _bare(leaf) or matches(_plain(leaf.doc))]

    def _dressed(self, doc: Doc, leaves: list[Shown]) -> Doc:
        """The winner's document with what the client wants to see of it."""
        dressed = _plain(doc)
        if self._wanted.conflicts:
            conflicts = [leaf.rev for leaf in leaves if not leaf.deleted and leaf.doc is not doc]
            dressed = {**dressed, "_conflicts": conflicts} if conflicts else dressed
        if self._wanted.fields is not None:
            dressed = project_fields(dressed, self._wanted.fields)
        if "_attachments" not in dressed or self._wanted.att_encoding_info:
            return dressed
        return without_encoding_info(dressed)


def _revs(row: Row) -> list[str]:
    """The revisions that a row announces. Raises Unavailable for what are none."""
    try:
        revs = [change["rev"] for change in row["changes"]]
        for rev in revs:
            canonical(rev)
        return revs
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("The source's _changes is not of CouchDB's form.") from error


def _has_all(leaves: Iterable[Doc], revs: Iterable[str]) -> bool:
    """Whether the revisions of a row, or what came after them, are among the leaves that the source then gave.

    If not it was another node that gave them, which does not know of the change yet. What it gives may be what the
    client has, or nothing; once it was told of that, nobody would tell it of the change.
    """
    leaves = list(leaves)
    left = set(revs).difference([leaf["_rev"] for leaf in leaves])
    return all(any(descends(leaf, rev) or _is_cut_above(leaf, rev) for leaf in leaves) for rev in left)


def _is_cut_above(leaf: Doc, rev: str) -> bool:
    """Whether the path of a leaf ends above the generation of a revision, so that it may come from it."""
    start, ids = path_of(leaf)
    return int(rev.partition("-")[0]) <= start - len(ids)


def _is_settled(row: Row, bodies: Mapping[str, list[Doc]], shown: Mapping[str, list[Shown]]) -> bool:
    """Whether what the view shows of a row follows from the leaves that the row names alone.

    It does not where the source did not give them, or where one is invisible and has ancestors: then their bodies
    decide, which the source may not have at another time.
    """
    docs = bodies.get(row["id"], [])
    if {doc["_rev"] for doc in docs} != set(row.get("leaves", ())):
        return False
    visible = {leaf.rev for leaf in shown.get(row["id"], ()) if not leaf.departed}
    return all(doc["_rev"] in visible or doc["_rev"].startswith("1-") for doc in docs)


def _rest(change: Row) -> bytes:
    """A row's JSON behind its first brace. A copy: what orjson gives has room for a kilobyte and more, however short
    it is, and there are many rows at a time.
    """
    return jsonio.dumps(change)[1:]


def _as_it_is(row: Row) -> Change:
    change = {"id": row["id"], "changes": row["changes"]}
    if row.get("deleted"):
        change["deleted"] = True
    return Change(row["seq"], _rest(change))


def _plain(doc: Doc) -> Doc:
    if "_revisions" not in doc:
        return doc
    return {key: value for key, value in doc.items() if key != "_revisions"}


def _bare(leaf: Shown) -> bool:
    return leaf.deleted and leaf.doc.keys() <= {"_id", "_rev", "_deleted", "_revisions"}
