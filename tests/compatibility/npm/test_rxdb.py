"""RxDB's replication with CouchDB: it reads documents out of the changes feed and writes by `_bulk_docs` with edits."""

from __future__ import annotations

from tests.compatibility.clients.driver import Driver
from tests.compatibility.clients.place import USER, Place
from tests.compatibility.table import row
from tests.support.clinic import BIG, PASSWORD, patient
from tests.support.http import eventually
from tests.support.tap import Tap

RXDB = "17.6.0"


def replicating(place: Place) -> Driver:
    client = place.driver("rxdb.js")
    client.open("clinic")
    client.start(place.bare_url, USER, PASSWORD)
    return client


@row("npm", "RxDB", RXDB, "replication-couchdb, live: pull, edits both ways, new documents, deletions")
def test_rxdb(place: Place) -> None:
    place.fill()
    client = replicating(place)
    names = {doc["id"]: doc["name"] for doc in client.docs()}
    assert names == {doc_id: doc["name"] for doc_id, doc in place.cut().items()}

    place.database.edit("patient:3", name="from the source")
    client.untilName("patient:3", "from the source")
    client.edit("patient:1", {"name": "from the client"})
    client.insert({"id": "patient:7", "facility": "f1", "name": "Name 7", "notes": []})
    client.remove("patient:5")
    client.untilInSync()
    eventually(lambda: place.database.get("patient:1")["name"] == "from the client", "the edit at the source")
    assert place.whole("patient:1") == patient(1, name="from the client")
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    eventually(lambda: "patient:7" in place.cut(), "the new document at the source")
    eventually(lambda: place.database.get("patient:5")["name"] == "left", "the deletion of the winner")
    place.assert_nothing_hidden(client.stored)
    assert client.stop() == []


@row("npm", "RxDB", RXDB, "documents that enter and leave the view")
def test_rxdb_loses_what_leaves_its_view(place: Place) -> None:
    place.fill()
    client = replicating(place)
    place.database.edit("patient:4", facility="f1")
    client.untilName("patient:4", "Name 4")
    place.database.edit("patient:4", facility="f2", name="gone again")
    client.untilGone("patient:4")
    assert place.wire.carried("gone again", "ssn-hidden-4") == []
    assert client.stop() == []


def edit_meanwhile(place: Place, client: Driver, wire: Tap) -> None:
    """Both sides edit while the wire is cut. RxDB knows where it is in the feed from its first live change on."""
    place.database.edit("patient:3", name="before")
    client.untilName("patient:3", "before")
    wire.cut()
    client.edit("patient:1", {"name": "offline"})
    place.database.edit("patient:3", name="meanwhile")
    client.untilError("RC_")
    wire.mend()


def assert_synced(place: Place, client: Driver) -> None:
    client.untilName("patient:3", "meanwhile")
    eventually(lambda: place.whole("patient:1") == patient(1, name="offline"), "the edit at the source")
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    client.stop()
    place.assert_nothing_hidden(client.stored)


@row("npm", "RxDB", RXDB, "edits on both sides during an outage of the proxy")
def test_rxdb_works_offline(place: Place) -> None:
    place.fill()
    client = replicating(place)
    edit_meanwhile(place, client, place.wire)
    assert_synced(place, client)


@row(
    "npm",
    "RxDB",
    RXDB,
    "edits on both sides during an outage of the source",
    "has to be started again: its live pull ends at the first answer that is an error, from any server",
)
def test_rxdb_is_started_again_after_an_outage_of_the_source(place: Place) -> None:
    place.fill()
    client = replicating(place)
    edit_meanwhile(place, client, place.tap)
    client.stop()
    client.start(place.bare_url, USER, PASSWORD)
    assert_synced(place, client)


@row(
    "npm",
    "RxDB",
    RXDB,
    "a write that is refused",
    "RxDB repeats it, and does nothing else until the document is changed and the replication started again",
)
def test_rxdb_goes_on_once_a_refused_write_is_mended_and_it_starts_again(place: Place) -> None:
    place.fill()
    client = replicating(place)
    client.insert({"id": "patient:8", "facility": "f2", "name": "foreign", "notes": []})
    client.untilError("forbidden")
    place.database.edit("patient:3", name="from the source")
    assert "patient:8" not in [each["id"] for each in place.database.json("GET", "_all_docs")["rows"]]
    client.edit("patient:1", {"name": "edited"})
    client.edit("patient:8", {"facility": "f1"})
    client.stop()
    client.start(place.bare_url, USER, PASSWORD)
    client.untilName("patient:3", "from the source")
    eventually(lambda: "patient:8" in place.cut(), "the mended document")
    eventually(lambda: place.whole("patient:1") == patient(1, name="edited"), "the edit at the source")
