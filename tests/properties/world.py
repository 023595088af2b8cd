"""A source, the proxy in front of it, devices, and the laws that hold between them.

The world knows every body that the source ever had, so that it can tell of each document that a device receives
whether it is what the device may see, and of each that a device pushed whether it was sewn into the right whole. Beside
the source it grows shadow trees: those of a CouchDB with which the same devices replicate whole documents.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from proxy.app import running
from proxy.config.model import Config, Database, Server, Source
from proxy.core import jsonio, revisions
from proxy.core.revisions import Node, Rev, Revisions, Tree
from proxy.endpoint import database as endpoint
from proxy.endpoint.documents import MissingRev
from proxy.endpoint.memory import MemoryRepository
from proxy.endpoint.reading import tree_of
from proxy.endpoint.repository import Record
from proxy.endpoint.serve import Running, start
from tests.properties.device import Device, Doc, Family, Held, Push
from tests.properties.dresses import DRESSES, PROFILES, USERS, shape
from tests.support.inprocess import ADMIN, Answer, Site

Key = tuple[str, Rev]

IDS = ("doc-a", "doc-b")
SECRETS = {
    "phone": (b"#ssn", b"#iban", b"#private", b"#cost", b'"!'),
    "tablet": (b"#private",),
    "slim": (b"#", b'"!'),
    "office": (b"#ssn",),
}
"""What no answer to a device in this dress may have in it, wherever."""


class Broken(AssertionError):
    """A law does not hold."""


def law(holds: object, *what: object) -> None:
    if not holds:
        raise Broken(" ".join(map(str, what)))


def content(doc: Doc) -> Doc:
    """A document without what names and places it; of attachments type and data."""
    plain = {n: v for n, v in doc.items() if n not in ("_id", "_rev", "_revisions", "_attachments")}
    entries = doc.get("_attachments")
    if entries:
        plain["_attachments"] = {
            n: {"content_type": e["content_type"], "data": e["data"]} for n, e in sorted(entries.items())
        }
    return plain


class Dressed(Device):
    """A device with what the world must know of it."""

    def __init__(self, world: World, name: str, user: str, dress: str, family: Family, limit: int) -> None:
        super().__init__(name, dress, f"clinic-{dress}", self._request, family, limit)
        self.user = user
        self.dress = dress
        self._world = world

    def shape(self, doc: Doc) -> Doc | None:
        return shape(doc, self.user, self.dress)

    def dress_as(self, user: str, dress: str) -> None:
        """Go on with another user and profile, with the documents that there are."""
        self.user, self.dress, self.database = user, dress, f"clinic-{dress}"
        self.forget()

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """A request to the database that is no part of replication."""
        return await self._request(method, f"/clinic-{self.dress}{path}", body, **options)

    async def _request(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        answer = await self._world.site.ask(method, path, body, user=(self.user, self.user), **options)
        self._world.heard.append((self, f"{method} {path}", answer.body))
        return answer


class World:
    """One database, from its creation on."""

    def __init__(self, site: Site, database: endpoint.Database) -> None:
        self.site = site
        self.database = database
        self.devices: list[Dressed] = []
        self.heard: list[tuple[Dressed, str, bytes]] = []
        self.history: dict[Key, Doc] = {}
        self.stored: set[Key] = set()
        self.trees: dict[str, Tree] = {}
        self.shadow: dict[str, Tree] = {}
        self.grafts: set[Key] = set()
        self.compacted = False

    def add_device(self, user: str, dress: str, family: Family = Family.POUCH, limit: int = 100) -> Dressed:
        device = Dressed(self, f"device{len(self.devices)}", user, dress, family, limit)
        self.devices.append(device)
        return device

    # ---- the source

    def leaf(self, doc_id: str, number: int = 0) -> Doc | None:
        """A live leaf of the source with stubs, the winner for 0; None if there is none."""
        tree = self.trees.get(doc_id, {})
        live = [rev for rev in revisions.leaves(tree) if not tree[rev].deleted] if tree else []
        return self.revision(doc_id, live[number % len(live)]) if live else None

    def revision(self, doc_id: str, rev: Rev) -> Doc:
        doc: Doc = jsonio.loads(self.database.get(doc_id, str(rev)).json())
        return doc

    async def put(self, doc: Doc) -> str:
        """An edit at the source, past the proxy; its revision."""
        [updated] = await self.database.bulk_docs([doc])
        law(updated.error is None, "the source refuses", doc, updated.error)
        assert updated.rev is not None
        self._shade(doc["_id"], updated.rev)
        await self.settle()
        return updated.rev

    async def branch(self, doc: Doc, parent: Rev | None, name: str) -> None:
        """A revision that another replica brings to the source."""
        path = Revisions(0, ()) if parent is None else revisions.path_of(self.trees[doc["_id"]], parent)
        ids = [name, *path.ids]
        placed = {**doc, "_rev": f"{path.start + 1}-{name}", "_revisions": {"start": path.start + 1, "ids": ids}}
        await self.database.bulk_docs([placed], new_edits=False)
        self._shade(doc["_id"], placed["_rev"])
        await self.settle()

    def _shade(self, doc_id: str, rev: str) -> None:
        [found] = self.database.open_revs(doc_id, [rev], revs=True)
        assert not isinstance(found, MissingRev)
        assert found.revisions is not None
        tree, _ = revisions.merge(self.shadow.get(doc_id, {}), found.revisions, deleted=found.deleted)
        self.shadow[doc_id] = tree

    async def compact(self) -> None:
        """Forget the bodies of all revisions that are no leaves, as CouchDB's compaction does."""
        self.compacted = True
        repository = self.database._repository
        assert isinstance(repository, MemoryRepository)
        for doc_id, record in repository._records.items():
            repository._records[doc_id] = _compacted(repository, record)
        await self.settle()

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

    # ---- over the web

    async def fetch(self, device: Dressed, doc_id: str) -> Doc | None:
        """The document as a browser of the device's user gets it, attachments included; None if there is none."""
        answer = await device.ask("GET", f"/{doc_id}?attachments=true")
        winner = next(iter(self.view(device, doc_id).items()), None)
        if winner is None:
            law(answer.status == 404, device.user, "gets", answer.body)
            return None
        rev, whole = winner
        doc: Doc = answer.json
        law(doc["_rev"] == str(rev) and content(doc) == content(device.shape(whole) or {}), device.user, "gets", doc)
        return doc

    async def write(
        self,
        device: Dressed,
        method: str,
        path: str,
        body: Doc | bytes | None,
        edited: Doc | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """An interactive write; `edited` is the document that it makes, as the user sees it, if `body` is not that."""
        options: Doc = {"data": body} if isinstance(body, bytes) else {"body": body}
        answer = await device.ask(method, path, headers=headers, **options)
        if edited is None:
            assert isinstance(body, dict)
            edited = body
        fresh = await self.scan()
        if answer.status not in (200, 201):
            law(not fresh, "refused and stored:", method, path, body)
            law(answer.status in (403, 404, 409), method, path, answer.status, answer.body)
            return
        rev = revisions.parse_rev(answer.json["rev"])
        law((edited["_id"], rev) in self.stored, "acknowledged and not stored:", method, path, body)
        self._shade(edited["_id"], str(rev))
        [found] = self.database.open_revs(edited["_id"], [str(rev)], revs=True)
        assert not isinstance(found, MissingRev)
        assert found.revisions is not None
        parent = Rev(found.revisions.start - 1, found.revisions.ids[1]) if len(found.revisions.ids) > 1 else None
        original = self.history.get((edited["_id"], parent)) if parent else None
        self._check_whole(device, self.history[edited["_id"], rev], edited, [original])

    # ---- the laws that hold at all times

    async def settle(self) -> None:
        """Check everything that happened since the last time. Raises Broken."""
        before = self.visible_winners()
        fresh = await self.scan()
        for device in self.devices:
            self._check_pushes(device, fresh, before)
        self._check_trees()
        for device in self.devices:
            self._check_received(device)
        self._check_answers()

    def visible_winners(self) -> dict[tuple[int, str], Doc | None]:
        """By device and document what the device sees as winner at the source."""
        return {
            (index, doc_id): next(iter(self.view(device, doc_id).values()), None)
            for index, device in enumerate(self.devices)
            for doc_id in self.trees
        }

    def view(self, device: Dressed, doc_id: str) -> dict[Rev, Doc]:
        """The source's live leaves that a device sees, the winner first, whole."""
        tree = self.trees.get(doc_id)
        live = [rev for rev in revisions.leaves(tree) if not tree[rev].deleted] if tree else []
        return {rev: self.history[doc_id, rev] for rev in live if device.shape(self.history[doc_id, rev]) is not None}

    def _check_pushes(self, device: Dressed, fresh: set[Key], before: dict[tuple[int, str], Doc | None]) -> None:
        for push in device.pushes:
            for doc in push.docs:
                self._check_push(device, push, doc, fresh, before)
        device.pushes.clear()

    def _check_push(
        self, device: Dressed, push: Push, doc: Doc, fresh: set[Key], before: dict[tuple[int, str], Doc | None]
    ) -> None:
        place = doc["_revisions"]
        path = Revisions(place["start"], tuple(place["ids"]))
        key = (doc["_id"], path.newest)
        if key in self.grafts:
            law(key not in self.history, device.name, "stored a graft", key)
            return
        known = path.newest in self.trees[doc["_id"]]
        if push.rows is not None:
            refused = any((row["id"], row["rev"]) == (doc["_id"], doc["_rev"]) for row in push.rows)
            law(known or refused, "acknowledged to", device.name, "and not stored:", doc)
            law(not (refused and key in fresh and not self._others_pushed(device, doc)), "refused and stored:", doc)
        if known:
            tree, _ = revisions.merge(self.shadow.get(doc["_id"], {}), path, deleted=doc.get("_deleted") is True)
            self.shadow[doc["_id"]] = tree
        if key in fresh:
            pushed = device.docs[doc["_id"]].bodies[path.newest]
            originals = self._originals(device, doc["_id"], path, before, fresh)
            self._check_whole(device, self.history[key], pushed, originals)

    def _others_pushed(self, device: Dressed, doc: Doc) -> bool:
        return any(
            (one["_id"], one["_rev"]) == (doc["_id"], doc["_rev"])
            for other in self.devices
            if other is not device
            for push in other.pushes
            for one in push.docs
        )

    def _originals(
        self, device: Dressed, doc_id: str, path: Revisions, before: dict[tuple[int, str], Doc | None], fresh: set[Key]
    ) -> list[Doc | None]:
        """What a pushed revision edited: its newest ancestor with a body, or else what the device saw as winner.

        The winner may have changed between the parts of one push.
        """
        for rev in path.revs()[1:]:
            if (doc_id, rev) in self.stored:
                return [self.history[doc_id, rev]]
        now = [doc for rev, doc in self.view(device, doc_id).items() if (doc_id, rev) not in fresh]
        return [before.get((self.devices.index(device), doc_id)), now[0] if now else None]

    def _check_whole(self, device: Dressed, whole: Doc, pushed: Doc, originals: list[Doc | None]) -> None:
        law(pushed.get("_deleted") == whole.get("_deleted"), "deleted:", pushed, whole)
        if pushed.get("_deleted"):
            self._check_tombstone(device, whole, pushed, originals)
            return
        shown = device.shape(whole)
        law(shown is not None and content(shown) == content(pushed), "not read back:", pushed, "but", shown)
        hidden = DRESSES[device.dress].hidden
        left = {str(visit["id"]) for visit in whole.get("visits", ())}
        expected = []
        for original in originals:
            seen = original is not None and device.shape(original) is not None
            kept = hidden(original if original is not None and seen else {})
            if "costs" in kept:
                kept["costs"] = {n: cost for n, cost in kept["costs"].items() if n in left}
            expected.append(kept)
        law(hidden(whole) in expected, "hidden parts:", hidden(whole), "instead of", expected, "pushed", pushed)

    def _check_tombstone(self, device: Dressed, whole: Doc, pushed: Doc, originals: list[Doc | None]) -> None:
        """A deletion keeps what was sent, and what tells whom it concerns; one of a deletion is like any other edit."""
        buried = {name for one in originals if one and one.get("_deleted") for name in content(one)}
        surplus = content(whole).keys() - content(pushed).keys() - {"facility"} - buried
        law(not surplus, "a tombstone keeps", surplus, whole)
        facilities = {one.get("facility") for one in originals if one is not None and device.shape(one) is not None}
        if facilities and "facility" not in pushed and device.dress != "office":
            law(whole.get("facility") in facilities, "a tombstone lost its audience:", whole)

    def _check_trees(self) -> None:
        for doc_id, tree in self.trees.items():
            shadow = self.shadow.get(doc_id, {})
            law(_form(tree) == _form(shadow), "tree of", doc_id, _form(tree), "instead of", _form(shadow))
            for rev, node in tree.items():
                grafted = (doc_id, rev) in self.grafts
                law(not (grafted and node.stored), "the source has a graft", doc_id, rev)

    def _check_received(self, device: Dressed) -> None:
        for doc in device.received:
            place = doc["_revisions"]
            path = Revisions(place["start"], tuple(place["ids"]))
            self._check_one(device, doc, path)
        device.received.clear()

    def _check_one(self, device: Dressed, doc: Doc, path: Revisions) -> None:
        doc_id, rev = doc["_id"], path.newest
        law(doc["_rev"] == str(rev), "_rev and _revisions", doc)
        whole = self.history.get((doc_id, rev))
        bare = content(doc) == {"_deleted": True}
        if whole is None:
            law(bare, device.name, "got a graft that is no deletion", doc)
            law(any(self._was_visible(device, doc_id, each) for each in path.revs()[1:]), "a graft of nothing", doc)
            self.grafts.add((doc_id, rev))
            path = Revisions(path.start - 1, path.ids[1:])
        else:
            shown = device.shape(whole)
            if shown is None:
                law(whole.get("_deleted") and bare, device.name, "got what it may not see:", doc, "of", whole)
                law(any(self._was_visible(device, doc_id, each) for each in path.revs()[1:]), "a deletion:", doc)
            else:
                law(content(shown) == content(doc), device.name, "got", doc, "instead of", shown)
        law(revisions.path_of(self.trees[doc_id], path.newest) == path, "the path of", doc)

    def _was_visible(self, device: Dressed, doc_id: str, rev: Rev) -> bool:
        return (doc_id, rev) in self.history and device.shape(self.history[doc_id, rev]) is not None

    def _check_answers(self) -> None:
        for device, request, answer in self.heard:
            for secret in SECRETS[device.dress]:
                law(secret not in answer, device.name, request, "tells", secret, answer)
            for doc_id in IDS:
                if doc_id.encode() in answer and doc_id not in device.docs:
                    seen = any(self._was_visible(device, *key) for key in self.history if key[0] == doc_id)
                    law(seen, device.name, request, "tells of", doc_id)
        self.heard.clear()

    # ---- the laws of rest

    async def rest(self) -> None:
        """Replicate until nothing changes. Raises Broken, and Aborted where a client would give up."""
        for _ in range(8):
            before = self._state()
            for device in self.devices:
                device.fuse = None
                await device.push()
                await self.settle()
                await device.pull()
                await self.settle()
            if self._state() == before:
                return
        raise Broken("replication does not come to rest")

    def _state(self) -> object:
        return self.database.update_seq, [len(device._log) for device in self.devices]

    async def check_rest(self) -> None:
        """What holds once all have replicated."""
        for device in self.devices:
            for doc_id in IDS:
                self._check_held(device, doc_id)
            await self._check_listing(device)
            await self._check_paging(device)
        self.heard.clear()

    def _check_held(self, device: Dressed, doc_id: str) -> None:
        view = self.view(device, doc_id)
        held = device.docs.get(doc_id, Held())
        where = f"{device.name} ({device.user}, {device.dress}) {doc_id}"
        for rev, whole in view.items():
            shown = device.shape(whole)
            assert shown is not None
            law(rev in held.bodies, where, "lacks", rev)
            law(content(held.bodies[rev]) == content(shown), where, held.bodies[rev], "instead of", shown)
        denied = {rev for rev in held.tree if (doc_id, str(rev)) in device.denied}
        for rev in held.live:
            stale = self.compacted and (doc_id, rev) in self.history
            law(rev in view or rev in denied or stale, where, "still has", rev, held.bodies[rev])
            law((doc_id, rev) not in self.grafts, where, "has a live graft")
        if not denied and not self.compacted:
            law(list(view) == held.live, where, "leaves", held.live, "instead of", list(view))
        for rev in revisions.leaves(held.tree) if held.tree else ():
            if held.tree[rev].deleted and rev not in denied:
                known = self.history.get((doc_id, rev), {})
                law((doc_id, rev) in self.grafts or known.get("_deleted"), where, "deleted", rev)

    async def _check_listing(self, device: Dressed) -> None:
        answer = await device.ask("GET", "/_all_docs?include_docs=true&conflicts=true")
        listed = {row["id"]: row for row in answer.json["rows"]}
        views = {doc_id: view for doc_id in IDS if (view := self.view(device, doc_id))}
        law(listed.keys() == views.keys(), device.name, "lists", listed.keys(), "instead of", views.keys())
        for doc_id, view in views.items():
            first, *others = map(str, view)
            law(listed[doc_id]["value"]["rev"] == first, device.name, "lists", listed[doc_id], "instead of", first)
            conflicts = listed[doc_id]["doc"].get("_conflicts", [])
            law(conflicts == others, device.name, doc_id, "conflicts", conflicts, "instead of", others)

    async def _check_paging(self, device: Dressed) -> None:
        path = "/_changes?style=all_docs"
        rows = (await device.ask("GET", path)).json["results"]
        for limit in (1, 2):
            paged: list[Doc] = []
            since: Any = 0
            while True:
                page = (await device.ask("GET", f"{path}&since={since}&limit={limit}")).json
                paged += page["results"]
                if len(page["results"]) < limit:
                    break
                since = page["results"][-1]["seq"]
            law(paged == rows, device.name, "pages of", limit, paged, "instead of", rows)
        announced = {row["id"] for row in rows}
        lacking = {doc_id for doc_id in IDS if self.view(device, doc_id)} - announced
        law(not lacking, device.name, "is not told of", lacking)


def _form(tree: Tree) -> dict[str, tuple[str | None, bool]]:
    """A tree without what is stored where: parents, and which leaves are deleted."""
    parents = {node.parent for node in tree.values()}
    return {
        str(rev): (str(node.parent) if node.parent else None, rev not in parents and node.deleted)
        for rev, node in sorted(tree.items())
    }


def _compacted(repository: MemoryRepository, record: Record) -> Record:
    tree = tree_of(record.tree)
    leaves = set(revisions.leaves(tree))
    slim = {rev: node if rev in leaves else Node(node.parent, False, False) for rev, node in tree.items()}
    for rev in tree.keys() - leaves:
        repository.drop_body(record.id, str(rev))
    return record._replace(tree=jsonio.dumps(revisions.to_json(slim)))


class Lab:
    """Endpoint and proxy; a database at a time."""

    def __init__(self, source: Running, site: Site) -> None:
        self._source = source
        self._site = site

    async def world(self) -> World:
        """An empty database."""
        server = self._source.server
        if "clinic" in server.names():
            await server.delete("clinic")
        world = World(self._site, await server.create("clinic"))
        await world.scan()
        return world


@asynccontextmanager
async def lab() -> AsyncIterator[Lab]:
    """Endpoint and proxy in this process."""
    async with await start(admins=dict([ADMIN]), users=USERS, iterations=10) as source:
        upstream = Source("main", source.url, auth="service", username=ADMIN[0], password=ADMIN[1])
        config = Config(
            Server(port=0, secret=b"a secret of the tests", session_ttl=3600.0),
            {"main": upstream},
            {"clinic": Database("clinic", upstream, "clinic")},
            {profile.name: profile for profile in PROFILES},
        )
        async with running(config) as (host, port), aiohttp.ClientSession(auto_decompress=False) as session:
            yield Lab(source, Site(source.url, f"http://{host}:{port}", session))
