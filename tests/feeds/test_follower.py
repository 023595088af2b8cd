"""The follower and the feeds out of its index, in front of a source that goes on, falls over, and comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from filters.audience import Audience
from filters.drop import Drop
from filters.select import Select
from proxy.app import running
from proxy.config.model import Config, Database, Profile, Server, Source
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.errors import Unavailable
from proxy.feeds import follower as follower_module
from proxy.feeds.asking import ask_feed
from proxy.feeds.follower import Follower
from proxy.feeds.hub import Hub
from proxy.feeds.index import Damaged, IndexReader, IndexWriter, remove
from proxy.feeds.local import Feeds, index_path
from proxy.feeds.pace import Pace
from proxy.feeds.watcher import Watcher
from proxy.place import Place
from proxy.reply import Reply
from proxy.sizes import AT_ONCE
from tests.support.inprocess import ADMIN, Site, basic, profile, site

PHONE = profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]))
TEAM = profile("team", Audience(keys={"owner": "owner", "member": "team"}, client={"owner": "name", "member": "name"}))
ALL = profile("all")

BOB = ("bob", "bob")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "_PAUSES", (0.01,))


@asynccontextmanager
async def served(tmp_path: Path, *docs: dict[str, Any]) -> AsyncIterator[Site]:
    async with site(PHONE, TEAM, ALL, docs=docs, data=tmp_path) as made:
        await made.indexed()
        yield made


async def feed(at: Site, path: str, user: tuple[str, str] = ("ann", "ann")) -> dict[str, Any]:
    answer = await at.ask("GET", path, user=user)
    assert answer.status == 200, answer.body
    return dict(answer.json)


async def ids(at: Site, path: str, user: tuple[str, str] = ("ann", "ann")) -> list[tuple[str, bool]]:
    """The id of each row, and whether it is a deletion."""
    return [(row["id"], "deleted" in row) for row in (await feed(at, path, user))["results"]]


def in_index(found: dict[str, Any]) -> bool:
    """Whether a page came out of an index: its tokens are longer by a position."""
    return len(str(found["last_seq"]).partition("-")[2]) == 16 + 19 + 16


async def edit(at: Site, doc_id: str, **fields: Any) -> str:
    """Change a document at the source."""
    doc = (await at.at_source("GET", f"/clinic/{doc_id}")).json
    answer = await at.at_source("PUT", f"/clinic/{doc_id}", {**doc, **fields})
    assert answer.status == 201, answer.body
    return str(answer.json["rev"])


async def test_a_feed_has_the_clients_own_documents_in_order(tmp_path: Path) -> None:
    docs = [{"_id": f"d{n}", "facility": f"f{n % 3}", "owner": "ann" if n == 4 else "eva"} for n in range(9)]
    async with served(tmp_path, *docs) as at:
        assert in_index(await feed(at, "/clinic-phone/_changes"))
        assert await ids(at, "/clinic-phone/_changes") == [("d1", False), ("d4", False), ("d7", False)]
        assert await ids(at, "/clinic-phone/_changes", BOB) == [("d2", False), ("d5", False), ("d8", False)]
        assert await ids(at, "/clinic-team/_changes") == [("d4", False)]
        assert len(await ids(at, "/clinic-all/_changes")) == 9
        assert await ids(at, "/clinic-phone/_changes?descending=true&limit=2") == [("d7", False), ("d4", False)]
        page = await feed(at, "/clinic-phone/_changes?limit=2")
        assert (len(page["results"]), page["pending"]) == (2, 1)
        assert await ids(at, f"/clinic-phone/_changes?limit=2&since={page['last_seq']}") == [("d7", False)]
        assert await ids(at, "/clinic-phone/_changes?since=now") == []
        found = await at.ask("POST", "/clinic-phone/_changes?filter=_doc_ids", {"doc_ids": ["d7", "d8", "d1", "none"]})
        assert [row["id"] for row in found.json["results"]] == ["d1", "d7"]
        found = await at.ask("POST", "/clinic-phone/_changes?filter=_selector", {"selector": {"_id": {"$gt": "d3"}}})
        assert [row["id"] for row in found.json["results"]] == ["d4", "d7"]
        page = await feed(at, "/clinic-phone/_changes?include_docs=true&limit=1")
        assert page["results"][0]["doc"].keys() == {"_id", "_rev", "facility", "owner"}


async def test_a_document_that_leaves_is_told_of_to_those_who_had_it_and_to_nobody_else(tmp_path: Path) -> None:
    async with served(tmp_path, {"_id": "a", "facility": "f1"}, {"_id": "b", "facility": "f1"}) as at:
        since = (await feed(at, "/clinic-phone/_changes"))["last_seq"]
        bobs = (await feed(at, "/clinic-phone/_changes", BOB))["last_seq"]
        await edit(at, "a", facility="f3")
        assert await ids(at, f"/clinic-phone/_changes?since={since}") == [("a", True)]
        assert await ids(at, f"/clinic-phone/_changes?since={bobs}", BOB) == []
        told = (await feed(at, f"/clinic-phone/_changes?since={since}"))["last_seq"]
        # who was told once is not told again, whatever happens to the document elsewhere
        await edit(at, "a", facility="f4")
        assert await ids(at, f"/clinic-phone/_changes?since={told}") == []
        await edit(at, "a", facility="f1")
        assert await ids(at, f"/clinic-phone/_changes?since={told}") == [("a", False)]
        deleted = await at.at_source("DELETE", "/clinic/b?rev=" + (await at.at_source("GET", "/clinic/b")).json["_rev"])
        assert deleted.status == 200
        assert ("b", True) in await ids(at, f"/clinic-phone/_changes?since={told}")
        assert await ids(at, f"/clinic-phone/_changes?since={bobs}", BOB) == []


async def test_what_came_and_went_before_the_index_was_built_is_told_of(tmp_path: Path) -> None:
    """A device that had it from another node, or before, hears of it."""
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1"}, {"_id": "b", "facility": "f1"}]) as direct:
        since = (await feed(direct, "/clinic-phone/_changes"))["last_seq"]
        assert since
        for facility in ("f2", "f3"):
            await edit(direct, "a", facility=facility)
        async with _in_front_of(direct, tmp_path) as at:
            await at.indexed()
            assert ("a", True) in await ids(at, f"/clinic-phone/_changes?since={since}")
            assert ("a", True) in await ids(at, "/clinic-phone/_changes", BOB)


async def test_what_came_back_and_went_again_between_two_looks_is_told_of(tmp_path: Path) -> None:
    """A device that asked for the document meanwhile had it; PouchDB asks for the latest of what it is told."""
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1"}]) as direct:
        async with _in_front_of(direct, tmp_path) as at:
            await at.indexed()
            await edit(direct, "a", facility="f2")
            page = await feed(at, "/clinic-phone/_changes")
            assert [(row["id"], "deleted" in row) for row in page["results"]] == [("a", True)]
        await edit(direct, "a", facility="f1")
        assert (await direct.ask("GET", "/clinic-phone/a")).status == 200
        await edit(direct, "a", facility="f3")
        async with _in_front_of(direct, tmp_path) as at:
            await at.indexed()
            page = await feed(at, f"/clinic-phone/_changes?since={page['last_seq']}")
            assert [(row["id"], "deleted" in row) for row in page["results"]] == [("a", True)]


async def test_a_longpoll_ends_well_when_another_index_takes_the_place_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in that one by then: what is to come is not known, and the client asks again."""
    monkeypatch.setattr("proxy.reading.changes.BREATH_SECONDS", 0.0)
    async with served(tmp_path, {"_id": "a", "facility": "f1"}) as at:
        hub = await at.indexed()
        since = (await feed(at, "/clinic-phone/_changes"))["last_seq"]
        waiting = asyncio.ensure_future(feed(at, f"/clinic-phone/_changes?feed=longpoll&since={since}&heartbeat=60000"))
        while not hub.waiting:
            await asyncio.sleep(0.001)
        assert hub.index is not None
        path = hub.index.path
        hub.closed()
        hub.opened(path)
        hub.end += 1
        assert await waiting == {"results": [], "last_seq": since, "pending": 0}


