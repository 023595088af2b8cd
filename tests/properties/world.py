"""A source, the proxy in front of it, and devices; whatever happens, the laws are checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from proxy.app import running
from proxy.config.model import Config, Database, Server, Source
from proxy.core import revisions
from proxy.endpoint.serve import Running, start
from proxy.feeds.hub import Hub
from proxy.feeds.local import Feeds
from tests.properties.device import Doc, Family
from tests.properties.dressed import Dressed
from tests.properties.dresses import PROFILES, USERS
from tests.properties.pushing import Pushes, check_whole, winners
from tests.properties.receiving import check_answers, check_held, check_listing, check_paging, check_received
from tests.properties.truth import IDS, Broken, Key, Truth, content, law
from tests.support.inprocess import ADMIN, Site
from tests.support.tap import Tap


class World:
    """One database, from its creation on. `tap`: the proxy's wire to the source; `hub`: its index, if there is one."""

    def __init__(self, site: Site, truth: Truth, tap: Tap, hub: Hub | None) -> None:
        self.truth = truth
        self.tap = tap
        self.devices: list[Dressed] = []
        self._site = site
        self._hub = hub
        self._grafts: set[Key] = set()
        self._fresh: set[Key] = set()

    def add_device(self, user: str, dress: str, family: Family = Family.POUCH, limit: int = 100) -> Dressed:
        """A device that knows nothing yet."""
        device = Dressed(self._site, self.truth, f"device{len(self.devices)}", user, dress, family, limit)
        self.devices.append(device)
        return device

    async def settle(self) -> None:
        """Check everything that happened since the last time. Raises Broken."""
        before = winners(self.devices, IDS)
        fresh = await self.truth.scan()
        Pushes(self.truth, self.devices, self._grafts, fresh, before).check()
        self.truth.check_shape()
        for device in self.devices:
            check_received(self.truth, device, self._grafts)
            check_answers(self.truth, device)
        stored = self._grafts & self.truth.stored
        law(not stored, "the source has grafts:", stored)

    # ---- over the web

    async def fetch(self, device: Dressed, doc_id: str) -> Doc | None:
        """The document as a browser of the device's user gets it, attachments included; None if there is none."""
        answer = await device.ask("GET", f"/{doc_id}?attachments=true")
        view = device.view(doc_id)
        if not view:
            law(answer.status == 404, device, "gets", answer.body)
            return None
        doc: Doc = answer.json
        rev, whole = next(iter(view.items()))
        law(doc["_rev"] == str(rev) and content(doc) == content(device.shape(whole) or {}), device, "gets", doc)
        return doc

    async def write(
        self, device: Dressed, method: str, path: str, edited: Doc, body: Doc | bytes | None = None, kind: str = ""
    ) -> None:
        """An interactive write, of `body`, that makes the document `edited`, as the user sees it. Raises Broken."""
        options: Doc = {"data": body, "headers": {"Content-Type": kind}} if isinstance(body, bytes) else {"body": body}
        answer = await device.ask(method, path, **options)
        fresh = await self.truth.scan()
        if answer.status not in (200, 201):
            law(not fresh, "refused and stored:", method, path, edited)
            law(answer.status in (403, 404, 409), method, path, answer.status, answer.body)
            return
        rev = revisions.parse_rev(answer.json["rev"])
        key = (edited["_id"], rev)
        law(key in self.truth.stored, "acknowledged and not stored:", method, path, edited)
        self.truth.shade_stored(edited["_id"], str(rev))
        # what is written without a revision is new, also on top of a deletion
        parent = revisions.parse_rev(edited["_rev"]) if "_rev" in edited else None
        original = self.truth.history[edited["_id"], parent] if parent else None
        check_whole(device, self.truth.history[key], edited, [original])

    async def compact(self) -> None:
        """The source's compaction; an index has seen all by then."""
        traced = self._hub is not None and await self._hub.fresh()
        await self.truth.compact(traced=traced)

    # ---- rest

    async def rest(self) -> None:
        """Replicate until nothing changes, and check what holds then.

        Raises Broken, and Aborted where a client would give up.
        """
        for _ in range(8):
            before = self._state()
            for device in self.devices:
                await device.push()
                await self.settle()
                await device.pull()
                await self.settle()
            if self._state() == before:
                await self._check_rest()
                return
        raise Broken("replication does not come to rest")

    def _state(self) -> object:
        return self.truth.database.update_seq, [device.changes for device in self.devices]

    async def _check_rest(self) -> None:
        for device in self.devices:
            for doc_id in IDS:
                check_held(self.truth, device, doc_id, self._grafts)
            await check_listing(device)
            await check_paging(device)
            check_answers(self.truth, device)


class Lab:
    """Endpoint and proxy; a database at a time."""

    def __init__(self, source: Running, site: Site, tap: Tap, hub: Hub | None) -> None:
        self._server = source.server
        self._hub = hub
        self._site = site
        self._tap = tap

    async def world(self) -> World:
        """An empty database."""
        if "clinic" in self._server.names():
            await self._server.delete("clinic")
        database = await self._server.create("clinic")
        truth = Truth(database)
        await truth.scan()
        while self._hub is not None and not _is_of(self._hub, database.instance_start_time):
            await asyncio.sleep(0.01)
        return World(self._site, truth, self._tap, self._hub)


def _is_of(hub: Hub, incarnation: str) -> bool:
    return hub.index is not None and hub.index.meta("incarnation") == incarnation


@asynccontextmanager
async def lab(*, tapped: bool = False, indexed: Path | None = None) -> AsyncIterator[Lab]:
    """Endpoint and proxy in this process. `tapped`: with a wire between them that can be cut; `indexed`: a directory
    for the database's feed index, if there is to be one.
    """
    async with await start(admins=dict([ADMIN]), users=USERS, iterations=10) as source:
        tap = Tap(source.port)
        url = tap.url if tapped else source.url
        upstream = Source("main", url, auth="service", username=ADMIN[0], password=ADMIN[1])
        config = Config(
            Server(port=0, secret=b"a secret of the tests", session_ttl=3600.0, data=indexed),
            {"main": upstream},
            {"clinic": Database("clinic", upstream, "clinic")},
            {profile.name: profile for profile in PROFILES},
        )
        feeds = Feeds(config)
        async with running(config, feeds) as (host, port), aiohttp.ClientSession(auto_decompress=False) as session:
            yield Lab(source, Site(source.url, f"http://{host}:{port}", session), tap, feeds.hubs.get("clinic"))
        tap.close()
