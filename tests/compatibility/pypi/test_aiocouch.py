"""aiocouch, for asyncio."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compatibility.clients.driver import ClientError, Driver
from tests.compatibility.clients.place import HIDDEN, USER, VISIBLE, Place
from tests.compatibility.pypi.library import (
    FEED,
    FORBIDDEN,
    FUNCTIONS,
    LOSER,
    attachments_work,
    by_id,
    follows,
    fresh,
    with_functions,
)
from tests.compatibility.table import row
from tests.support.clinic import PASSWORD, patient

VERSION = "4.0.1"


@pytest.fixture
def aiocouch(place: Place) -> Driver:
    place.fill()
    client = place.python("aiocouch")
    assert place.name in client.open(place.wire.url, place.name, USER, PASSWORD)
    return client


@row("pypi", "aiocouch", VERSION, "documents by id, list, prefix and revision; find; edit, copy, delete; bulk")
def test_aiocouch(place: Place, aiocouch: Driver) -> None:
    assert aiocouch.info()[1]["db_name"] == place.name
    assert aiocouch.ids() == VISIBLE
    assert by_id(aiocouch.docs()) == by_id(aiocouch.docs(prefix="patient:")) == place.cut()
    assert [doc["_id"] for doc in aiocouch.docs(["patient:3"])] == ["patient:3"]
    with pytest.raises(ClientError, match="patient:2"):
        aiocouch.docs(["patient:2", "patient:3"])
    assert [doc["_id"] for doc in aiocouch.docs(["patient:2", "patient:3"], create=True)] == ["patient:2", "patient:3"]
    assert by_id(aiocouch.find({"name": {"$gt": None}})) == place.cut()
    assert [doc["_id"] for doc in aiocouch.find({"name": {"$gt": None}}, limit=2)] == VISIBLE[:2]
    assert aiocouch.find({"ssn": {"$exists": True}}) == []
    assert aiocouch.get("patient:5", LOSER)["name"] == "left"
    about, conflicts, revs = aiocouch.about("patient:5")
    assert (about["rev"], conflicts) == (place.rev("patient:5"), [LOSER])
    assert revs[0] == place.rev("patient:5")

    aiocouch.edit("patient:1", {"name": "edited"})
    assert place.whole("patient:1") == patient(1, name="edited")
    with pytest.raises(ClientError) as stale:
        aiocouch.edit("patient:5", {"name": "late"}, f"1-{revs[1][2:]}")
    assert stale.value.name == "ConflictError"
    aiocouch.create("patient:7", fresh(7))
    aiocouch.copy("patient:7", "patient:8")
    assert place.whole("patient:8") == {**fresh(7), "_id": "patient:8"}
    created, updated = aiocouch.bulk([fresh(9)], {"patient:3": {"name": "in bulk"}, "patient:7": {"name": "too"}})
    assert all(each["ok"] for each in [*created, *updated])
    assert place.whole("patient:3") == patient(3, name="in bulk")
    aiocouch.delete("patient:7")
    with pytest.raises(ClientError) as hidden:
        aiocouch.get("patient:2")
    assert hidden.value.name == "NotFoundError"
    assert sorted(place.cut()) == sorted([*VISIBLE, "patient:8", "patient:9"])
    place.assert_nothing_hidden(besides=["patient:2"])
    aiocouch.close()


@row("pypi", "aiocouch", VERSION, "attachments")
@row("pypi", "aiocouch", VERSION, FEED)
def test_aiocouch_attachments_and_changes(place: Place, aiocouch: Driver) -> None:
    attachments_work(place, aiocouch)
    assert aiocouch.attachment("patient:1", "scan.bin") is None
    aiocouch.detach("patient:1", "photo.png")
    assert place.database.get("patient:1")["_attachments"].keys() == {"note.txt", "scan.bin"}
    rows = aiocouch.changes(include_docs=True)
    assert by_id([each["doc"] for each in rows if not each.get("deleted")]) == place.cut()
    assert aiocouch.changes(rows[-1]["seq"]) == []
    follows(place, aiocouch)


@row("pypi", "aiocouch", VERSION, FUNCTIONS, FORBIDDEN)
def test_aiocouch_views(place: Place) -> None:
    with_functions(place)
    client = place.python("aiocouch")
    client.open(place.wire.url, place.name, USER, PASSWORD)
    calls: list[tuple[str, list[Any]]] = [("view", ["mine", "all"]), ("index", [["ssn"]])]
    for op, args in calls:
        with pytest.raises(ClientError) as refused:
            client.call(op, *args)
        assert refused.value.name == "ForbiddenError"
    assert place.wire.carried(*HIDDEN) == []
