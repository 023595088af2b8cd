"""couchdb3, on httpx."""

from __future__ import annotations

import pytest

from tests.compatibility.clients.driver import ClientError, Driver
from tests.compatibility.clients.place import HIDDEN, VISIBLE, Place
from tests.compatibility.pypi.library import (
    FEED,
    FORBIDDEN,
    FUNCTIONS,
    attachments_work,
    by_id,
    follows,
    fresh,
    with_functions,
)
from tests.compatibility.table import row
from tests.support.clinic import BIG, patient

VERSION = "3.5.0"


@pytest.fixture
def couchdb3(place: Place) -> Driver:
    place.fill()
    client = place.python("couchdb3")
    assert place.name in client.open(place.server, place.name)
    return client


@row("pypi", "couchdb3", VERSION, "get, save, create, copy, delete, `rev`, list, find, bulk; session by cookie")
def test_couchdb3(place: Place, couchdb3: Driver) -> None:
    assert couchdb3.up()
    assert place.wire.paths("_session"), "it logs in by cookie"
    listed = couchdb3.database("all_docs", include_docs=True)["rows"]
    assert by_id([each["doc"] for each in listed]) == place.cut()
    some = couchdb3.database("all_docs", keys=["patient:1", "patient:2"])["rows"]
    assert [each.get("error") for each in some] == [None, "not_found"]
    found = couchdb3.database("find", {"name": {"$gt": None}}, fields=["_id", "ssn"], limit=2)
    assert found["docs"] == [{"_id": doc_id} for doc_id in VISIBLE[:2]]
    rest = couchdb3.database("find", {"name": {"$gt": None}}, limit=2, bookmark=found["bookmark"])["docs"]
    assert [doc["_id"] for doc in rest] == VISIBLE[2:]
    got = couchdb3.database("bulk_get", [{"id": "patient:1"}, {"id": "patient:2"}], revs=True)
    assert ["ok" in each["docs"][0] for each in got] == [True, False]
    assert got[0]["docs"][0]["ok"]["_revisions"]["start"] == 3
    assert couchdb3.contains("patient:1")
    assert not couchdb3.contains("patient:2")

    doc = couchdb3.database("get", "patient:1")
    assert couchdb3.database("rev", "patient:1") == doc["_rev"]
    couchdb3.database("save", {**doc, "name": "edited"})
    assert place.whole("patient:1") == patient(1, name="edited")
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    couchdb3.database("create", fresh(7))
    couchdb3.database("copy", "patient:7", "patient:8")
    assert place.whole("patient:8") == {**fresh(7), "_id": "patient:8"}
    third = couchdb3.database("get", "patient:3")
    assert all(each["ok"] for each in couchdb3.database("bulk_docs", [{**third, "name": "in bulk"}, fresh(9)]))
    assert place.whole("patient:3") == patient(3, name="in bulk")
    couchdb3.database("delete", "patient:7", place.rev("patient:7"))
    with pytest.raises(ClientError) as stale:
        couchdb3.database("save", {**doc, "name": "late"})
    assert stale.value.name == "ConflictError"
    assert sorted(place.cut()) == sorted([*VISIBLE, "patient:8", "patient:9"])
    place.assert_nothing_hidden(besides=["patient:2"])


@row("pypi", "couchdb3", VERSION, "attachments")
@row("pypi", "couchdb3", VERSION, FEED)
def test_couchdb3_attachments_and_changes(place: Place, couchdb3: Driver) -> None:
    attachments_work(place, couchdb3, place.rev("patient:1"))
    couchdb3.database("delete_attachment", "patient:1", "photo.png", place.rev("patient:1"))
    assert place.database.get("patient:1")["_attachments"].keys() == {"note.txt", "scan.bin"}
    with pytest.raises(ClientError) as hidden:
        couchdb3.attachment("patient:1", "scan.bin")
    assert hidden.value.name == "NotFoundError"
    named = couchdb3.database("changes", doc_ids=["patient:1", "patient:2"])
    assert [each["id"] for each in named["results"]] == ["patient:1"]
    selected = couchdb3.database("changes", selector={"ssn": {"$exists": True}})
    assert [each["id"] for each in selected["results"] if not each.get("deleted")] == []
    follows(place, couchdb3)


@row("pypi", "couchdb3", VERSION, FUNCTIONS, FORBIDDEN)
def test_couchdb3_views(place: Place) -> None:
    with_functions(place)
    client = place.python("couchdb3")
    client.open(place.server, place.name)
    for call in (("view", "mine", "all"), ("save_index", {"fields": ["ssn"]}), ("explain", {"ssn": "1"})):
        with pytest.raises(ClientError) as refused:
            client.database(*call)
        assert refused.value.name == "ForbiddenError", call
    assert place.wire.carried(*HIDDEN) == []
