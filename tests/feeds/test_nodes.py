"""Several nodes, each with an index of its own or none: whichever a device asks, it ends up with what it may see.

The nodes share nothing but the source and the secret. Devices take their tokens from one to the other, indexes are made
anew, documents come and go meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.drop import Drop
from filters.select import Select
from proxy.app import running
from proxy.config.model import Config, Database, Server, Source
from proxy.contract import Doc
from proxy.endpoint.database import Database as Stored
from proxy.endpoint.serve import start
from proxy.feeds import follower
from proxy.feeds.hub import Hub
from proxy.feeds.local import Feeds
from tests.properties.conftest import examples
from tests.support.inprocess import ADMIN, Site, profile

USERS = {"ann": ("ann", ("facility:f1",)), "cem": ("cem", ("facility:f1", "facility:f2"))}
PROFILES = [
    profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"])),
    profile("tablet", Select(where="contains(client.grants.facility, facility)")),
    profile("team", Select(where="contains(team, client.name)")),
    profile("all", Drop(paths=["ssn"])),
    # nobody can tell without a look: every change is judged
    profile("odd", Select(where="length(keys(@)) > `4` && facility == 'f1'", audience_fields=["facility"])),
]
SEES: dict[str, Callable[[Doc], bool]] = {
    "phone": lambda doc: doc["facility"] == "f1",
    "tablet": lambda doc: doc["facility"] in ("f1", "f2"),
    "team": lambda doc: "cem" in doc["team"],
    "all": lambda doc: True,
    "odd": lambda doc: doc["facility"] == "f1" and "ssn" in doc,
}
NODES = ("direct", "one", "other")
Step = tuple[str, int, int, int]


class Device:
    """Reads one view's feed, page by page, from any node. `has`: the revision of each document that it has."""

    def __init__(self, user: str, dress: str) -> None:
        self.user = user
        self.dress = dress
        self.since: Any = 0
        self.has: dict[str, str] = {}

    async def read(self, site: Site, limit: int) -> bool:
        """One page; whether there were rows."""
        path = f"/clinic-{self.dress}/_changes?style=all_docs&limit={limit}&since={self.since}"
        answer = await site.ask("GET", path, user=(self.user, self.user))
        assert answer.status == 200, answer.body
        rows = answer.json["results"]
        for row in rows:
            if row.get("deleted"):
                self.has.pop(row["id"], None)
            else:
                self.has[row["id"]] = row["changes"][0]["rev"]
        self.since = rows[-1]["seq"] if rows else answer.json["last_seq"]
        return bool(rows)


class World:
    """One database on all nodes."""

    def __init__(self, database: Stored, sites: dict[str, Site], hubs: dict[str, Hub]) -> None:
        self.database = database
        self.sites = sites
        self.hubs = hubs
        self.docs: dict[str, Doc] = {}
        self.devices = [
            Device(user, dress)
            for user, dress in [("ann", "phone"), ("cem", "tablet"), ("cem", "team"), ("ann", "all"), ("ann", "odd")]
        ]

    async def step(self, what: str, one: int, two: int, three: int) -> None:
        if what == "edit":
            await self.edit(f"doc{one % 5}", two, three)
        elif what == "renew":
            await self.renew(NODES[1 + one % 2])
        else:
            await self.devices[one % len(self.devices)].read(self.sites[NODES[two % 3]], 1 + three % 4)

    async def edit(self, doc_id: str, facility: int, more: int) -> None:
        doc: Doc = {"_id": doc_id, "facility": f"f{facility % 4}", "team": ["ann", "cem", "dan"][: more % 4]}
        if more % 3:
            doc["ssn"] = str(more)
        if doc_id in self.docs:
            doc["_rev"] = self.docs[doc_id]["_rev"]
            if more == 7:
                [updated] = await self.database.bulk_docs([{"_id": doc_id, "_rev": doc["_rev"], "_deleted": True}])
                assert updated.rev
                del self.docs[doc_id]
                return
        [updated] = await self.database.bulk_docs([doc])
        assert updated.rev
        self.docs[doc_id] = {**doc, "_rev": updated.rev}

    async def renew(self, node: str) -> None:
        hub = self.hubs[node]
        before = hub.index and hub.index.index_id
        if hub.renew is not None:
            hub.renew(before or b"")
        while hub.index is None or hub.index.index_id == before:
            await asyncio.sleep(0.005)

    async def rest(self, nodes: list[int]) -> None:
        for device in self.devices:
            turn = 0
            while await device.read(self.sites[NODES[nodes[turn % len(nodes)] % 3]], 3):
                turn += 1
            expected = {doc_id: doc["_rev"] for doc_id, doc in self.docs.items() if SEES[device.dress](doc)}
            assert device.has == expected, (device.user, device.dress)


class Stage:
    def __init__(self, server: Any, sites: dict[str, Site], feeds: dict[str, Feeds]) -> None:
        self._server = server
        self._sites = sites
        self._feeds = feeds

    async def world(self) -> World:
        if "clinic" in self._server.names():
            await self._server.delete("clinic")
        database = await self._server.create("clinic")
        hubs = {name: feeds.hubs["clinic"] for name, feeds in self._feeds.items()}
        for hub in hubs.values():
            while hub.index is None or hub.index.meta("incarnation") != database.instance_start_time:
                await asyncio.sleep(0.005)
        return World(database, self._sites, hubs)


@asynccontextmanager
async def _stage(directory: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(await start(admins=dict([ADMIN]), users=USERS, iterations=10))
        upstream = Source("main", source.url, auth="service", username=ADMIN[0], password=ADMIN[1])
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        sites, all_feeds = {}, {}
        for name in NODES:
            data = None if name == "direct" else directory / name
            config = Config(
                Server(port=0, secret=b"a secret of the tests", session_ttl=3600.0, data=data),
                {"main": upstream},
                {"clinic": Database("clinic", upstream, "clinic")},
                {each.name: each for each in PROFILES},
            )
            feeds = Feeds(config)
            host, port = await stack.enter_async_context(running(config, feeds))
            sites[name] = Site(source.url, f"http://{host}:{port}", session)
            if data is not None:
                all_feeds[name] = feeds
        yield Stage(source.server, sites, all_feeds)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Stage]]:
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(follower, "_PAUSES", (0.0,))
        context = _stage(tmp_path_factory.mktemp("indexes"))
        yield runner, runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


steps = st.lists(
    st.tuples(
        st.sampled_from(["edit", "edit", "edit", "edit", "read", "read", "read", "read", "read", "renew"]),
        st.integers(0, 9),
        st.integers(0, 5),
        st.integers(0, 8),
    ),
    max_size=50,
)


@examples(60)
@given(steps, st.lists(st.integers(0, 2), min_size=1, max_size=5))
def test_devices_have_what_they_may_see_whichever_node_they_ask(
    stage: tuple[asyncio.Runner, Stage], script: list[Step], nodes: list[int]
) -> None:
    runner, lab = stage

    async def story() -> None:
        world = await lab.world()
        for step in script:
            await world.step(*step)
        await world.rest(nodes)

    runner.run(story())
