"""A model device: a replica in memory that replicates over HTTP, call by call, as real clients do.

Three families, by what they ask (wire reference 2):

    POUCH   PouchDB 9: pages until an empty one, `_bulk_get?revs&latest`, attachments one by one, `_bulk_docs`
    COUCH   CouchDB's replicator: one feed, `open_revs` with `latest`, multipart PUTs for attachments
    TOUCH   TouchDB: a page shorter than its limit is the end, `GET doc?rev&revs&attachments`, stubs for old attachments

What they share: a revision that is held is never fetched again; any `error` or `missing` entry aborts the batch, which
is tried again with the next replication; checkpoints move after what they stand for is stored, first at the other side;
`forbidden` rows of a push are denied for good, anything else aborts.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from proxy.core import jsonio, revisions
from proxy.core.revisions import Rev, Revisions, Tree
from tests.support.inprocess import Answer

Doc = dict[str, Any]
Ask = Callable[..., Awaitable[Answer]]


class Family(Enum):
    """Whose calls a device makes."""

    POUCH = "pouch"
    COUCH = "couch"
    TOUCH = "touch"


class Interrupted(Exception):
    """The network failed where a test wanted it to."""


class Aborted(Exception):
    """The replication stopped, as the client would stop it: something was not as announced."""


@dataclass
class Held:
    """One document of a replica: its tree, and the bodies that there are."""

    tree: Tree = field(default_factory=dict)
    bodies: dict[Rev, Doc] = field(default_factory=dict)

    @property
    def winner(self) -> Rev | None:
        return revisions.winner(self.tree) if self.tree else None

    @property
    def live(self) -> list[Rev]:
        """Live leaves, the winner first."""
        return [rev for rev in revisions.leaves(self.tree) if not self.tree[rev].deleted]

    def add(self, doc: Doc, path: Revisions) -> bool:
        """Whether the revision was new."""
        node = self.tree.get(path.newest)
        self.tree, _ = revisions.merge(self.tree, path, deleted=doc.get("_deleted") is True)
        if node is not None and node.stored:
            return False
        self.bodies[path.newest] = doc
        return True


@dataclass
class Push:
    """One `_bulk_docs` (or PUT) of a device. `rows`: what was answered, None if no answer came."""

    docs: list[Doc]
    rows: list[Doc] | None = None


class Device:
    """`ask(method, path, body, headers=..., data=...)` sends a request as the device's user.

    `brand`: devices of one brand give equal edits equal revisions, as one version of PouchDB does. `limit` is that of
    its pages, `batch` how many changes it pushes at once.
    """

    def __init__(
        self, name: str, brand: str, database: str, ask: Ask, family: Family = Family.POUCH, limit: int = 100
    ) -> None:
        self.name = name
        self.family = family
        self.limit = limit
        self.docs: dict[str, Held] = {}
        self.denied: set[tuple[str, str]] = set()
        self.received: list[Doc] = []
        self.pushes: list[Push] = []
        self.fuse: int | None = None
        """Twice the number of the request that fails, less one if it is lost on its way, not its answer."""
        self._brand = brand
        self.database = database
        self._ask = ask
        self._log: list[str] = []
        self._checkpoints: dict[str, Doc] = {}

    @property
    def changes(self) -> int:
        """How many revisions were added so far: its sequence."""
        return len(self._log)

    # ---- what its user does

    def leaf(self, doc_id: str, number: int = 0) -> Doc | None:
        """A live leaf's document, the winner's for 0; None if there is none."""
        held = self.docs.get(doc_id)
        live = held.live if held else []
        return held.bodies[live[number % len(live)]] if held and live else None

    def put(self, doc: Doc) -> None:
        """Store an edit of the leaf `_rev`, or create: over the winning tombstone, if there is one."""
        held = self.docs.setdefault(doc["_id"], Held())
        parent = revisions.parse_rev(doc["_rev"]) if "_rev" in doc else held.winner
        ancestors = revisions.path_of(held.tree, parent) if parent else Revisions(0, ())
        generation = ancestors.start + 1
        body = {name: value for name, value in doc.items() if name != "_rev"}
        for entry in body.get("_attachments", {}).values():
            entry.setdefault("revpos", generation)
        stamp = jsonio.dumps([self._brand, str(parent), _canonical(body)])
        digest = hashlib.md5(stamp, usedforsecurity=False).hexdigest()
        path = Revisions(generation, (digest, *ancestors.ids))
        self._add({**body, "_rev": str(path.newest)}, path)

    def remove(self, doc_id: str, rev: str, **fields: Any) -> None:
        """Delete a leaf. `fields` stay in the tombstone."""
        self.put({"_id": doc_id, "_rev": rev, "_deleted": True, **fields})

    def forget(self) -> None:
        """Lose the checkpoints."""
        self._checkpoints.clear()

    async def checkpoint(self) -> Any:
        """Where it will go on to pull."""
        return await self._checkpoint("pull")

    async def lost_checkpoint(self) -> bool:
        """Whether it has documents and will pull from the beginning: both sides do not agree."""
        return bool(self.docs) and await self.checkpoint() == 0

    def _add(self, doc: Doc, path: Revisions) -> None:
        if self.docs.setdefault(doc["_id"], Held()).add(doc, path):
            self._log.append(doc["_id"])

    # ---- the network

    async def _call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        if self.fuse is not None:
            self.fuse -= 2
            if self.fuse == -1:
                raise Interrupted
        answer = await self._ask(method, f"/{self.database}{path}", body, **options)
        if self.fuse == 0:
            raise Interrupted
        return answer

    async def _get(self, path: str, **query: Any) -> Any:
        """Raises Aborted for any other status than 200."""
        answer = await self._call("GET", f"{path}?{urlencode(query)}")
        if answer.status != 200:
            raise Aborted(f"GET {path}?{urlencode(query)}: {answer.status} {answer.body!r}")
        return answer.json

    # ---- checkpoints

    async def _checkpoint(self, direction: str) -> Any:
        """Where to go on: only if both sides agree."""
        answer = await self._call("GET", f"/_local/{direction}-{self.name}")
        if answer.status not in (200, 404):
            raise Aborted(f"checkpoint: {answer.status} {answer.body!r}")
        own = self._checkpoints.get(direction)
        if answer.status == 404 or own is None or answer.json["session"] != own["session"]:
            return 0
        return own["seq"]

    async def _save(self, direction: str, seq: Any) -> None:
        checkpoint = {"seq": seq, "session": uuid4().hex}
        answer = await self._call("PUT", f"/_local/{direction}-{self.name}", checkpoint)
        if answer.status not in (201, 202):
            raise Aborted(f"checkpoint: {answer.status} {answer.body!r}")
        self._checkpoints[direction] = checkpoint

    # ---- pull

    async def pull(self) -> None:
        """Raises Interrupted and Aborted: what was fetched up to the last checkpoint is kept."""
        since = await self._checkpoint("pull")
        limit = {} if self.family is Family.COUCH else {"limit": self.limit}
        while True:
            page = await self._get("/_changes", style="all_docs", since=since, **limit)
            rows = page["results"]
            if rows:
                await self._fetch(rows)
                since = rows[-1]["seq"]
                await self._save("pull", since)
            if not rows or not limit or (self.family is Family.TOUCH and len(rows) < self.limit):
                return

    async def _fetch(self, rows: Iterable[Doc]) -> None:
        wanted = [
            (row["id"], change["rev"])
            for row in rows
            for change in row["changes"]
            if revisions.parse_rev(change["rev"]) not in self.docs.get(row["id"], Held()).tree
        ]
        if not wanted:
            return
        if self.family is Family.POUCH:
            docs = await self._bulk_get(wanted)
        elif self.family is Family.COUCH:
            docs = await self._open_revs(wanted)
        else:
            docs = [
                await self._get(f"/{quote(doc_id, safe='')}", rev=rev, revs="true", attachments="true")
                for doc_id, rev in wanted
            ]
        for doc in docs:
            self._receive(doc)

    async def _bulk_get(self, wanted: list[tuple[str, str]]) -> list[Doc]:
        asked = {"docs": [{"id": doc_id, "rev": rev} for doc_id, rev in wanted]}
        answer = await self._call("POST", "/_bulk_get?revs=true&latest=true", asked)
        if answer.status != 200:
            raise Aborted(f"_bulk_get: {answer.status} {answer.body!r}")
        entries = [entry for result in answer.json["results"] for entry in result["docs"]]
        for entry in entries:
            if "ok" not in entry:
                raise Aborted(f"_bulk_get: {entry}")
        docs = [entry["ok"] for entry in entries]
        for doc in docs:
            for name, entry in doc.get("_attachments", {}).items():
                entry["data"] = b64encode(await self._attachment(doc, name)).decode()
                del entry["stub"]
        return docs

    async def _attachment(self, doc: Doc, name: str) -> bytes:
        path = f"/{quote(doc['_id'], safe='')}/{quote(name, safe='')}?rev={doc['_rev']}"
        answer = await self._call("GET", path, headers={"Accept": "*/*"})
        if answer.status != 200:
            raise Aborted(f"GET {path}: {answer.status} {answer.body!r}")
        return answer.body

    async def _open_revs(self, wanted: list[tuple[str, str]]) -> list[Doc]:
        docs = []
        for doc_id in dict.fromkeys(doc_id for doc_id, _ in wanted):
            revs = jsonio.dumps([rev for other, rev in wanted if other == doc_id]).decode()
            path = f"/{quote(doc_id, safe='')}"
            found = await self._get(path, revs="true", latest="true", open_revs=revs, attachments="true")
            for entry in found:
                if "ok" not in entry:
                    raise Aborted(f"open_revs of {doc_id}: {entry}")
                docs.append(entry["ok"])
        return docs

    def _receive(self, doc: Doc) -> None:
        self.received.append(doc)
        place = doc["_revisions"]
        stored = {name: value for name, value in doc.items() if name != "_revisions"}
        self._add(stored, Revisions(place["start"], tuple(place["ids"])))

    # ---- push

    async def push(self, *, blind: bool = False) -> None:
        """Raises Interrupted and Aborted. `blind`: without asking what is missing, as a careless client may."""
        start = min(await self._checkpoint("push"), len(self._log))
        end = len(self._log)
        ids = list(dict.fromkeys(self._log[start:end]))
        if not ids:
            return
        for first in range(0, len(ids), self.limit):
            await self._push_batch(ids[first : first + self.limit], blind)
        await self._save("push", end)

    async def _push_batch(self, ids: list[str], blind: bool) -> None:
        leaves = {doc_id: [str(rev) for rev in revisions.leaves(self.docs[doc_id].tree)] for doc_id in ids}
        diff: dict[str, Doc] = {doc_id: {"missing": revs} for doc_id, revs in leaves.items()}
        if not blind:
            answer = await self._call("POST", "/_revs_diff", leaves)
            if answer.status != 200:
                raise Aborted(f"_revs_diff: {answer.status} {answer.body!r}")
            diff = answer.json
        docs = [
            self._outgoing(doc_id, rev, entry.get("possible_ancestors", ()))
            for doc_id, entry in diff.items()
            for rev in entry["missing"]
        ]
        if self.family is Family.COUCH:
            for doc in [doc for doc in docs if "_attachments" in doc]:
                await self._send(Push([doc]), self._put_multipart)
            docs = [doc for doc in docs if "_attachments" not in doc]
        if docs:
            await self._send(Push(docs), self._bulk_docs)

    def _outgoing(self, doc_id: str, rev: str, known: Iterable[str]) -> Doc:
        held = self.docs[doc_id]
        path = revisions.path_of(held.tree, revisions.parse_rev(rev))
        doc = {**held.bodies[path.newest], "_revisions": {"start": path.start, "ids": list(path.ids)}}
        own = {str(each) for each in path.revs()}
        shared = max((revisions.parse_rev(each).generation for each in known if each in own), default=0)
        if "_attachments" in doc:
            stubs = self.family is Family.TOUCH
            doc["_attachments"] = {
                name: _stub(entry) if stubs and entry["revpos"] <= shared else dict(entry)
                for name, entry in doc["_attachments"].items()
            }
        return doc

    async def _send(self, push: Push, by: Callable[[Push], Awaitable[list[Doc]]]) -> None:
        self.pushes.append(push)
        push.rows = await by(push)
        for doc in push.docs:
            self.denied.discard((doc["_id"], doc["_rev"]))
        for row in push.rows:
            if row.get("error") not in ("forbidden", "unauthorized"):
                raise Aborted(f"_bulk_docs: {row}")
            self.denied.add((row["id"], row["rev"]))

    async def _bulk_docs(self, push: Push) -> list[Doc]:
        answer = await self._call("POST", "/_bulk_docs", {"docs": push.docs, "new_edits": False})
        if answer.status != 201:
            raise Aborted(f"_bulk_docs: {answer.status} {answer.body!r}")
        rows: list[Doc] = answer.json
        return rows

    async def _put_multipart(self, push: Push) -> list[Doc]:
        [doc] = push.docs
        content_type, data = _related(doc)
        path = f"/{quote(doc['_id'], safe='')}?new_edits=false"
        answer = await self._call("PUT", path, headers={"Content-Type": content_type}, data=data)
        if answer.status in (200, 201, 202):  # 200: of a deletion
            return []
        if answer.status >= 500:  # it may be stored, or not
            raise Aborted(f"PUT: {answer.status} {answer.body!r}")
        return [{"id": doc["_id"], "rev": doc["_rev"], **answer.json}]


def attachment(content_type: str, data: bytes) -> Doc:
    """A new attachment, for `_attachments`."""
    digest = b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    return {"content_type": content_type, "digest": f"md5-{digest}", "data": b64encode(data).decode()}


def _stub(entry: Doc) -> Doc:
    kept = {name: value for name, value in entry.items() if name != "data"}
    return {**kept, "length": len(b64decode(entry["data"])), "stub": True}


def _canonical(body: Doc) -> Doc:
    """A body without what does not count for its revision."""
    return {
        name: {n: e["digest"] for n, e in value.items()} if name == "_attachments" else value
        for name, value in sorted(body.items())
    }


def _related(doc: Doc) -> tuple[str, bytes]:
    """A document with attachments as multipart/related, as CouchDB's replicator sends it."""
    boundary = uuid4().hex
    parts: list[bytes] = []
    entries: Doc = {}
    for name, entry in doc["_attachments"].items():
        data = b64decode(entry["data"])
        kept = {key: value for key, value in entry.items() if key != "data"}
        entries[name] = {**kept, "length": len(data), "follows": True}
        head = f'\r\n--{boundary}\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n'
        parts.append(head.encode() + data)
    text = jsonio.dumps({**doc, "_attachments": entries})
    first = f"--{boundary}\r\nContent-Type: application/json\r\n\r\n".encode() + text
    body = b"".join([first, *parts, f"\r\n--{boundary}--".encode()])
    return f'multipart/related; boundary="{boundary}"', body
