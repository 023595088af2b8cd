"""What the source really has and ever had, read past all that is under test."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from proxy.core import jsonio, revisions
from proxy.core.revisions import Node, Rev, Revisions, Tree
from proxy.endpoint.database import Database
from proxy.endpoint.documents import MissingRev
from proxy.endpoint.memory import MemoryRepository
from proxy.endpoint.reading import tree_of
from proxy.endpoint.repository import Record

Doc = dict[str, Any]
Key = tuple[str, Rev]

IDS = ("doc-a", "doc-b")


class Broken(AssertionError):
    """A law does not hold."""


def law(holds: object, *what: object) -> None:
    """Raises Broken, which says `what`, unless the law holds."""
    if not holds:
        raise Broken(" ".join(map(str, what)))


def content(doc: Doc) -> Doc:
    """A document without what names and places it; of attachments type and data."""
    plain = {n: v for n, v in doc.items() if n not in ("_id", "_rev", "_revisions", "_attachments")}
    entries = doc.get("_attachments")
    if entries:
        plain["_attachments"] = {n: (e["content_type"], e["data"]) for n, e in sorted(entries.items())}
    return plain


def path_in(doc: Doc) -> Revisions:
    """The path in a document's `_revisions`."""
    return Revisions(doc["_revisions"]["start"], tuple(doc["_revisions"]["ids"]))


class Truth:
    """One database. `history`: every body that it ever had, whole. `stored`: the revisions whose bodies it has now.

    `shadow` are the trees of a CouchDB with which the same devices replicate whole documents: they grow with every path
    that was written, and with nothing else.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.history: dict[Key, Doc] = {}
        self.stored: set[Key] = set()
        self.trees: dict[str, Tree] = {}
        self.shadow: dict[str, Tree] = {}
        self.compacted = False
        """Whether it is forgotten what devices were shown."""
        self.has_lost_bodies = False
        """Whether it is, but for what an index keeps."""

    async def scan(self) -> set[Key]:
        """Take in what the source has; the revisions whose bodies are new."""
        fresh: set[Key] = set()
        self.stored = set()
        for doc_id in IDS:
            record = self.database._repository.record(doc_id)
            tree = self.trees[doc_id] = {} if record is None else tree_of(record.tree)
            for rev in (rev for rev, node in tree.items() if node.stored):
                self.stored.add((doc_id, rev))
                if (doc_id, rev) not in self.history:
                    fresh.add((doc_id, rev))
                    self.history[doc_id, rev] = await self._whole(doc_id, rev)
        return fresh

    async def _whole(self, doc_id: str, rev: Rev) -> Doc:
        found = self.database.get(doc_id, str(rev))
        doc: Doc = jsonio.loads(found.json())
        for one in found.attachments:
            doc["_attachments"][one.name]["data"] = b64encode(await self.database.attachment_data(one)).decode()
        return doc

    def live(self, doc_id: str) -> list[Rev]:
        """The live leaves, the winner first."""
        tree = self.trees.get(doc_id)
        return [rev for rev in revisions.leaves(tree) if not tree[rev].deleted] if tree else []

    def leaf(self, doc_id: str, number: int = 0) -> Doc | None:
        """A live leaf with stubs, the winner for 0; None if there is none."""
        live = self.live(doc_id)
        return self.revision(doc_id, live[number % len(live)]) if live else None

    def revision(self, doc_id: str, rev: Rev) -> Doc:
        """A revision with stubs."""
        doc: Doc = jsonio.loads(self.database.get(doc_id, str(rev)).json())
        return doc

    # ---- what happens at the source

    async def put(self, doc: Doc) -> None:
        """An edit past the proxy."""
        [updated] = await self.database.bulk_docs([doc])
        law(updated.error is None, "the source refuses", doc, updated.error)
        self.shade_stored(doc["_id"], str(updated.rev))
        await self.scan()

    async def branch(self, doc: Doc, parent: Rev | None, name: str) -> None:
        """A revision that another replica brings."""
        path = Revisions(0, ()) if parent is None else revisions.path_of(self.trees[doc["_id"]], parent)
        generation = path.start + 1
        place = {"start": generation, "ids": [name, *path.ids]}
        placed = {**doc, "_rev": f"{generation}-{name}", "_revisions": place}
        await self.database.bulk_docs([placed], new_edits=False)
        self.shade_stored(doc["_id"], placed["_rev"])
        await self.scan()

    async def compact(self, *, traced: bool) -> None:
        """Forget the bodies of all revisions that are no leaves, as CouchDB's compaction does. `traced`: the index has
        kept what decided whom they were shown to.
        """
        self.compacted = self.compacted or not traced
        self.has_lost_bodies = True
        repository = self.database._repository
        assert isinstance(repository, MemoryRepository)
        for doc_id, record in repository._records.items():
            repository._records[doc_id] = _compacted(repository, record)
        await self.scan()

    # ---- the shadow

    def shade_stored(self, doc_id: str, rev: str) -> None:
        """The shadow gets a revision that the source has."""
        [found] = self.database.open_revs(doc_id, [rev], revs=True)
        assert not isinstance(found, MissingRev)
        assert found.revisions is not None
        self.shade(doc_id, found.revisions, found.deleted)

    def shade(self, doc_id: str, path: Revisions, deleted: bool) -> None:
        """The shadow gets a path."""
        self.shadow[doc_id], _ = revisions.merge(self.shadow.get(doc_id, {}), path, deleted=deleted)

    def check_shape(self) -> None:
        """The source's trees are those of plain replication."""
        for doc_id, tree in self.trees.items():
            found, expected = _form(tree), _form(self.shadow.get(doc_id, {}))
            law(found == expected, "the tree of", doc_id, "is", found, "instead of", expected)


def _form(tree: Tree) -> dict[str, tuple[str, bool]]:
    """A tree without what is stored where: parents, and which leaves are deleted."""
    parents = {node.parent for node in tree.values()}
    return {str(rev): (str(node.parent), rev not in parents and node.deleted) for rev, node in sorted(tree.items())}


def _compacted(repository: MemoryRepository, record: Record) -> Record:
    tree = tree_of(record.tree)
    leaves = set(revisions.leaves(tree))
    slim = {rev: node if rev in leaves else Node(node.parent, False, False) for rev, node in tree.items()}
    for rev in tree.keys() - leaves:
        repository.drop_body(record.id, str(rev))
    return record._replace(tree=jsonio.dumps(revisions.to_json(slim)))
