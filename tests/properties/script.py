"""Random scripts: what happens to a database and its devices, one step after the other.

A step is a tuple of a name and small numbers, which choose among whatever is there at the time: so any part of a script
is a script too, and a long one that fails can be cut down to what matters.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import aiohttp
from hypothesis import strategies as st

from tests.properties import edits
from tests.properties.device import Aborted, Doc, Family, Interrupted, attachment
from tests.properties.dressed import Dressed
from tests.properties.truth import IDS
from tests.properties.world import Lab, World

Step = tuple[str, int, int, int]
"""A name, a device, a document, and which way to go about it."""

CREW: Sequence[tuple[str, str, Family, int]] = (
    ("ann", "phone", Family.POUCH, 2),
    ("ann", "phone", Family.TOUCH, 3),
    ("bob", "phone", Family.POUCH, 1),
    ("cem", "tablet", Family.POUCH, 100),
    ("cem", "tablet", Family.COUCH, 100),
    ("ann", "slim", Family.TOUCH, 1),
    ("eva", "office", Family.COUCH, 2),
    ("bob", "slim", Family.POUCH, 5),
    ("ann", "tablet", Family.POUCH, 4),
    ("cem", "ward", Family.POUCH, 2),
    ("ann", "ward", Family.TOUCH, 10),
    ("bob", "board", Family.POUCH, 3),
    ("eva", "board", Family.TOUCH, 100),
)

AT_SOURCE = ("edit", "edit", "create", "create", "move", "move", "branch", "edit_any", "bury", "remove")
ON_DEVICES = ("put", "put", "put", "put", "carry", "make", "make", "delete", "erase", "resolve")
OVER_THE_WEB = ("web_put", "web_put", "web_delete", "web_attach", "web_detach")
REPLICATING = ("push", "pull", "sync", "sync", "push_blind", "cut_push", "cut_pull", "forget", "all", "all", "at_once")

_USUAL = [*AT_SOURCE, *ON_DEVICES, *OVER_THE_WEB, *REPLICATING]


@dataclass(frozen=True)
class Script:
    """Which of the crew take part, and what happens. `begun`: devices have the documents of the source at first."""

    crew: tuple[int, ...]
    steps: tuple[Step, ...]
    begun: bool = False


def scripts(*more: str, size: int = 40) -> st.SearchStrategy[Script]:
    """Scripts of up to `size` steps. `more`: names of steps beside the usual ones."""
    step = _steps(_USUAL)
    if more:
        step = st.one_of(step, step, step, step, _steps(more))
    crew = st.lists(st.integers(0, len(CREW) - 1), min_size=2, max_size=4, unique=True)
    steps = st.lists(step, min_size=size // 2, max_size=size)
    return st.builds(Script, crew.map(tuple), steps.map(tuple), st.booleans())


def _steps(names: Sequence[str]) -> st.SearchStrategy[Step]:
    return st.tuples(st.sampled_from(names), st.integers(0, 3), st.integers(0, len(IDS) - 1), st.integers(0, 40))


async def play(lab: Lab, script: Script) -> World:
    """Carry out a script, checking all the way, and then until rest. Raises Broken, Aborted."""
    world = await lab.world()
    for index in script.crew:
        world.add_device(*CREW[index])
    player = Player(world)
    if script.begun:
        await player.begin()
    for step in script.steps:
        await player.step(*step)
    await world.rest()
    return world


class Player:
    """Carries out steps. Not each has a new number for its edits: so devices make equal ones."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._truth = world.truth
        self._number = 0
        self._branches = 0

    async def begin(self) -> None:
        """Documents of two facilities, which all devices have that may."""
        for number, doc_id in enumerate(IDS):
            await self._truth.put(edits.new(doc_id, number, whole=True))
        for device in self._world.devices:
            await device.pull()
        await self._world.settle()

    async def step(self, name: str, who: int, which: int, way: int) -> None:
        self._number += way % 2
        device = self._world.devices[who % len(self._world.devices)]
        if name in AT_SOURCE:
            await getattr(self, f"_source_{name}")(IDS[which], way)
        elif name in ON_DEVICES:
            suitable = [doc_id for doc_id in IDS if (device.leaf(doc_id) is None) == (name == "make")]
            for doc_id in suitable[which % len(suitable) :][:1] if suitable else ():
                getattr(self, f"_device_{name}")(device, doc_id, way)
        elif name in OVER_THE_WEB:
            await getattr(self, f"_{name}")(device, IDS[which], way)
        else:
            await getattr(self, f"_{name}")(device, way)
            await self._world.settle()

    def _edited(self, doc: Doc, way: int) -> Doc:
        doc = deepcopy(doc)
        edits.EDITS[way % len(edits.EDITS)](doc, self._number)
        return doc

    # ---- at the source

    async def _source_create(self, doc_id: str, way: int) -> None:
        if self._truth.leaf(doc_id) is None:
            await self._truth.put(edits.new(doc_id, way + self._number % 2, whole=way % 4 != 0))

    async def _source_edit(self, doc_id: str, way: int) -> None:
        doc = self._truth.leaf(doc_id)
        if doc is not None:
            await self._truth.put(self._edited(doc, way))

    async def _source_edit_any(self, doc_id: str, way: int) -> None:
        doc = self._truth.leaf(doc_id, way // 8)
        if doc is not None:
            await self._truth.put(self._edited(doc, way))

    async def _source_move(self, doc_id: str, way: int) -> None:
        doc = self._truth.leaf(doc_id, way // 3)
        if doc is not None:
            await self._truth.put({**doc, "facility": edits.FACILITIES[way % 3]})

    async def _source_remove(self, doc_id: str, way: int) -> None:
        doc = self._truth.leaf(doc_id, way)
        if doc is not None:
            await self._truth.put({"_id": doc_id, "_rev": doc["_rev"], "_deleted": True})

    async def _source_bury(self, doc_id: str, way: int) -> None:
        """A deletion that keeps the fields."""
        doc = self._truth.leaf(doc_id, way)
        if doc is not None:
            await self._truth.put({**doc, "_deleted": True})

    async def _source_branch(self, doc_id: str, way: int) -> None:
        truth, tree = self._truth, self._truth.trees[doc_id]
        stored = sorted(rev for rev, node in tree.items() if node.stored and not node.deleted)
        self._branches += 1
        name = hashlib.md5(b"branch %d" % self._branches, usedforsecurity=False).hexdigest()
        if stored and way % 5:
            parent = stored[way % len(stored)]
            await truth.branch(self._edited(truth.revision(doc_id, parent), way // 2), parent, name)
        else:
            await truth.branch(edits.new(doc_id, way, whole=True), None, name)

    # ---- on devices

    def _device_put(self, device: Dressed, doc_id: str, way: int) -> None:
        device.put(self._edited(_leaf(device, doc_id), way))

    def _device_carry(self, device: Dressed, doc_id: str, way: int) -> None:
        """Move the document to another facility."""
        device.put({**_leaf(device, doc_id), "facility": edits.FACILITIES[way % 3]})

    def _device_make(self, device: Dressed, doc_id: str, way: int) -> None:
        device.put(_made(device, doc_id, way))

    def _device_delete(self, device: Dressed, doc_id: str, way: int) -> None:
        device.remove(doc_id, _leaf(device, doc_id)["_rev"])

    def _device_erase(self, device: Dressed, doc_id: str, way: int) -> None:
        """A deletion that keeps fields."""
        device.put({**_leaf(device, doc_id), "_deleted": True})

    def _device_resolve(self, device: Dressed, doc_id: str, way: int) -> None:
        live = device.docs[doc_id].live
        if len(live) > 1:
            device.remove(doc_id, str(live[1 + way % (len(live) - 1)]))

    # ---- over the web, as the device's user

    async def _web_put(self, device: Dressed, doc_id: str, way: int) -> None:
        edited = self._edited(await self._world.fetch(device, doc_id) or _made(device, doc_id, way), way)
        await self._world.write(device, "PUT", f"/{doc_id}", edited, edited)

    async def _web_delete(self, device: Dressed, doc_id: str, way: int) -> None:
        doc = await self._world.fetch(device, doc_id)
        if doc is not None:
            edited = {"_id": doc_id, "_rev": doc["_rev"], "_deleted": True}
            await self._world.write(device, "DELETE", f"/{doc_id}?rev={doc['_rev']}", edited)

    async def _web_attach(self, device: Dressed, doc_id: str, way: int) -> None:
        doc = await self._world.fetch(device, doc_id)
        if doc is not None:
            name, kind = (("more.txt", "text/plain"), ("scan.png", "image/png"))[way % 2]
            data = b"web %d" % self._number
            edited = {**doc, "_attachments": {**doc.get("_attachments", {}), name: attachment(kind, data)}}
            path = f"/{doc_id}/{name}?rev={doc['_rev']}"
            await self._world.write(device, "PUT", path, edited, data, kind)

    async def _web_detach(self, device: Dressed, doc_id: str, way: int) -> None:
        doc = await self._world.fetch(device, doc_id)
        if doc is not None:
            name = sorted(doc.get("_attachments", {"scan.png": {}}))[0]
            left = {n: entry for n, entry in doc.get("_attachments", {}).items() if n != name}
            edited = {n: value for n, value in doc.items() if n != "_attachments"}
            edited |= {"_attachments": left} if left else {}
            await self._world.write(device, "DELETE", f"/{doc_id}/{name}?rev={doc['_rev']}", edited)

    # ---- replicating

    async def _push(self, device: Dressed, way: int) -> None:
        await device.push()

    async def _push_blind(self, device: Dressed, way: int) -> None:
        await device.push(blind=True)

    async def _pull(self, device: Dressed, way: int) -> None:
        await device.pull()

    async def _sync(self, device: Dressed, way: int) -> None:
        await device.push()
        await self._world.settle()
        await device.pull()

    async def _cut_push(self, device: Dressed, way: int) -> None:
        await self._cut(device, way, device.push())

    async def _cut_pull(self, device: Dressed, way: int) -> None:
        await self._cut(device, way, device.pull())

    async def _cut(self, device: Dressed, way: int, replicating: Awaitable[None]) -> None:
        device.fuse = 1 + way % 12
        try:
            await replicating
        except Interrupted:
            pass
        finally:
            device.fuse = None

    async def _fall_out(self, device: Dressed, way: int) -> None:
        """The source is lost to the proxy in the middle of a replication."""
        self._world.tap.cut(after=1 + way * way * 5)
        try:
            await (device.pull() if way % 3 == 0 else device.push())
        except (Aborted, aiohttp.ClientError):
            pass
        finally:
            self._world.tap.mend()

    async def _forget(self, device: Dressed, way: int) -> None:
        device.forget()

    async def _all(self, device: Dressed, way: int) -> None:
        for each in self._world.devices:
            await self._sync(each, way)
            await self._world.settle()

    async def _at_once(self, device: Dressed, way: int) -> None:
        """All devices at the same time: one may be told of what is gone when it asks, and has to try again."""
        jobs = [each.push() if (way + index) % 3 else each.pull() for index, each in enumerate(self._world.devices)]
        for result in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, Aborted):
                raise result

    async def _compact(self, device: Dressed, way: int) -> None:
        await self._world.compact()


def _made(device: Dressed, doc_id: str, way: int) -> Doc:
    doc = edits.new(doc_id, way, whole=False)
    return {"name" if name == "title" and device.dress == "ward" else name: value for name, value in doc.items()}


def _leaf(device: Dressed, doc_id: str) -> Doc:
    doc = device.leaf(doc_id)
    assert doc is not None
    return doc
