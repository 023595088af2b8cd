"""`couch-tailor touch` over a source in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.errors import RunError
from proxy.cli.touch import Count, touched
from proxy.config.model import Config, Database, Server
from proxy.contract import Doc
from proxy.feeds.lock import lock
from tests.compatibility.sources import Asked, Forward, Given, Script, given_json, world
from tests.support import sources
from tests.support.sources import Source, SourceDatabase
from tests.test_cli_index import Site


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    with sources.embedded_while(tmp_path_factory.mktemp("source")) as source:
        yield source


@pytest.fixture
def database(source: Source) -> SourceDatabase:
    return source.create_database("clinic")


@pytest.fixture
def site(tmp_path: Path, source: Source) -> Site:
    site = Site(tmp_path)
    site.configure(source.url)
    return site


def touch(site: Site, *names: str) -> tuple[int, str, str]:
    return site.run("touch", "-c", "clinic.toml", *names)


def test_every_document_gets_a_new_revision_and_stays_as_it_was(site: Site, database: SourceDatabase) -> None:
    text = {"content_type": "text/plain", "data": "aGVsbG8="}
    docs: list[dict[str, Any]] = [{"_id": f"doc {number:03}/é", "n": number} for number in range(250)]
    docs[7]["_attachments"] = {"a/b.txt": text}
    revs = {doc["_id"]: database.put(doc) for doc in docs}
    design = database.json("PUT", "_design/app", {})["rev"]
    assert touch(site, "clinic") == (0, "clinic: 250 documents written anew\n", "")
    for doc in docs:
        held = database.get(doc["_id"])
        assert held["_rev"].startswith("2-")
        assert held["_rev"] != revs[doc["_id"]]
        assert held["n"] == doc["n"]
    stub = database.get(docs[7]["_id"])["_attachments"]["a/b.txt"]
    assert (stub["revpos"], stub["length"]) == (1, 5)
    assert database.json("GET", "_design/app")["_rev"] == design


def test_what_cannot_be_meant_is_said(site: Site, database: SourceDatabase) -> None:
    status, _, said = touch(site, "clinci")
    assert (status, said) == (2, 'couch-tailor: touch: there is no database "clinci"; did you mean "clinic"?\n')
    status, _, said = touch(site, "stock")
    assert (status, "needs a source with an account" in said) == (2, True)


def test_it_refuses_to_work_beside_a_proxy_that_it_sees(site: Site, database: SourceDatabase) -> None:
    rev = database.put({"_id": "a"})
    with lock(site.directory / "data"):
        used = f"the data directory data is in use by another couch-tailor (process {os.getpid()})"
        remedy = "stop the proxy first, on all nodes: no device may write meanwhile"
        assert touch(site, "clinic") == (1, "", f"couch-tailor: touch: {used}; {remedy}\n")
    assert database.get("a")["_rev"] == rev
    assert touch(site, "clinic")[0] == 0


def test_it_works_where_it_cannot_see_one(site: Site, source: Source, database: SourceDatabase) -> None:
    database.put({"_id": "a"})
    (site.directory / "data" / "couch-tailor.lock").mkdir(parents=True)  # cannot be read
    done = (0, "clinic: 1 documents written anew\n", "")
    assert touch(site, "clinic") == done
    site.configure(source.url, data=None)
    assert touch(site, "clinic") == done


def test_a_source_that_does_not_answer(site: Site) -> None:
    site.configure("http://127.0.0.1:1")
    status, _, said = touch(site, "clinic")
    assert status == 1
    assert said.startswith("couch-tailor: clinic cannot be touched (0 documents were written): ")
    assert "127.0.0.1:1: " in said


async def touch_at(script: Script, *docs: Doc) -> Count:
    async with world(script, docs=docs) as there:
        database = Database("clinic", there.source, "clinic")
        return await touched(Config(Server(), {}, {"clinic": database}, {}), database)


async def test_what_is_changed_meanwhile_is_left_as_it_is() -> None:
    async def late(asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        if asked.endpoint != "_all_docs":
            return given
        rows = given.json["rows"]
        rows[0]["doc"]["_rev"] = "1-" + "0" * 32  # as it was before somebody wrote it
        return given.with_json({"rows": rows})

    count = await touch_at(late, {"_id": "a"}, {"_id": "b"})
    assert (count.written, count.changed) == (1, 1)


async def test_others_are_touched_where_the_source_refuses_one() -> None:
    async def refuse(asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        if asked.endpoint != "_bulk_docs":
            return given
        return given.with_json([{"id": "a", "error": "forbidden", "reason": "no"}, *given.json[1:]])

    async def something_else(asked: Asked, forward: Forward) -> Given:
        return given_json(200, {})

    count = await touch_at(refuse, {"_id": "a"}, {"_id": "b"})
    assert (count.written, count.refused) == (1, ["a: no"])
    with pytest.raises(RunError, match="is it a CouchDB"):
        await touch_at(something_else)
