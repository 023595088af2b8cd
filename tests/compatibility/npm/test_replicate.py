"""mikeal's `replicate`, with the proxy at either end. It keeps no checkpoint, and moves winners only."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from tests.compatibility.clients.place import VISIBLE, Place
from tests.compatibility.table import row
from tests.support.clinic import BIG, SMALL, body, patient
from tests.support.http import eventually
from tests.support.sources import SourceDatabase

VERSION = "0.2.0"
ODD = "né/1 +%25"


def directly(database: SourceDatabase) -> str:
    """The database past the proxy."""
    user = ":".join(database.source.admin)
    return f"{database.source.url.replace('://', f'://{user}@')}/{database.name}"


def contents(database: SourceDatabase) -> dict[str, Any]:
    rows = database.json("GET", "_all_docs?include_docs=true")["rows"]
    return {each["id"]: body(each["doc"]) for each in rows}


@row("npm", "replicate (Node)", VERSION, "documents and attachments piped out of the proxy")
def test_out_of_the_proxy(place: Place) -> None:
    place.fill()
    place.database.put(patient(0, _id=ODD))
    copy = place.another_database()
    client = place.driver("replicate.js")
    piped = client.run(place.url, directly(copy))
    assert sorted(each["id"] for each in piped) == sorted([*VISIBLE, "patient:6", ODD])
    assert [each for each in piped if each.get("error")] == []
    assert contents(copy) == place.cut()
    assert {doc_id: copy.get(doc_id)["_rev"] for doc_id in VISIBLE} == {i: place.rev(i) for i in VISIBLE}
    assert copy.get_attachment("patient:1", "note.txt") == SMALL
    assert client.run(place.url, directly(copy)) == []
    place.assert_nothing_hidden()


@row("npm", "replicate (Node)", VERSION, "documents and attachments piped into the proxy")
def test_into_the_proxy(place: Place) -> None:
    place.fill()
    copy = place.another_database()
    client = place.driver("replicate.js")
    client.run(place.url, directly(copy))
    copy.edit("patient:1", name="edited")
    photo = {"content_type": "image/png", "data": b64encode(b"\x89PNG small").decode()}
    fresh = {"_id": "patient:7", "facility": "f1", "name": "Name 7", "notes": []}
    copy.put({**fresh, "_attachments": {"photo.png": photo}})
    copy.put({"_id": "patient:8", "facility": "f2"})
    copy.put({"_id": ODD, "facility": "f1", "name": "odd", "notes": []})
    piped = {each["id"]: each.get("error") for each in client.run(directly(copy), place.url)}
    assert piped == {"patient:1": None, "patient:7": None, ODD: None, "patient:8": "status code is not 201."}
    assert place.whole("patient:1") == patient(1, name="edited")
    assert place.rev("patient:1") == copy.get("patient:1")["_rev"]
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    assert place.whole("patient:7") == fresh
    assert place.database.get_attachment("patient:7", "photo.png") == b"\x89PNG small"
    assert sorted(place.cut()) == sorted([*VISIBLE, "patient:7", ODD])
    place.assert_nothing_hidden()


@row(
    "npm",
    "replicate (Node)",
    VERSION,
    "`continuous`",
    "its first pass alone: with the `request` that it gets today it opens the feed of any server and never reads it",
)
def test_continuously(place: Place) -> None:
    place.fill()
    copy = place.another_database()
    client = place.driver("replicate.js")
    client.continuous(place.url, directly(copy))
    assert client.untilPushed("patient:5", place.rev("patient:5")) == []
    eventually(lambda: place.wire.paths("feed=continuous"), "the feed is opened")
    place.assert_nothing_hidden()