@asynccontextmanager
async def _in_front_of(other: Site, tmp_path: Path, view: Profile = PHONE) -> AsyncIterator[Site]:
    """A node with an index in front of the same source."""
    source = Source("main", other.source_url, auth="service", username=ADMIN[0], password=ADMIN[1])
    clinic = Database("clinic", source, "clinic")
    server = Server(port=0, secret=b"a secret of the tests", data=tmp_path)
    config = Config(server, {"main": source}, {"clinic": clinic}, {"phone": view})
    feeds = Feeds(config)
    async with running(config, feeds) as (host, port):
        made = Site(other.source_url, f"http://{host}:{port}", other.session)
        made.hub = feeds.hubs["clinic"]
        yield made


async def test_a_client_reads_what_it_has_just_written(tmp_path: Path) -> None:
    async with served(tmp_path) as at:
        since: Any = 0
        for number in range(30):
            put = await at.ask("PUT", f"/clinic-phone/d{number}", {"facility": "f1"})
            assert put.status == 201
            page = await feed(at, f"/clinic-phone/_changes?since={since}")
            assert [row["id"] for row in page["results"]] == [f"d{number}"]
            since = page["last_seq"]


async def test_devices_that_wait_cost_the_source_one_feed(tmp_path: Path) -> None:
    async with served(tmp_path, {"_id": "a", "facility": "f1"}) as at:
        since = (await feed(at, "/clinic-phone/_changes"))["last_seq"]
        hub = await at.indexed()
        waiting = [
            asyncio.ensure_future(feed(at, f"/clinic-phone/_changes?feed=longpoll&since={since}&heartbeat=60000", user))
            for user in [("ann", "ann")] * 10 + [BOB] * 10
        ]
        while hub.waiting < 20:
            await asyncio.sleep(0.005)
        assert at.server is not None
        assert len(at.server.database("clinic")._waiters) == 1  # the follower's own
        await edit(at, "a", facility="f1", weight=2)
        for done in waiting[:10]:
            assert [row["id"] for row in (await done)["results"]] == ["a"]
        assert hub.waiting == 10
        await at.put({"_id": "b", "facility": "f2"})
        for done in waiting[10:]:
            assert [row["id"] for row in (await done)["results"]] == ["b"]
        assert hub.waiting == 0


