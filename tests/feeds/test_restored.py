"""A source whose files are replaced by older ones, as from a backup: what it had meanwhile is gone, and devices get
what it has, whether it was written before or after.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from filters.select import Select
from proxy.app import running
from proxy.config.model import Config, Database, Server
from proxy.config.model import Source as Configured
from proxy.feeds import follower
from proxy.feeds.hub import Hub
from proxy.feeds.index import IndexReader, Row
from proxy.feeds.local import Feeds, index_path
from proxy.feeds.restored import has_one_copy, lacks
from proxy.upstream import Upstream
from tests.compatibility.sources import Asked, Forward, Given, given_json, place, refusal
from tests.support import sources
from tests.support.inprocess import ADMIN, Site, profile
from tests.support.sources import Source, SourceDatabase

OWN = profile("own", Select(where="owner == client.name"))
REPLACED = "clinic was replaced by an older copy of itself: its index is made anew"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_PAUSES", (0.01,))


class Files:
    """The files of a source, which is stopped while they are touched."""

    def __init__(self, source: Source, directory: Path) -> None:
        assert source.process is not None
        self._process = source.process
        self._files, self._backup = directory / "data", directory / "backup"

    def save(self) -> None:
        self._process.stop()
        shutil.copytree(self._files, self._backup)
        self._process.start()

    def restore(self) -> None:
        self._process.stop()
        shutil.rmtree(self._files)
        shutil.copytree(self._backup, self._files)
        self._process.start()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    with sources.embedded_while(tmp_path) as source:
        source.add_users({"ann": ()}, "ann")
        yield source


@asynccontextmanager
async def in_front_of(source: Source, data: Path) -> AsyncIterator[Site]:
    main = Configured("main", source.url, auth="service", username=ADMIN[0], password=ADMIN[1])
    server = Server(port=0, secret=b"a secret of the tests", data=data)
    config = Config(server, {"main": main}, {"clinic": Database("clinic", main, "clinic")}, {"own": OWN})
    feeds = Feeds(config)
    async with running(config, feeds) as (host, port), aiohttp.ClientSession(auto_decompress=False) as session:
        made = Site(source.url, f"http://{host}:{port}", session)
        made.hub = feeds.hubs["clinic"]
        yield made


async def page(at: Site, since: Any = 0) -> tuple[set[str], Any]:
    answer = await at.ask("GET", f"/clinic-own/_changes?since={since}")
    assert answer.status == 200, answer.body
    return {row["id"] for row in answer.json["results"]}, answer.json["last_seq"]


def index_id(hub: Hub) -> bytes:
    assert hub.index is not None
    return hub.index.index_id


def write(database: SourceDatabase, name: str, number: int) -> set[str]:
    ids = {f"{name}{each}" for each in range(number)}
    for doc_id in ids:
        database.put({"_id": doc_id, "owner": "ann"})
    return ids


@pytest.mark.parametrize("number", [2, 8, 30])
@pytest.mark.parametrize("away", [False, True])
async def test_an_older_copy_gets_another_index_and_devices_what_is_in_it(
    source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture, number: int, away: bool
) -> None:
    """Also where as many changes were made since as were lost, or more."""
    caplog.set_level(logging.WARNING)
    database, files, data = source.create_database("clinic"), Files(source, tmp_path), tmp_path / "indexes"
    there = write(database, "saved", 10)
    files.save()
    async with in_front_of(source, data) as at:
        await at.indexed()
        lost = write(database, "lost", 8)
        found, since = await page(at)
        assert found == there | lost
        old = index_id(await at.indexed())
        if not away:
            files.restore()
            there |= write(database, "new", number)
            await at.indexed(but=old)
            assert (await page(at))[0] == there
            assert (await page(at, since))[0] == there  # what else could be said of a place that is no more
    if away:
        files.restore()
        there |= write(database, "new", number)
    async with in_front_of(source, data) as at:
        assert index_id(await at.indexed()) != old
        assert (await page(at))[0] == there
        if not away:
            assert (await page(at, since))[0] == there
    assert [text for text in caplog.messages if "made anew" in text] == [REPLACED]


async def test_a_source_that_was_stopped_keeps_its_index(
    source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database, files, data = source.create_database("clinic"), Files(source, tmp_path), tmp_path / "indexes"
    write(database, "saved", 10)
    async with in_front_of(source, data) as at:
        old = index_id(await at.indexed())
        _, since = await page(at)
        files.save()
        assert (await page(at, since))[0] == set()
        new = write(database, "new", 3)
        database.edit("saved3", owner="ann", more=1)
        assert (await page(at, since))[0] == new | {"saved3"}
        assert index_id(await at.indexed()) == old
    assert "made anew" not in caplog.text


async def test_who_builds_an_index_alone_is_told(source: Source, tmp_path: Path) -> None:
    from proxy.feeds.index import Damaged
    from proxy.feeds.local import make_follower
    from proxy.feeds.watcher import Watcher

    database, files = source.create_database("clinic"), Files(source, tmp_path)
    write(database, "saved", 3)
    files.save()
    write(database, "lost", 2)
    main = Configured("main", source.url, auth="service", username=ADMIN[0], password=ADMIN[1])
    server = Server(port=0, secret=b"a secret of the tests", data=tmp_path)
    clinic = Database("clinic", main, "clinic")
    config = Config(server, {"main": main}, {"clinic": clinic}, {"own": OWN})
    upstream = Upstream(main, 10.0)
    try:
        await make_follower(config, clinic, upstream, Watcher()).build()
        with IndexReader(index_path(tmp_path, "clinic")) as index:
            assert index.count_documents() == 5
        files.restore()
        with pytest.raises(Damaged, match="was replaced by an older copy of itself"):
            await make_follower(config, clinic, upstream, Watcher()).build()
    finally:
        upstream.close()


ROWS = [Row(1, "a", "1-a 1-b!", b"1"), Row(2, "b", "2-c", b"2")]


@pytest.mark.parametrize(
    ("missing", "changed", "expected"),
    [
        ({}, [], False),
        ({"a": {"missing": ["1-b"]}}, [], True),
        ({"a": {"missing": ["1-b"]}}, ["a"], False),  # a revision that was forgotten, of a document that has moved on
        ({"a": {"missing": ["1-b"]}, "b": {"missing": ["2-c"]}}, ["a"], True),
    ],
)
async def test_what_is_missing_was_lost_unless_the_document_has_changed(
    missing: dict[str, Any], changed: list[str], expected: bool
) -> None:
    async def script(asked: Asked, forward: Forward) -> Given:
        if asked.endpoint == "_revs_diff":
            return given_json(200, missing)
        assert asked.query == {"filter": "_doc_ids", "since": "2-x"}
        return given_json(200, {"results": [{"id": doc_id} for doc_id in changed], "last_seq": 9})

    async with place(script) as at:
        assert await lacks(at, ROWS, "2-x") is expected


async def test_a_source_that_cannot_say_is_believed() -> None:
    async def script(asked: Asked, forward: Forward) -> Given:
        return refusal(404, "not_found", "missing")

    async with place(script) as at:
        assert not await lacks(at, ROWS, 2)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"update_seq": 5}, True),
        ({"update_seq": "5-tag"}, True),
        ({"update_seq": "5-x", "cluster": {"q": 2, "n": 1}}, True),
        ({"update_seq": 5, "cluster": {"q": 2, "n": 3}}, False),
        ({"update_seq": "0-g2wAAAABaANkAA1od2tAMTI3LjAuMC4xbAAAAAJhAG4EAP____9qYQBq"}, False),
        ({}, False),
    ],
)
def test_only_of_a_source_with_one_copy_something_can_be_missing(info: dict[str, Any], expected: bool) -> None:
    assert has_one_copy(info) is expected
