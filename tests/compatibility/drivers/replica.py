"""The client's own database: revision trees, attachments, local documents. It believes what it is told."""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.compatibility.drivers import check

Doc = dict[str, Any]
Files = Mapping[str, "File"]

_KNOWN = {"_id", "_rev", "_deleted", "_revisions", "_attachments"}


@dataclass(frozen=True)
class File:
    """An attachment as stored: `encoding` is `gzip` where `data` is."""

    content_type: str
    data: bytes
    encoding: str | None = None

    @property
    def plain(self) -> bytes:
        return gzip.decompress(self.data) if self.encoding == "gzip" else self.data


@dataclass(frozen=True)
class Held:
    """A revision with its body. `path`: its revision ids, newest first. `files`: its attachments."""

    body: Doc
    path: tuple[str, ...]
    files: Files
    deleted: bool = False

    @property
    def rev(self) -> str:
        return self.path[0]

    @property
    def revisions(self) -> Doc:
        return {"start": generation(self.rev), "ids": [rev.partition("-")[2] for rev in self.path]}


@dataclass
class Replica:
    """Documents by id and revision, in the order in which they were written."""

    docs: dict[str, dict[str, Held]] = field(default_factory=dict)
    local: dict[str, Doc] = field(default_factory=dict)
    written: list[tuple[str, str]] = field(default_factory=list)

    def missing(self, doc_id: str, revs: Sequence[str]) -> list[str]:
        """Those revisions that are not in the tree. One that is there without a body is known as well."""
        known = {rev for held in self.docs.get(doc_id, {}).values() for rev in held.path}
        return [rev for rev in revs if rev not in known]

    def leaves(self, doc_id: str) -> dict[str, Held]:
        """The revisions without a child, the winner first."""
        revs = self.docs.get(doc_id, {})
        inner = {rev for held in revs.values() for rev in held.path[1:]}
        ends = [held for rev, held in revs.items() if rev not in inner]
        ends.sort(key=lambda held: (not held.deleted, generation(held.rev), held.rev), reverse=True)
        return {held.rev: held for held in ends}

    def winner(self, doc_id: str) -> Held:
        return next(iter(self.leaves(doc_id).values()))

    def ids(self) -> list[str]:
        """The ids of what is there and not deleted."""
        return sorted(doc_id for doc_id in self.docs if not self.winner(doc_id).deleted)

    def insert(self, doc: Doc, files: Files | None = None, *, needs_path: bool = True) -> Held:
        """Take a replicated revision. `files`: those attachments that came along; stubs are found in ancestors."""
        unknown = [name for name in doc if name.startswith("_") and name not in _KNOWN]
        check(not unknown, f"{doc['_id']}: unknown members {unknown}")
        check("_revisions" in doc or not needs_path, f"{doc['_id']}: no _revisions")
        path = path_of(doc)
        check(path[0] == doc["_rev"], f"{doc['_id']}: {path[0]} is not {doc['_rev']}")
        body = {name: value for name, value in doc.items() if not name.startswith("_")}
        taken = {name: self._file(doc, path, name, files or {}) for name in doc.get("_attachments", {})}
        held = Held(body, path, taken, bool(doc.get("_deleted")))
        self._keep(doc["_id"], held)
        return held

    def edit(
        self, doc_id: str, *, files: Files | None = None, deleted: bool = False, rev: str = "", **changed: Any
    ) -> Held:
        """A new revision of one's own: of the winner (or `rev`), or the first. `files` adds to its attachments."""
        leaves = self.leaves(doc_id)
        base = None if not leaves else leaves[rev] if rev else next(iter(leaves.values()))
        path = () if base is None else base.path
        new = f"{generation(path[0]) + 1 if path else 1}-{secrets.token_hex(16)}"
        body = {} if deleted else {**({} if base is None else base.body), **changed}
        kept = {} if base is None or deleted else base.files
        held = Held(body, (new, *path), {**kept, **(files or {})}, deleted)
        self._keep(doc_id, held)
        return held

    def _keep(self, doc_id: str, held: Held) -> None:
        self.docs.setdefault(doc_id, {})[held.rev] = held
        self.written.append((doc_id, held.rev))

    def _file(self, doc: Doc, path: tuple[str, ...], name: str, files: Files) -> File:
        if name in files:
            return files[name]
        # A stub stands for what the nearest ancestor with a body has, and for nothing older: so in CouchDB.
        known = self.docs.get(doc["_id"], {})
        nearest = next((known[rev] for rev in path if rev in known), None)
        if nearest is not None and name in nearest.files:
            return nearest.files[name]
        check(False, f"{doc['_id']}: missing_stub {name}")
        raise AssertionError


def generation(rev: str) -> int:
    """The number in front."""
    return int(rev.partition("-")[0])


def path_of(doc: Doc) -> tuple[str, ...]:
    """A document's revision and its ancestors, newest first."""
    revisions = doc.get("_revisions")
    if revisions is None:
        return (doc["_rev"],)
    return tuple(f"{revisions['start'] - place}-{digest}" for place, digest in enumerate(revisions["ids"]))


def outgoing(doc_id: str, held: Held) -> Doc:
    """A revision as it is pushed, without attachments."""
    doc = {"_id": doc_id, "_rev": held.rev, **held.body, "_revisions": held.revisions}
    return {**doc, "_deleted": True} if held.deleted else doc