async def test_a_continuous_feed_goes_on_over_many_changes(tmp_path: Path) -> None:
    async with served(tmp_path) as at:
        url = f"{at.proxy_url}/clinic-phone/_changes?feed=continuous&heartbeat=60000&since=0"
        async with at.session.get(url, headers=basic(("ann", "ann"))) as reply:
            for number in range(20):
                await at.put({"_id": f"other{number}", "facility": "f2"})
                await at.put({"_id": f"d{number}", "facility": "f1"})
                line = b""
                while not line.strip():
                    line = await reply.content.readline()
                assert jsonio.loads(line)["id"] == f"d{number}"


async def test_a_database_made_anew_is_recognised_and_devices_start_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, *({"_id": f"d{n}", "facility": "f1"} for n in range(5))) as at:
        hub = await at.indexed()
        assert hub.index is not None
        old = hub.index.index_id
        since = (await feed(at, "/clinic-phone/_changes"))["last_seq"]
        await at.at_source("DELETE", "/clinic")
        while hub.index is not None:
            await asyncio.sleep(0.005)
        assert (await at.ask("GET", f"/clinic-phone/_changes?since={since}")).status == 404
        while "cannot be followed until it is there" not in caplog.text:
            await asyncio.sleep(0.005)
        assert caplog.messages[-1].endswith(
            "clinic cannot be followed until it is there: sources.main has no database clinic (Database does not "
            "exist.); make it there, or mend databases.clinic"
        )
        await at.at_source("PUT", "/clinic")
        await at.put({"_id": "new", "facility": "f1"})
        await at.indexed(but=old)
        assert await ids(at, f"/clinic-phone/_changes?since={since}") == [("new", False)]


async def test_a_file_that_is_damaged_while_it_is_read_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    docs = [{"_id": f"d{n}", "facility": f"f{n % 3}"} for n in range(300)]
    async with served(tmp_path, *docs) as at:
        hub = await at.indexed()
        since = (await feed(at, "/clinic-phone/_changes?limit=10"))["last_seq"]
        assert hub.index is not None
        old = hub.index.index_id
        writer(hub)._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _scribble(index_path(tmp_path, "clinic"), 4096)
        hub.index._db.execute("PRAGMA shrink_memory")
        # a feed that comes upon it is cut off or answered in full, by the source if need be
        while hub.index is not None and hub.index.index_id == old:
            with suppress(aiohttp.ClientPayloadError):
                answer = await at.ask("GET", "/clinic-phone/_changes")
                assert answer.status == 502 or len(answer.json["results"]) == 100
        await at.indexed(but=old)
        assert len(await ids(at, "/clinic-phone/_changes")) == 100
        assert len(await ids(at, f"/clinic-phone/_changes?since={since}")) >= 90
        assert "the index of clinic is made anew" in caplog.text


