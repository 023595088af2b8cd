"""Libraries that speak to the database directly: no store of their own, so what they got is what came over the wire."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest

from tests.compatibility.clients.driver import ClientError
from tests.compatibility.clients.place import HIDDEN, USER, VISIBLE, Place
from tests.compatibility.table import row
from tests.support.clinic import BIG, PASSWORD, SMALL, body, patient

NANO, CLOUDANT = "11.0.7", "0.12.19"
PHOTO = b"\x89PNG small"


@row("npm", "nano", NANO, "get, insert, bulk, fetch, list, find, head, destroy, session")
def test_nano(place: Place) -> None:
    place.fill()
    client = place.driver("nano.js")
    client.open(place.server, place.name)
    assert client.session(USER, PASSWORD)[1]["userCtx"]["name"] == USER
    assert [each["id"] for each in client.database("list")["rows"]] == VISIBLE
    fetched = client.database("fetch", {"keys": ["patient:1", "patient:99"]})["rows"]
    assert [each.get("error") for each in fetched] == [None, "not_found"]
    found = client.database("find", {"selector": {"name": {"$gt": None}}, "fields": ["_id", "ssn"]})["docs"]
    assert found == [{"_id": doc_id} for doc_id in VISIBLE]
    assert client.database("head", "patient:1")["etag"] == f'"{place.rev("patient:1")}"'

    doc = client.database("get", "patient:1")
    client.database("insert", {**doc, "name": "edited"})
    assert place.whole("patient:1") == patient(1, name="edited")
    fresh = {"_id": "patient:7", "facility": "f1", "name": "Name 7", "notes": []}
    third = client.database("get", "patient:3")
    assert all(each["ok"] for each in client.database("bulk", {"docs": [fresh, {**third, "name": "in bulk"}]}))
    assert place.whole("patient:7") == fresh
    assert place.whole("patient:3") == patient(3, name="in bulk")
    assert client.database("destroy", "patient:7", place.rev("patient:7"))["ok"]
    assert sorted(place.cut()) == VISIBLE
    place.assert_nothing_hidden()


@row("npm", "nano", NANO, "attachments by themselves and as multipart; changesReader")
def test_nano_attachments_and_changes(place: Place) -> None:
    place.fill()
    client = place.driver("nano.js")
    client.open(place.server, place.name)
    assert b64decode(client.attachment("patient:1", "note.txt")) == SMALL
    client.attach("patient:1", "photo.png", b64encode(PHOTO).decode(), "image/png", place.rev("patient:1"))
    assert place.database.get_attachment("patient:1", "photo.png") == PHOTO
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    third = client.database("get", "patient:3")
    client.multipart(third, "photo.png", b64encode(PHOTO).decode(), "image/png")
    assert place.database.get_attachment("patient:3", "photo.png") == PHOTO
    assert place.whole("patient:3") == patient(3)
    # nano makes text of it, so that only what is ASCII survives
    assert PHOTO[1:] in b64decode(client.getMultipart("patient:3"))

    client.follow()
    client.untilRow("patient:5", "right")
    place.database.edit("patient:3", name="changed")
    rows = client.untilRow("patient:3", "changed")
    assert {each["id"] for each in rows if not each.get("deleted")} == set(VISIBLE)
    client.stop()
    place.assert_nothing_hidden()


@row(
    "npm",
    "nano",
    NANO,
    "views, `_show`, `_list`, `_update`, full-text search",
    "`forbidden`: they run in the source, on what is hidden; `find` works on what is shown",
)
def test_nano_views(place: Place) -> None:
    functions = {"views": {"all": {"map": "function (doc) { emit(doc.ssn); }"}}, "shows": {"one": "doc => doc.ssn"}}
    place.database.put({"_id": "_design/mine", **functions})
    place.fill()
    client = place.driver("nano.js")
    client.open(place.server, place.name)
    asked = [
        ("view", "all"),
        ("show", "one", "patient:1"),
        ("viewWithList", "all", "one"),
        ("search", "all", {"q": "x"}),
    ]
    for method, *args in asked:
        with pytest.raises(ClientError) as refused:
            client.database(method, "mine", *args)
        assert refused.value.status == 403
    assert place.wire.carried(*HIDDEN) == []


@row("npm", "IBM Cloudant SDK", CLOUDANT, "documents, bulk, find, attachments; gzipped bodies")
def test_cloudant(place: Place) -> None:
    place.fill()
    client = place.driver("cloudant.js")
    client.open(place.wire.url, USER, PASSWORD)
    db = place.name
    assert client.ask("getDatabaseInformation", {"db": db})["dbName"] == db
    rows = client.ask("postAllDocs", {"db": db, "includeDocs": True})["rows"]
    assert {each["id"]: body(each["doc"]) for each in rows} == place.cut()
    found = client.ask("postFind", {"db": db, "selector": {"ssn": {"$exists": True}}})["docs"]
    assert found == []
    got = client.ask("postBulkGet", {"db": db, "docs": [{"id": "patient:1"}, {"id": "patient:99"}]})["results"]
    assert ["ok" in each["docs"][0] for each in got] == [True, False]

    doc = client.ask("getDocument", {"db": db, "docId": "patient:1"})
    client.ask("putDocument", {"db": db, "docId": "patient:1", "document": {**doc, "name": "edited " * 400}})
    assert place.whole("patient:1") == patient(1, name="edited " * 400)
    third = client.ask("getDocument", {"db": db, "docId": "patient:3"})
    bulk = {"docs": [{**third, "name": "in bulk " * 400}]}
    assert client.ask("postBulkDocs", {"db": db, "bulkDocs": bulk})[0]["ok"]
    assert place.whole("patient:3") == patient(3, name="in bulk " * 400)

    assert b64decode(client.attachment({"db": db, "docId": "patient:1", "attachmentName": "note.txt"})) == SMALL
    photo = {"attachmentName": "photo.png", "contentType": "image/png", "data": b64encode(PHOTO).decode()}
    client.attach({"db": db, "docId": "patient:1", "rev": place.rev("patient:1"), **photo})
    assert place.database.get_attachment("patient:1", "photo.png") == PHOTO
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    client.ask("deleteDocument", {"db": db, "docId": "patient:3", "rev": place.rev("patient:3")})
    assert sorted(place.cut()) == ["patient:1", "patient:5"]
    place.assert_nothing_hidden()


@row("npm", "IBM Cloudant SDK", CLOUDANT, "ChangesFollower, one-off and following")
def test_cloudant_changes_follower(place: Place) -> None:
    place.fill()
    client = place.driver("cloudant.js")
    client.open(place.wire.url, USER, PASSWORD)
    rows = client.changes(place.name)
    assert {each["id"]: body(each["doc"]) for each in rows if not each.get("deleted")} == place.cut()
    client.follow(place.name)
    client.untilRow("patient:5", "right")
    place.database.edit("patient:3", name="changed")
    client.untilRow("patient:3", "changed")
    client.stop()
    # its loop ends by `pending`; without that it asks on, hundreds of times a second
    assert len(place.wire.paths("_changes")) < 10
    place.assert_nothing_hidden()
