"""kivik, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.compatibility.drivers import Rejected, ward
from tests.compatibility.drivers.kivik import Kivik
from tests.compatibility.drivers.replica import Replica
from tests.compatibility.drivers.wire import Wire
from tests.compatibility.table import row
from tests.support.inprocess import Site

REVISIONS = len(ward.VISIBLE) + 4
"""The documents, a second leaf, two tombstones, the design document."""


@pytest.fixture
async def there() -> AsyncIterator[tuple[Site, Wire]]:
    async with ward.ward() as there:
        yield there


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