def follower_of(hub: Hub) -> Follower:
    follower = getattr(hub.ask, "__self__", None)
    assert isinstance(follower, Follower)
    return follower


def writer(hub: Hub) -> IndexWriter:
    """The follower's side of an index."""
    index = follower_of(hub)._index
    assert index is not None
    return index


def _scribble(path: Path, where: int) -> None:
    with path.open("r+b") as file:
        file.seek(where)
        file.write(b"\xff" * (path.stat().st_size - where))


async def test_a_damaged_file_is_found_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    docs = [{"_id": f"d{n}", "facility": f"f{n % 3}"} for n in range(300)]
    async with site(PHONE, docs=docs) as direct:
        async with _in_front_of(direct, tmp_path) as at:
            old = (await at.indexed()).index
            assert old is not None
            name = old.index_id
        path = index_path(tmp_path, "clinic")
        assert not path.with_name(path.name + "-wal").exists()
        _scribble(path, 4096)
        caplog.set_level(logging.WARNING)
        async with _in_front_of(direct, tmp_path) as at:
            await at.indexed(but=name)
            assert len(await ids(at, "/clinic-phone/_changes")) == 100
        assert "the index of clinic is made anew" in caplog.text


@pytest.mark.parametrize("trouble", [Damaged("scribbled"), follower_module._Renewed()])
async def test_what_a_clients_request_comes_upon_is_seen_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """The follower itself waits for the source at that time, and would not notice."""

    async def for_ever(self: Follower) -> None:
        await asyncio.Event().wait()

    apply, left = IndexWriter.apply, [trouble]

    def apply_once_not(self: IndexWriter, *given: Any) -> set[int]:
        if left:
            raise left.pop()
        return apply(self, *given)

    monkeypatch.setattr(Follower, "_longpoll", for_ever)
    async with served(tmp_path, {"_id": "a", "facility": "f1"}) as at:
        await feed(at, "/clinic-phone/_changes")
        hub = await at.indexed()
        assert hub.index is not None
        old = hub.index.index_id
        monkeypatch.setattr(IndexWriter, "apply", apply_once_not)
        await at.put({"_id": "b", "facility": "f1"})
        assert await ids(at, "/clinic-phone/_changes") == [("a", False), ("b", False)]
        await at.indexed(but=old)
        assert in_index(await feed(at, "/clinic-phone/_changes"))
        assert await ids(at, "/clinic-phone/_changes") == [("a", False), ("b", False)]


async def test_each_trouble_is_told_of_once_with_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails, longpoll = asyncio.Event(), Follower._longpoll

    async def longpoll_or_not(self: Follower) -> None:
        if fails.is_set():
            raise Unavailable("The source is away.")
        await longpoll(self)

    monkeypatch.setattr(Follower, "_longpoll", longpoll_or_not)
    tries = 0
    ask_info = Follower._ask_info

    async def count_tries(self: Follower) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        if fails.is_set():
            raise Unavailable("The source is away.")
        return await ask_info(self)

    async with served(tmp_path, {"_id": "a", "facility": "f1"}) as at:
        monkeypatch.setattr(Follower, "_ask_info", count_tries)
        for number in range(3):
            caplog.clear()
            tries = 0
            fails.set()
            await at.put({"_id": f"wakes the follower {number}", "facility": "f1"})
            while tries < 4:
                await asyncio.sleep(0.005)
            fails.clear()
            while "is followed again" not in caplog.text:
                await asyncio.sleep(0.005)
            assert caplog.messages == [
                "clinic cannot be followed, trying again: The source is away.",
                "clinic is followed again",
            ]


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_source_that_is_away_is_asked_often_while_somebody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, awaited: bool
) -> None:
    """For a feed that waits would hear of a change that much later than the source is back."""
    monkeypatch.setattr(follower_module, "_PAUSES", (0.2, 1.0, 3.0, 10.0))
    pauses: list[float] = []
    slept = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 20:
            slept.set()
        await asyncio.sleep(0)

    async def away(self: Follower) -> None:
        raise Unavailable("The source is away.")

    async with served(tmp_path) as at:
        hub = await at.indexed()
        waiting = [asyncio.ensure_future(hub.wait(frozenset({1})))] if awaited else []
        await asyncio.sleep(0)
        monkeypatch.setattr(follower_module, "_sleep", sleep)
        monkeypatch.setattr(Follower, "_ask_info", away)
        monkeypatch.setattr(Follower, "_change", away)
        await at.put({"_id": "wakes the follower"})
        await slept.wait()
        for task in waiting:
            task.cancel()
    later = pauses[4:20]
    assert pauses[0] <= 0.2
    assert (1.0 if awaited else 5.0) <= min(later)
    assert max(later) <= (2.0 if awaited else 10.0)
    assert len(set(later)) > 1  # not all followers at the same time


