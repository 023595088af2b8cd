"""Hoodie's store: PouchDB underneath, with `hoodie` timestamps in each document."""

from __future__ import annotations

import pytest

from tests.compatibility.clients.driver import ClientError
from tests.compatibility.clients.place import USER, VISIBLE, Place
from tests.compatibility.table import row
from tests.support.clinic import BIG, PASSWORD, patient
from tests.support.http import eventually

HOODIE = "8.3.0"


@row("npm", "Hoodie store client", HOODIE, "pull, push, sync of all and of named documents; connect")
def test_hoodie(place: Place) -> None:
    place.fill()
    store = place.driver("hoodie.js")
    store.open("clinic", place.url)
    assert {doc["_id"] for doc in store.pull() if not doc.get("_deleted")} == set(VISIBLE)
    assert {doc["_id"]: doc["name"] for doc in store.findAll()} == {i: d["name"] for i, d in place.cut().items()}

    edited = store.update("patient:1", {"name": "edited"})
    assert [doc["_id"] for doc in store.push("patient:1")] == ["patient:1"]
    assert place.whole("patient:1") == patient(1, name="edited", hoodie=edited["hoodie"])
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG

    added = store.add({"facility": "f1", "name": "added", "notes": []})
    store.remove("patient:3")
    store.sync()
    assert place.whole(added["_id"])["name"] == "added"
    assert sorted(place.cut()) == sorted(["patient:1", "patient:5", added["_id"]])

    store.connect()
    place.database.edit("patient:1", name="from the source")
    store.untilName("patient:1", "from the source")
    store.update("patient:1", {"name": "from the store"})
    eventually(lambda: place.database.get("patient:1")["name"] == "from the store", "the store's edit at the source")
    assert place.whole("patient:1")["ssn"] == "ssn-hidden-1"
    store.disconnect()
    place.assert_nothing_hidden(store.stored)


@row("npm", "Hoodie store client", HOODIE, "sign-in by a session's cookie; edits offline, online again")
def test_hoodie_signs_in_and_works_offline(place: Place) -> None:
    place.fill()
    store = place.driver("hoodie.js")
    store.open("clinic", place.bare_url)
    with pytest.raises(ClientError) as stranger:
        store.pull()
    assert stranger.value.status == 401
    assert store.signIn(place.wire.url, USER, "wrong") == 401
    assert store.signIn(place.wire.url, USER, PASSWORD) == 200
    assert {doc["_id"] for doc in store.pull() if not doc.get("_deleted")} == set(VISIBLE)

    place.wire.cut()
    offline = store.update("patient:1", {"name": "offline"})
    added = store.add({"facility": "f1", "name": "made offline", "notes": []})
    store.remove("patient:3")
    with pytest.raises(ClientError):
        store.sync()
    place.database.edit("patient:5", name="meanwhile")
    place.wire.mend()
    store.sync()
    assert place.whole("patient:1") == patient(1, name="offline", hoodie=offline["hoodie"])
    assert place.whole(added["_id"])["name"] == "made offline"
    assert sorted(place.cut()) == sorted(["patient:1", "patient:5", added["_id"]])
    assert store.find("patient:5")["name"] == "meanwhile"

    assert store.signOut(place.wire.url) == 200
    store.update("patient:1", {"name": "signed out"})
    with pytest.raises(ClientError) as signed_out:
        store.sync()
    assert signed_out.value.status == 401
    assert place.whole("patient:1")["name"] == "offline"
    place.assert_nothing_hidden(store.stored)
