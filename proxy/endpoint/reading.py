"""Reading documents: the winner, revisions, leaves, listings by id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from proxy.core import jsonio, revisions
from proxy.core.revisions import Rev, Revisions, Tree, parse_rev
from proxy.endpoint.attachments import unpack
from proxy.endpoint.documents import Document, MissingRev, Row
from proxy.endpoint.repository import Entry, Range, Record, Repository, StoredBody
from proxy.errors import BadRequest, NotFound

PAGE = 500
"""Rows that a scan reads at once."""

_END = 2**63 - 1


class Reading:
    """The part of a database that reads documents."""

    _repository: Repository
    _revs_limit: int

    def get(
        self,
        doc_id: str,
        rev: str | None = None,
        *,
        latest: bool = False,
        revs: bool = False,
        revs_info: bool = False,
        conflicts: bool = False,
        deleted_conflicts: bool = False,
        local_seq: bool = False,
        deleted: bool = False,
    ) -> Document:
        """The winner, or revision `rev` (deleted ones too), or with `latest` the best leaf that descends from `rev`.

        `_local/` ids too. Raises NotFound "missing" or "deleted" (of the winner only, without `deleted`), BadRequest
        "Invalid rev format".
        """
        if doc_id.startswith("_local/"):
            local = self._local(doc_id, rev)
            return replace(local, revisions=Revisions(0, (local.rev[2:],))) if revs else local
        if rev is None and not (revs or revs_info or conflicts or deleted_conflicts or local_seq or deleted):
            return self._winner(doc_id)
        with self._repository.snapshot():
            record = self._repository.record(doc_id)
            if record is None:
                raise NotFound("missing")
            if rev is None and record.deleted and not deleted:
                raise NotFound("deleted")
            tree = tree_of(record.tree)
            found = self._find(tree, rev, latest) if rev is not None else parse_rev(record.rev)
            body = self._body(record, found) if found is not None else None
        if found is None or body is None:
            raise NotFound("missing")
        meta: dict[str, Any] = {}
        if revs_info:
            meta["_revs_info"] = _revs_info(tree, found)
        if local_seq:
            meta["_local_seq"] = record.seq
        if conflicts and (live := revisions.conflicts(tree)):
            meta["_conflicts"] = [str(one) for one in live]
        if deleted_conflicts and (dead := revisions.deleted_conflicts(tree)):
            meta["_deleted_conflicts"] = [str(one) for one in dead]
        return _document(doc_id, body, self._path(tree, found) if revs else None, meta)

    def open_revs(
        self, doc_id: str, wanted: Sequence[str] | None, *, latest: bool = False, revs: bool = False
    ) -> list[Document | MissingRev]:
        """The revisions `wanted`, or all leaves (None); with `latest` the leaves that descend from each.

        Each once, found ones first, then by generation and hash, as CouchDB has them. An unknown id gives `[]` for all
        leaves and only MissingRev otherwise. Raises BadRequest for a malformed rev.
        """
        parsed = None if wanted is None else [parse(one) for one in wanted]
        record = self._repository.record(doc_id)
        if record is None:
            return [MissingRev(str(rev)) for rev in revisions.ascending(set(parsed or ()))]
        if record.others is None and (parsed is None or list(map(str, parsed)) == [record.rev]):
            return [_document(doc_id, record.stored_body, self._only_path(record) if revs else None)]
        return self._open_revs(doc_id, parsed, latest, revs)

    def _open_revs(
        self, doc_id: str, parsed: Sequence[Rev] | None, latest: bool, revs: bool
    ) -> list[Document | MissingRev]:
        with self._repository.snapshot():
            record = self._repository.record(doc_id)
            assert record is not None  # documents do not go away
            tree = tree_of(record.tree)
            chosen = set(revisions.leaves(tree) if parsed is None else parsed)
            if latest:
                known = chosen & tree.keys()
                chosen = {one for rev in known for one in revisions.descendant_leaves(tree, rev)} | (chosen - known)
            found = [self._open(record, tree, rev, revs) for rev in revisions.ascending(chosen)]
        return sorted(found, key=lambda one: isinstance(one, MissingRev))

    def all_docs(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        inclusive_end: bool = True,
        descending: bool = False,
        skip: int = 0,
        limit: int | None = None,
        include_docs: bool = False,
        conflicts: bool = False,
    ) -> Iterator[Row]:
        """Live documents from `start` to `end` in the order of their ids' UTF-8 bytes (CouchDB's), lazily in pages.

        With `descending`, `start` is the greater one. Between two rows other writes may come in.
        """
        wanted = Range(start, end, True, inclusive_end, descending)
        left = _END if limit is None else limit
        while skip > 0:
            page = self._repository.by_id(wanted, min(skip, PAGE), bodies=False)
            if not page:
                return
            skip -= len(page)
            wanted = wanted._replace(start=page[-1].id, inclusive_start=False)
        while left > 0:
            page = self._repository.by_id(wanted, min(left, PAGE), bodies=include_docs)
            for entry in page:
                yield Row(entry.id, entry.rev, False, entry_document(entry, conflicts))
            if len(page) < PAGE:
                return
            left -= len(page)
            wanted = wanted._replace(start=page[-1].id, inclusive_start=False)

    def all_docs_keys(
        self, keys: Iterable[str], *, include_docs: bool = False, conflicts: bool = False
    ) -> Iterator[Row | None]:
        """One row for each key, deleted documents included, None for unknown ids."""
        for key in keys:
            body = self._repository.winner(key)
            if body is None:
                yield None
                continue
            document = None
            if include_docs and not body.deleted:
                document = self._conflicting(key) if conflicts else _document(key, body)
            yield Row(key, body.rev, body.deleted, document)

    def all_docs_offset(self, start: str | None, *, descending: bool = False) -> int:
        """How many live documents come before `start`."""
        if start is None:
            return 0
        return self._repository.count_by_id(Range(end=start, inclusive_end=False, descending=descending))

    def local_docs(self, *, include_docs: bool = False) -> Iterator[Row]:
        """The `_local/` documents in the order of their ids."""
        for doc_id, number, body in self._repository.locals():
            document = Document(doc_id, f"0-{number}", False, body)
            yield Row(doc_id, document.rev, False, document if include_docs else None)

    def _winner(self, doc_id: str) -> Document:
        body = self._repository.winner(doc_id)
        if body is None:
            raise NotFound("missing")
        rev, deleted, atts, text = body
        if deleted:
            raise NotFound("deleted")
        return Document(doc_id, rev, False, text, unpack(atts) if atts is not None else ())

    def _conflicting(self, doc_id: str) -> Document | None:
        try:
            return self.get(doc_id, conflicts=True)
        except NotFound:
            return None  # deleted a moment ago

    def _local(self, doc_id: str, rev: str | None) -> Document:
        found = self._repository.local(doc_id)
        if found is None or rev not in (None, f"0-{found.rev}"):
            raise NotFound("missing")
        return Document(doc_id, f"0-{found.rev}", False, found.body)

    def _find(self, tree: Tree, text: str, latest: bool) -> Rev | None:
        rev = parse(text)
        if rev not in tree:
            return None
        return revisions.descendant_leaves(tree, rev)[0] if latest else rev

    def _body(self, record: Record, rev: Rev) -> StoredBody | None:
        text = str(rev)
        return record.stored_body if text == record.rev else self._repository.body(record.id, text)

    def _open(self, record: Record, tree: Tree, rev: Rev, revs: bool) -> Document | MissingRev:
        body = self._body(record, rev) if rev in tree else None
        if body is None:
            return MissingRev(str(rev))
        return _document(record.id, body, self._path(tree, rev) if revs else None)

    def _only_path(self, record: Record) -> Revisions:
        """The path of the only leaf: the tree is one chain."""
        [(first, hashes, _, _)] = jsonio.loads(record.tree)
        return Revisions(first + len(hashes) - 1, tuple(hashes[: -self._revs_limit - 1 : -1]))

    def _path(self, tree: Tree, rev: Rev) -> Revisions:
        """At most `revs_limit` of its ancestors: a neighbouring leaf may keep more of them in the tree."""
        path = revisions.path_of(tree, rev)
        return path._replace(ids=path.ids[: self._revs_limit])


def parse(text: str) -> Rev:
    try:
        return parse_rev(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None


@lru_cache(maxsize=16)
def tree_of(stored: bytes) -> Tree:
    """The tree that was stored. Some are kept: whoever asks for one revision of a document often asks for others."""
    return revisions.from_json(jsonio.loads(stored))


def _revs_info(tree: Tree, rev: Rev) -> list[dict[str, str]]:
    info = []
    for step in revisions.path_of(tree, rev).revs():
        node = tree[step]
        status = "missing" if not node.stored else "deleted" if node.deleted else "available"
        info.append({"rev": str(step), "status": status})
    return info


def _document(
    doc_id: str, body: StoredBody, path: Revisions | None = None, meta: Mapping[str, Any] | None = None
) -> Document:
    return Document(doc_id, body.rev, bool(body.deleted), body.body, unpack(body.atts), path, meta or {})


def entry_document(entry: Entry, conflicts: bool) -> Document | None:
    if entry.body is None:
        return None
    live = [rev for rev, deleted in jsonio.loads(entry.others) if not deleted] if conflicts and entry.others else []
    meta = {"_conflicts": live} if live else {}
    return Document(entry.id, entry.rev, bool(entry.deleted), entry.body, unpack(entry.atts), None, meta)
