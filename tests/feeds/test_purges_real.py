"""Purges of a real CouchDB, where one is at hand: COUCHDB_URL=http://admin:secret@host:port."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from proxy.feeds import follower
from tests.feeds.test_restored import in_front_of, index_id, page
from tests.support import sources

if TYPE_CHECKING:
    from pathlib import Path

COUCHDB = os.environ.get("COUCHDB_URL", "")
pytestmark = pytest.mark.skipif(not COUCHDB, reason="COUCHDB_URL is not set")


@pytest.mark.parametrize("shards", [1, 3])
async def test_what_is_purged_is_forgotten_and_what_is_put_back_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, shards: int
) -> None:
    monkeypatch.setattr(follower, "_LOOK_SECONDS", 0.05)
    caplog.set_level(logging.WARNING)
    source = sources.couchdb(COUCHDB)
    source.add_users({"ann": ()}, "ann")
    database = source.create_database("clinic")
    source.http.request("DELETE", "/clinic")
    source.http.json("PUT", f"/clinic?q={shards}")
    database.json("PUT", "_security", {"admins": {}, "members": {}})
    revs = {f"d{number}": database.put({"_id": f"d{number}", "owner": "ann"}) for number in range(9)}
    bodies = {doc_id: database.get(doc_id, "?revs=true") for doc_id in revs}

    async def purged(count: int, *ids: str) -> None:
        database.json("POST", "_purge", {doc_id: [revs[doc_id]] for doc_id in ids})
        while caplog.text.count("documents of clinic were purged") < count:
            await asyncio.sleep(0.01)

    async with in_front_of(source, tmp_path / "indexes") as at:
        old = index_id(await at.indexed())
        assert (await page(at))[0] == revs.keys()
        await purged(1, "d1", "d2", "d3")
        found, since = await page(at)
        assert found == revs.keys() - {"d1", "d2", "d3"}
        answer = await at.ask("POST", "/clinic-own/_bulk_get", {"docs": [{"id": "d1", "rev": revs["d1"]}]})
        assert "error" in answer.json["results"][0]["docs"][0]
        back: list[Any] = [bodies["d1"], bodies["d2"]]
        database.json("POST", "_bulk_docs", {"docs": back, "new_edits": False})
        assert (await page(at, since))[0] == {"d1", "d2"}
        await purged(2, "d1", "d5")
        assert (await page(at))[0] == revs.keys() - {"d1", "d3", "d5"}
        assert index_id(await at.indexed()) == old
    assert "made anew" not in caplog.text
