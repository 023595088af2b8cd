"""Whatever roles and rules come and go, devices that replicate end up with what they are to see: documents leave, come
back, and go on to be edited, and a revision that was shown again is never a second one beside what came after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.app import running
from proxy.config import load
from proxy.core import revisions
from proxy.core.revisions import Rev
from proxy.cuts import memory, returns
from proxy.endpoint.serve import Running, start
from proxy.feeds import follower
from proxy.feeds.hub import Hub
from proxy.feeds.local import Feeds
from tests.properties.conftest import examples
from tests.properties.device import Device, Doc, Family, Held, Interrupted
from tests.properties.truth import law
from tests.support.inprocess import ADMIN, Answer, Site
from tests.support.proxy import to_toml

MINE = "contains(client.roles, facility)"
HIDDEN = ["ssn", "lines[?secret && !contains(client.roles, 'head')]"]
RULES: Sequence[list[Doc]] = (
    [{"use": "select", "where": MINE}, {"use": "drop", "paths": HIDDEN}],
    [{"use": "select", "where": MINE}, {"use": "drop", "paths": [*HIDDEN, "bed"]}],
    [{"use": "select", "where": f"{MINE} && !closed"}, {"use": "drop", "paths": HIDDEN}],
    [{"use": "select", "where": "owner == client.name"}, {"use": "drop", "paths": HIDDEN}],
)
"""By which documents are shown in turn, each by a node of its own."""
DOCS, DEVICES = 3, 2
STEPS = (
    "roles",
    "roles",
    "rules",
    "edit",
    "edit",
    "edit",
    "remove",
    "pull",
    "pull",
    "pull",
    "cut",
    "put",
    "push",
    "forget",
)

Step = tuple[str, int, int]
_numbers = count(1)


def sees(rules: int, roles: frozenset[str], user: str, doc: Doc) -> bool:
    if rules == 3:
        return bool(doc.get("owner") == user)
    return doc.get("facility") in roles and not (rules == 2 and doc.get("closed"))


class Lab:
    """A source and its nodes. `hubs`: their indexes, if they have any."""

    def __init__(
        self, source: Running, urls: Sequence[str], session: aiohttp.ClientSession, hubs: Sequence[Hub]
    ) -> None:
        self.server = source.server
        self.sites = [Site(source.url, url, session) for url in urls]
        self.hubs = hubs


class World:
    """A user with devices, and some documents. Others are of former examples: this user sees none of them."""

    def __init__(self, lab: Lab, families: Sequence[Family]) -> None:
        self._lab = lab
        number = next(_numbers)
        self.user = f"user{number}"
        self.ids = [f"doc{number}-{index}" for index in range(DOCS)]
        self._facilities = [f"f{number}a", f"f{number}b"]
        self.written: set[tuple[str, str, Rev]] = set()
        """What devices have written themselves, which they keep as they wrote it."""
        self.roles: frozenset[str] = frozenset()
        self.rules = 0
        self.devices = [
            Device(f"{self.user}-{index}", "brand", "clinic-phone", self._ask, family, limit=index + 1)
            for index, family in enumerate(families)
        ]
        self.lossy: set[str] = set()
        """Devices that have lost their checkpoints: they may keep what they have."""

    async def _ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        return await self._lab.sites[self.rules].ask(method, path, body, user=(self.user, "x"), **options)

    async def grant(self, roles: int) -> None:
        """Roles, as bits of a number."""
        names = [*self._facilities, "head"]
        self.roles = frozenset(name for bit, name in enumerate(names) if roles >> bit & 1)
        path, site = f"/_users/org.couchdb.user:{self.user}", self._lab.sites[0]
        held = (await site.at_source("GET", path)).json
        doc = {"name": self.user, "type": "user", "roles": ["all", *sorted(self.roles)], "password": "x"}
        revision = {"_rev": held["_rev"]} if "_rev" in held else {}
        assert (await site.at_source("PUT", path, {**doc, **revision})).status == 201

    async def source(self, doc_id: str) -> list[Doc]:
        """The live leaves, whole, the winner first."""
        found = await self._lab.sites[0].at_source("GET", f"/clinic/{doc_id}?open_revs=all")
        docs = [each["ok"] for each in found.json if "ok" in each] if found.status == 200 else []
        live = {revisions.parse_rev(doc["_rev"]): doc for doc in docs if not doc.get("_deleted")}
        return [live[rev] for rev in sorted(live, reverse=True)]

    async def edit(self, index: int, fields: int) -> None:
        """Somebody else writes a document: whose it is, and what is in it, as bits of a number."""
        doc_id = self.ids[index]
        held = next(iter(await self.source(doc_id)), {"_id": doc_id})
        bits = [bool(fields >> bit & 1) for bit in range(3)]
        doc = {
            **held,
            "facility": self._facilities[bits[0]],
            "closed": bits[1],
            "owner": self.user if bits[2] else "somebody",
            "ssn": "hidden",
            "bed": fields,
            "lines": [{"n": 1}, {"n": 2, "secret": True}],
        }
        answer = await self._lab.sites[0].at_source("PUT", f"/clinic/{doc_id}", doc)
        assert answer.status == 201, answer.body

    async def remove(self, index: int) -> None:
        for doc in (await self.source(self.ids[index]))[:1]:
            path = f"/clinic/{doc['_id']}?rev={doc['_rev']}"
            assert (await self._lab.sites[0].at_source("DELETE", path)).status == 200

    async def pull(self, device: Device) -> None:
        for hub in self._lab.hubs:
            await hub.fresh()
        await device.pull()

    def put(self, device: Device, index: int, value: int) -> None:
        doc = device.leaf(self.ids[index])
        if doc is not None:
            device.put({**doc, "note": value})
            self.written.update((device.name, doc["_id"], rev) for rev in device.docs[doc["_id"]].live)

    # ---- what holds

    async def check(self) -> None:
        """Raises Broken."""
        for device in self.devices:
            for doc_id in self.ids:
                await self._check(device, doc_id)

    async def _check(self, device: Device, doc_id: str) -> None:
        held = device.docs.get(doc_id, Held())
        if any((doc_id, str(rev)) in device.denied for rev in held.tree):
            return
        view = [doc for doc in await self.source(doc_id) if sees(self.rules, self.roles, self.user, doc)]
        bodies = [held.bodies[rev] for rev in held.live]
        if not view and device.name in self.lossy:
            return
        law(
            [_note(doc) for doc in bodies] == [_note(doc) for doc in view],
            device.name,
            "has",
            bodies,
            "instead of",
            view,
        )
        for rev, doc in zip(held.live, view, strict=True):
            whole = revisions.parse_rev(doc["_rev"])
            law(rev == whole or _parent(held, rev) == whole, device.name, "has", rev, "of", whole)
            law("ssn" not in held.bodies[rev], device.name, "knows", held.bodies[rev])
            if (device.name, doc_id, rev) not in self.written:
                lines = len(held.bodies[rev]["lines"])
                law(lines == 1 + ("head" in self.roles), device.name, sorted(self.roles), "has", held.bodies[rev])

    async def check_source(self) -> None:
        """It has no graft as a leaf, and nothing hidden was lost. Raises Broken."""
        for doc_id in self.ids:
            found = await self._lab.sites[0].at_source("GET", f"/clinic/{doc_id}?open_revs=all")
            for each in found.json if found.status == 200 else ():
                doc = each["ok"]
                law(not doc["_rev"].partition("-")[2].startswith("00000000"), "the source has", doc)
                kept = doc.get("ssn") == "hidden" and {"n": 2, "secret": True} in doc["lines"]
                law(doc.get("_deleted") or kept, "lost:", doc)


def _note(doc: Doc) -> Any:
    """What the device and the source agree upon, whatever cut the device has of an unchanged revision."""
    return doc.get("note"), doc.get("facility"), doc.get("owner"), doc.get("closed")


def _parent(held: Held, rev: Rev) -> Rev | None:
    above = revisions.path_of(held.tree, rev).revs()[1:]
    return above[0] if above else None


async def play(lab: Lab, families: Sequence[Family], steps: Sequence[Step]) -> None:
    world = World(lab, families)
    await world.grant(1)
    for index in range(DOCS):
        await world.edit(index, index)
    for name, first, second in steps:
        device = world.devices[first % len(world.devices)]
        match name:
            case "roles":
                await world.grant(second % 8)
            case "rules":
                world.rules = second % len(RULES)
            case "edit":
                await world.edit(first % DOCS, second)
            case "remove":
                await world.remove(first % DOCS)
            case "pull":
                await world.pull(device)
            case "cut":
                device.fuse = 1 + second
                try:
                    await world.pull(device)
                except Interrupted:
                    pass
                finally:
                    device.fuse = None
                if await device.lost_checkpoint():
                    world.lossy.add(device.name)
            case "put":
                world.put(device, second % DOCS, second)
            case "push":
                await device.push()
            case "forget":
                if second < 4:
                    device.forget()
                    world.lossy.add(device.name)
    for _ in range(3):
        for device in world.devices:
            await device.push()
            await world.pull(device)
    await world.check()
    await world.check_source()


@asynccontextmanager
async def _lab(directory: Path, indexed: bool) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(await start(admins=dict([ADMIN]), iterations=10))
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        assert (await Site(source.url, "", session).at_source("PUT", "/clinic")).status == 201
        urls, hubs = [], []
        for number, filters in enumerate(RULES):
            server: Doc = {"bind": "127.0.0.1:0", "secret": "a secret of all the nodes", "session_ttl": "0s"}
            if indexed:
                server["data"] = str(directory / f"data{number}")
            sections = {
                "server": server,
                "sources": {"main": {"url": source.url, "auth": "service", "username": ADMIN[0], "password": ADMIN[1]}},
                "databases": {"clinic": {}},
                "profiles": {"phone": {"databases": ["clinic"], "filters": filters}},
            }
            file = directory / f"node{number}.toml"
            file.write_text(to_toml(sections))
            config = load(file, {})
            feeds = Feeds(config)
            host, port = await stack.enter_async_context(running(config, feeds))
            urls.append(f"http://{host}:{port}")
            hubs += [feeds.hubs["clinic"]] if indexed else []
        for hub in hubs:
            while hub.index is None:
                await asyncio.sleep(0.01)
        yield Lab(source, urls, session, hubs)


class Stage:
    def __init__(self, runner: asyncio.Runner, lab: Lab) -> None:
        self._runner = runner
        self._lab = lab

    def play(self, families: Sequence[Family], steps: Sequence[Step]) -> None:
        """Raises Broken, Aborted."""
        self._runner.run(play(self._lab, families, steps))


@pytest.fixture(scope="module", params=["direct", "indexed"])
def epochs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Nodes of which each serves by rules of its own: what they remember of the others is never old."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setattr(memory, "TO_READ", 0.0)
        patch.setattr(memory, "TO_WRITE", 0.0)
        patch.setattr(returns, "SETTLE_SECONDS", 0.0)
        patch.setattr(follower, "_PAUSES", (0.01,))
        lab = _lab(tmp_path_factory.mktemp("nodes"), request.param == "indexed")
        yield Stage(runner, runner.run(lab.__aenter__()))
        runner.run(lab.__aexit__(None, None, None))


steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5), st.integers(0, 15)), min_size=5, max_size=30)
families = st.lists(st.sampled_from(list(Family)), min_size=DEVICES, max_size=DEVICES)


@examples(60)
@given(families, steps)
def test_devices_have_what_they_are_to_see(epochs: Stage, families: list[Family], steps: list[Step]) -> None:
    epochs.play(families, steps)