async def test_a_source_without_the_database_is_not_asked_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for an index that there is not."""
    monkeypatch.setattr(follower_module, "_PAUSES", (10.0,))
    pauses: list[float] = []
    slept = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if hub.index is None:
            pauses.append(seconds)
            slept.set()
        await asyncio.sleep(0)

    async with served(tmp_path) as at:
        hub = await at.indexed()
        monkeypatch.setattr(follower_module, "_sleep", sleep)
        waiting = asyncio.ensure_future(hub.wait(None))
        await asyncio.sleep(0)
        await at.at_source("DELETE", "/clinic")
        await slept.wait()
        assert 5.0 <= pauses[0] <= 10.0
        with pytest.raises(Unavailable):
            await waiting


async def test_a_full_disk_leaves_feeds_to_the_source(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path, {"_id": "a", "facility": "f1"}) as at:
        hub = await at.indexed()
        index = writer(hub)
        pages = index._db.execute("PRAGMA page_count").fetchone()[0]
        index._db.execute(f"PRAGMA max_page_count = {pages + 1}")
        for number in range(400):
            await at.put({"_id": f"document with a long id {number}" * 5, "facility": "f1"})
        page = await feed(at, "/clinic-phone/_changes")
        assert len(page["results"]) == 401
        while "cannot be written" not in caplog.text:
            await asyncio.sleep(0.005)
        # once there is room again, the index goes on where it stopped
        hub = await at.indexed()
        page = await feed(at, "/clinic-phone/_changes")
        assert len(page["results"]) == 401


async def test_an_index_is_used_again_after_a_restart(tmp_path: Path) -> None:
    docs = [{"_id": f"d{n}", "facility": "f1"} for n in range(20)]
    async with site(PHONE, docs=docs) as direct:
        async with _in_front_of(direct, tmp_path) as at:
            first = (await at.indexed()).index
            assert first is not None
            name = first.index_id
            since = (await feed(at, "/clinic-phone/_changes?limit=5"))["last_seq"]
        await direct.put({"_id": "while away", "facility": "f1"})
        async with _in_front_of(direct, tmp_path) as at:
            again = (await at.indexed()).index
            assert again is not None
            assert again.index_id == name
            rows = await ids(at, f"/clinic-phone/_changes?since={since}")
            assert len(rows) == 16
            assert rows[-1] == ("while away", False)


async def test_a_build_that_is_interrupted_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: what was stored stays, and nobody takes it for all there is."""
    docs = [{"_id": f"d{n}", "facility": f"f{n % 3}"} for n in range(1000)]
    async with site(PHONE, docs=docs) as direct:
        await edit(direct, "d1", facility="f2")
        await edit(direct, "d2", facility="f1")
        apply, stored = IndexWriter.apply, list[int]()

        def apply_twice(self: IndexWriter, entries: list[Any], since: Any) -> set[int]:
            if len(stored) == 2:
                raise RuntimeError("the machine is gone")
            stored.append(len(entries))
            return apply(self, entries, since)

        monkeypatch.setattr(IndexWriter, "apply", apply_twice)
        async with _in_front_of(direct, tmp_path):
            while len(stored) < 2:
                await asyncio.sleep(0.005)
        path = index_path(tmp_path, "clinic")
        with IndexReader(path) as reader:
            name, begun = reader.index_id, reader.end
            assert reader.meta("complete") is None
            assert reader.count_documents() == begun == sum(stored) < 1000
        monkeypatch.setattr(IndexWriter, "apply", apply)
        async with _in_front_of(direct, tmp_path) as at:
            index = (await at.indexed()).index
            assert index is not None
            assert (index.index_id, index.end) == (name, 1000)
            rows = await ids(at, "/clinic-phone/_changes")
            assert [row for row in rows if row[1]] == [("d1", True)]
            assert len(rows) == 334


