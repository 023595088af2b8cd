"""The replicator of a real CouchDB, in both directions, where one is at hand: COUCHDB_URL=http://admin:secret@host:port.

It must reach the proxy, which listens on 127.0.0.1.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.compatibility.drivers import ward
from tests.compatibility.drivers.wire import Wire, basic, dumps, segment
from tests.support.inprocess import Site

COUCHDB = os.environ.get("COUCHDB_URL", "")
pytestmark = pytest.mark.skipif(not COUCHDB, reason="COUCHDB_URL is not set")


class Couch:
    """A database of the real CouchDB, and its replicator."""

    def __init__(self, site: Site) -> None:
        self.wire = Wire(COUCHDB)
        self.name = f"tailor-{secrets.token_hex(6)}"
        self.proxy = site.proxy_url.replace("://", f"://{':'.join(ward.USER)}@") + f"/{ward.DATABASE}"
        self.here = f"{COUCHDB}/{self.name}"

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        parts = urlsplit(COUCHDB)
        data = b"" if body is None else dumps(body)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Content-Length": str(len(data))}
        user = basic(parts.username or "", parts.password or "")
        reply = await self.wire.send(method, path, {**headers, **user}, data)
        assert reply.status < 300, reply.body
        return reply.json

    async def get(self, doc_id: str) -> Any:
        return await self.ask("GET", f"/{self.name}/{segment(doc_id)}?attachments=true")

    async def put(self, doc: dict[str, Any]) -> str:
        return str((await self.ask("PUT", f"/{self.name}/{segment(doc['_id'])}", doc))["rev"])

    async def replicate(self, source: str, target: str) -> Any:
        """The session's figures; empty if there was nothing to do."""
        result = await self.ask("POST", "/_replicate", {"source": source, "target": target})
        return {} if result.get("no_changes") else result["history"][0]


@pytest.fixture
async def there() -> AsyncIterator[tuple[Site, Couch]]:
    async with ward.ward() as (site, _):
        couch = Couch(site)
        await couch.ask("PUT", f"/{couch.name}")
        yield site, couch
        await couch.ask("DELETE", f"/{couch.name}")
        await couch.wire.close()


async def test_it_pulls(there: tuple[Site, Couch]) -> None:
    _, couch = there
    figures = await couch.replicate(couch.proxy, couch.here)
    assert (figures["docs_written"], figures["doc_write_failures"]) == (len(ward.VISIBLE) + 4, 0)
    listed = await couch.ask("GET", f"/{couch.name}/_all_docs?include_docs=true&conflicts=true")
    assert [row["id"] for row in listed["rows"] if row["id"][0] != "_"] == ward.VISIBLE
    photo = (await couch.get("photo:1"))["_attachments"]
    assert {name: entry["data"] for name, entry in photo.items()} == {
        name: ward.PHOTO["_attachments"][name]["data"] for name in ward.FILES
    }
    conflicts = {row["id"]: row["doc"].get("_conflicts") for row in listed["rows"]}
    assert conflicts["conflict:1"] == [f"2-{ward.B}"]
    assert await couch.replicate(couch.proxy, couch.here) == {}
    await couch.ask("GET", f"/{couch.name}/_changes?include_docs=true&style=all_docs&attachments=true")
    ward.nothing_hidden_in(couch.wire)


async def test_it_pushes(there: tuple[Site, Couch]) -> None:
    site, couch = there
    await couch.replicate(couch.proxy, couch.here)
    edited = await couch.put({**await couch.get("a/b"), "note": "edited"})
    photo = await couch.ask("GET", f"/{couch.name}/photo:1")
    captioned = await couch.put({**photo, "caption": "edited"})
    files = {"é.txt": ward.attachment("text/plain", ward.WRITTEN), "e.bin": ward.attachment("a/b", b"")}
    new = await couch.put({"_id": "new:1", "facility": "f1", "_attachments": files})
    await couch.put({"_id": "bad:1", "facility": "f2"})
    figures = await couch.replicate(couch.here, couch.proxy)
    assert (figures["docs_written"], figures["doc_write_failures"]) == (3, 1)
    assert (await ward.stored(site, "a%2Fb", edited))["secret"] == "HUSH a/b"
    stored = await ward.stored(site, "photo:1", captioned)
    assert stored["caption"] == "edited"
    assert stored["_attachments"].keys() == ward.PHOTO["_attachments"].keys()
    sent = (await ward.stored(site, "new:1", new))["_attachments"]
    assert {name: entry["data"] for name, entry in sent.items()} == {
        name: entry["data"] for name, entry in files.items()
    }
    assert await couch.replicate(couch.here, couch.proxy) == {}


async def test_what_leaves_is_deleted_and_comes_back_with_its_attachments(there: tuple[Site, Couch]) -> None:
    site, couch = there
    written = (await couch.replicate(couch.proxy, couch.here))["docs_written"]
    for facility in ("f2", "f1"):
        doc = (await site.at_source("GET", "/clinic/photo:1")).json
        await site.put({**doc, "facility": facility})
        figures = await couch.replicate(couch.proxy, couch.here)
        written += 1  # the figures are those of all sessions together
        assert (figures["docs_written"], figures["doc_write_failures"]) == (written, 0)
        listed = await couch.ask("POST", f"/{couch.name}/_all_docs", {"keys": ["photo:1"]})
        assert listed["rows"][0]["value"].get("deleted", False) is (facility == "f2")
    photo = (await couch.get("photo:1"))["_attachments"]
    assert {name: entry["data"] for name, entry in photo.items()} == {
        name: ward.PHOTO["_attachments"][name]["data"] for name in ward.FILES
    }
