"""kivik and the Node module `replicate`, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.compatibility.drivers import Rejected, ward
from tests.compatibility.drivers.replica import Replica
from tests.compatibility.drivers.small import Kivik, Replicate
from tests.compatibility.drivers.wire import Wire, basic
from tests.compatibility.table import row
from tests.support.inprocess import ADMIN, Site

REVISIONS = len(ward.VISIBLE) + 4
"""The documents, a second leaf, two tombstones, the design document."""
ANN, ROOT = basic(*ward.USER), basic(*ADMIN)


@pytest.fixture
async def there() -> AsyncIterator[tuple[Site, Wire]]:
    async with ward.ward() as there:
        yield there


@pytest.fixture
async def copy(there: tuple[Site, Wire]) -> AsyncIterator[Wire]:
    """A wire to the source, where `copy` is an empty database."""
    site, _ = there
    assert (await site.at_source("PUT", "/copy")).status == 201
    wire = Wire(site.source_url)
    yield wire
    await wire.close()


def kivik(wire: Wire) -> Kivik:
    return Kivik(wire, ward.DATABASE, ward.USER)


@row("drivers", "kivik", "–", "documents by ETag, gzipped requests")
async def test_kivik_reads_and_writes_documents(there: tuple[Site, Wire]) -> None:
    site, wire = there
    database = kivik(wire)
    doc, _ = await database.get("a/b")
    assert doc["_rev"] == await database.get_rev("a/b")
    rev = await database.put({**doc, "note": "edited"})
    assert rev == await database.get_rev("a/b")
    stored = await ward.stored(site, "a%2Fb", rev)
    assert (stored["note"], stored["secret"]) == ("edited", "HUSH a/b")
    gone = await database.delete("a/b", rev)
    assert (await ward.stored(site, "a%2Fb", gone))["_deleted"] is True
    photo, files = await database.get("photo:1", attachments="true")
    assert set(photo["_attachments"]) == set(ward.FILES)
    assert files[ward.ODD_FILE] == ward.BINARY
    with pytest.raises(Rejected, match="404"):
        await database.get_rev("HUSH:1")
    ward.nothing_hidden_in(wire)


@row("drivers", "kivik", "–", "its replication, both ways")
async def test_kivik_replicates_both_ways(there: tuple[Site, Wire]) -> None:
    site, wire = there
    database, replica = kivik(wire), Replica()
    assert await database.replicate_into(replica) == REVISIONS
    ward.everything_visible_in(replica)
    assert await database.replicate_into(replica) == 0
    written = ward.edit(replica)
    assert await database.replicate_from(replica) == len(written)
    await ward.edits_are_whole(site, written)
    assert await database.replicate_from(replica) == 0
    ward.nothing_hidden_in(wire)


@row("drivers", "replicate (Node)", "–", "documents and attachments piped out")
async def test_replicate_pipes_out_of_the_proxy(there: tuple[Site, Wire], copy: Wire) -> None:
    """Winners only, as its feed has them."""
    site, wire = there
    pipe = Replicate(wire, f"/{ward.DATABASE}", copy, "/copy")
    assert await pipe.run(ANN, ROOT) == REVISIONS - 1
    assert await pipe.run(ANN, ROOT) == 0
    ids = [row["id"] for row in (await site.at_source("GET", "/copy/_all_docs")).json["rows"]]
    assert sorted(ids) == sorted([*ward.VISIBLE, "_design/app"])
    photo = (await site.at_source("GET", "/copy/photo:1?attachments=true")).json["_attachments"]
    assert {name: entry["data"] for name, entry in photo.items()} == {
        name: ward.PHOTO["_attachments"][name]["data"] for name in ward.FILES
    }
    ward.nothing_hidden_in(wire)


@row("drivers", "replicate (Node)", "–", "documents and attachments piped in")
async def test_replicate_pipes_into_the_proxy(there: tuple[Site, Wire], copy: Wire) -> None:
    site, wire = there
    rev = (await site.at_source("GET", "/clinic/p:001")).json["_rev"]
    files = {
        "t.txt": ward.attachment("text/plain", ward.WRITTEN),
        "b.bin": ward.attachment("application/octet-stream", ward.BINARY),
    }
    docs = [
        {"_id": "p:001", "facility": "f1", "note": "edited", "_revisions": {"start": 2, "ids": [ward.A, rev[2:]]}},
        {"_id": "né/1", "facility": "f1", "_revisions": {"start": 1, "ids": [ward.B]}},
        {"_id": "new:1", "facility": "f1", "_revisions": {"start": 1, "ids": [ward.C]}, "_attachments": files},
    ]
    assert (await site.at_source("POST", "/copy/_bulk_docs", {"new_edits": False, "docs": docs})).json == []
    pipe = Replicate(copy, "/copy", wire, f"/{ward.DATABASE}")
    assert await pipe.run(ROOT, ANN) == 3
    assert await pipe.run(ROOT, ANN) == 0
    edited = await ward.stored(site, "p:001", f"2-{ward.A}")
    assert (edited["note"], edited["secret"]) == ("edited", "HUSH p:001")
    new = await ward.stored(site, "new:1", f"1-{ward.C}")
    assert {name: entry["data"] for name, entry in new["_attachments"].items()} == {
        name: entry["data"] for name, entry in files.items()
    }
    assert (await ward.stored(site, "n%C3%A9%2F1", f"1-{ward.B}"))["facility"] == "f1"