async def test_only_what_is_built_beside_others_gives_way_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    number = 2 * AT_ONCE + 1

    class Counted(Pace):
        async def end(self) -> None:
            kept.append(1)
            await super().end()

    monkeypatch.setattr(follower_module, "Pace", Counted)
    async with site(PHONE, docs=[{"_id": f"d{n}", "facility": "f1"} for n in range(number)]) as direct:
        async with _in_front_of(direct, tmp_path) as at:
            follower = follower_of(await at.indexed())
            assert len(kept) == 3
            await direct.put({"_id": "later", "facility": "f1"})
            assert ("later", False) in await ids(at, "/clinic-phone/_changes")
            assert len(kept) == 3  # clients wait for this
            place, audiences = follower._place, [PHONE.audience]
        alone = Follower(place, tmp_path / "alone.index", [each for each in audiences if each], Watcher())
        await alone.build()
        assert len(kept) == 3
        with IndexReader(tmp_path / "alone.index") as reader:
            assert (reader.meta("complete"), reader.count_documents()) == (1, number + 1)


async def test_pages_are_small_while_a_build_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def counted(place: Place, since: Any, pairs: Pairs) -> Reply:
        asked.append(dict(pairs)["limit"])
        return await ask_feed(place, since, pairs)

    monkeypatch.setattr(follower_module, "ask_feed", counted)
    monkeypatch.setattr(follower_module, "_SMALL_PAGE", 200)
    monkeypatch.setattr(follower_module, "Pace", partial(Pace, times=lambda process: None))  # nobody is kept waiting
    docs = [{"_id": f"d{n}", "facility": "f1"} for n in range(1500)]
    async with site(PHONE, docs=docs) as direct, _in_front_of(direct, tmp_path) as at:
        hub = await at.indexed()
        assert hub.index is not None
        assert hub.index.count_documents() == 1500
        pages = [limit for limit in asked if limit != "1"]
        assert (pages[0], pages[-1]) == ("200", "10000")


async def test_other_rules_make_the_index_anew(tmp_path: Path) -> None:
    other = profile("phone", Audience(keys={"facility": "ward"}))
    docs = [{"_id": "a", "facility": "f1", "ward": "f2"}, {"_id": "b", "facility": "f2", "ward": "f1"}]
    async with site(PHONE, docs=docs) as direct:
        async with _in_front_of(direct, tmp_path) as at:
            await at.indexed()
            assert await ids(at, "/clinic-phone/_changes") == [("a", False)]
            index = (await at.indexed()).index
            assert index is not None
            before = index.index_id
        async with _in_front_of(direct, tmp_path, other) as at:
            await at.indexed(but=before)
            assert await ids(at, "/clinic-phone/_changes") == [("b", False)]


async def test_an_index_that_cannot_be_deleted_leaves_feeds_to_the_source_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a directory that somebody else owns."""
    fails, tries = [True], list[Path]()

    def remove_or_not(path: Path) -> None:
        tries.append(path)
        if fails:
            raise PermissionError(13, "Permission denied")
        remove(path)

    async with served(tmp_path, {"_id": "a", "facility": "f1"}) as at:
        hub = await at.indexed()
        assert hub.index is not None
        old = hub.index.index_id
        monkeypatch.setattr(follower_module, "remove", remove_or_not)
        writer(hub).set_meta("rules", "other")
        follower_of(hub)._raise_alarm(Damaged("scribbled"))
        while len(tries) < 3:
            await asyncio.sleep(0.001)
        page = await feed(at, "/clinic-phone/_changes")
        assert [row["id"] for row in page["results"]] == ["a"]
        assert not in_index(page)
        fails.clear()
        await at.indexed(but=old)
        assert in_index(await feed(at, "/clinic-phone/_changes"))
    assert caplog.messages == [
        "the index of clinic cannot be written, feeds are read from the source: [Errno 13] Permission denied",
        "the index of clinic is made anew: it was made with another rules",
        "clinic is followed again",
    ]
