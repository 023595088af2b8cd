"""Cloudant Sync for Java, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.compatibility.drivers import Rejected, ward
from tests.compatibility.drivers.cloudant import CloudantSync
from tests.compatibility.drivers.replica import Replica
from tests.compatibility.drivers.wire import Wire
from tests.compatibility.table import row
from tests.support.inprocess import Site

STOPS = "its push stops, as with any server that refuses a document; the rest of the batch is stored"


@pytest.fixture
async def there() -> AsyncIterator[tuple[Site, Wire]]:
    async with ward.ward() as there:
        yield there


def app(wire: Wire, page: int = 1000) -> CloudantSync:
    return CloudantSync(wire, ward.DATABASE, ward.USER, Replica(), page)


@row("drivers", "Cloudant Sync for Java", "2.4", ward.PULL)
@pytest.mark.parametrize("page", [1000, 20])
async def test_it_pulls_all_that_is_visible_and_goes_on_from_there(there: tuple[Site, Wire], page: int) -> None:
    site, wire = there
    sync = app(wire, page)
    leaves = len(ward.VISIBLE) + 4
    assert await sync.pull() == leaves
    ward.everything_visible_in(sync.replica)
    rows = leaves - 1  # one document has two leaves
    assert len([each for each in wire.targets("GET") if "_changes" in each]) == rows // page + 1
    before = len(wire.sent)
    assert await sync.pull() == 0
    last = sync.replica.local[sync._checkpoint("pull")]["lastSequence"]
    assert f"since={last}" in wire.sent[-1].target
    assert len(wire.sent) == before + 3
    await site.put(ward.doc("HUSH:new", "f2"))
    await site.put(ward.doc("p:new"))
    assert await sync.pull() == 1
    ward.nothing_hidden_in(wire)


@row("drivers", "Cloudant Sync for Java", "2.4", ward.PUSH)
async def test_it_pushes_edits_into_whole_documents(there: tuple[Site, Wire]) -> None:
    site, wire = there
    sync = app(wire)
    await sync.pull()
    written = ward.edit(sync.replica)
    assert await sync.push() == len(written)
    await ward.edits_are_whole(site, written)
    assert await sync.push() == 0
    assert await sync.pull() == 0
    ward.nothing_hidden_in(wire)


@row("drivers", "Cloudant Sync for Java", "2.4", ward.REFUSED, STOPS)
async def test_a_refused_write_stops_it_and_the_rest_is_stored(there: tuple[Site, Wire]) -> None:
    """So it would be with a CouchDB that validates: any row in the reply stops this client's push."""
    site, wire = there
    sync = app(wire)
    sync.replica.edit("bad:1", facility="f2")
    sync.replica.edit("good:1", facility="f1")
    with pytest.raises(Rejected, match="forbidden"):
        await sync.push()
    assert (await site.at_source("GET", "/clinic/bad:1")).status == 404
    assert (await site.at_source("GET", "/clinic/good:1")).status == 200
