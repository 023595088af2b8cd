"""Documents that leave the view and come back, for each driver: a deletion that it can fetch, and all of it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, TypeVar

import pytest

from tests.compatibility.drivers import ward
from tests.compatibility.drivers.cloudant import CloudantSync
from tests.compatibility.drivers.couchdb import V1, V2, V3, Replicator
from tests.compatibility.drivers.replica import Replica
from tests.compatibility.drivers.touchdb_android import Android
from tests.compatibility.drivers.touchdb_ios import IOS
from tests.compatibility.drivers.wire import Wire
from tests.compatibility.table import row
from tests.support.inprocess import Site


class Device(Protocol):
    replica: Replica

    async def pull(self) -> int: ...


Test = TypeVar("Test", bound=Callable[..., object])
Opened = Callable[[Wire], Device]
PLACE = (ward.DATABASE, ward.USER)
DEVICES: dict[str, Opened] = {
    "CouchDB 1.x": lambda wire: Replicator(wire, *PLACE, Replica(), V1),
    "CouchDB 2.x": lambda wire: Replicator(wire, *PLACE, Replica(), V2),
    "CouchDB 3.x": lambda wire: Replicator(wire, *PLACE, Replica(), V3),
    "TouchDB iOS": lambda wire: IOS(wire, *PLACE, Replica()),
    "TouchDB Android": lambda wire: Android(wire, *PLACE, Replica()),
    "Cloudant Sync": lambda wire: CloudantSync(wire, *PLACE, Replica()),
}
MOVES = "documents that leave the view and come back, attachments that come and go"
ROWS = [
    ("CouchDB replicator", "1.x"),
    ("CouchDB replicator", "2.3 to 3.2"),
    ("CouchDB replicator", "3.3 on"),
    ("TouchDB (iOS)", "–"),
    ("TouchDB (Android)", "–"),
    ("Cloudant Sync for Java", "2.4"),
]
devices = pytest.mark.parametrize("opened", list(DEVICES.values()), ids=list(DEVICES))


@pytest.fixture
async def there() -> AsyncIterator[tuple[Site, Wire]]:
    async with ward.ward() as there:
        yield there


async def move(site: Site, facility: str, **fields: Any) -> None:
    """To another facility, with all its attachments."""
    for doc_id in ("p:001", "photo:1"):
        doc = (await site.at_source("GET", f"/clinic/{doc_id}")).json
        await site.put({**doc, "facility": facility, **fields})


def moved(test: Test) -> Test:
    """A row for each of the drivers."""
    for client, version in ROWS:
        test = row("drivers", client, version, MOVES)(test)
    return test


@moved
@devices
async def test_it_is_deleted_on_the_device_and_comes_back_whole(there: tuple[Site, Wire], opened: Opened) -> None:
    site, wire = there
    device = opened(wire)
    await device.pull()
    await move(site, "f2", note="HUSH")
    assert await device.pull() == 2
    gone = {"p:001", "photo:1"}
    assert [each for each in device.replica.ids() if each[0] != "_"] == [
        each for each in ward.VISIBLE if each not in gone
    ]
    assert await device.pull() == 0
    await move(site, "f1", note="back")
    await device.pull()
    assert [device.replica.winner(each).body["note"] for each in sorted(gone)] == ["back", "back"]
    assert ward.plain(device.replica.winner("photo:1")) == ward.FILES
    assert await device.pull() == 0
    ward.nothing_hidden_in(wire)


@devices
async def test_it_leaves_and_comes_back_between_two_pulls(there: tuple[Site, Wire], opened: Opened) -> None:
    site, wire = there
    device = opened(wire)
    await device.pull()
    await move(site, "f2", note="HUSH")
    await move(site, "f1", note="back")
    assert await device.pull() == 2
    assert ward.plain(device.replica.winner("photo:1")) == ward.FILES
    ward.nothing_hidden_in(wire)


@devices
async def test_attachments_come_and_go(there: tuple[Site, Wire], opened: Opened) -> None:
    site, wire = there
    device = opened(wire)
    await device.pull()
    doc = (await site.at_source("GET", "/clinic/photo:1")).json
    del doc["_attachments"]["empty.txt"]
    doc["_attachments"]["more.txt"] = ward.attachment("text/plain", ward.WRITTEN)
    doc["_attachments"]["note.txt"] = ward.attachment("text/plain", b"another note")
    doc["_attachments"]["HUSH.png"] = ward.attachment("image/png", ward.SCAN * 2)
    await site.put(doc)
    assert await device.pull() == 1
    expected = {**ward.FILES, "more.txt": ward.WRITTEN, "note.txt": b"another note"}
    del expected["empty.txt"]
    assert ward.plain(device.replica.winner("photo:1")) == expected
    ward.nothing_hidden_in(wire)
