"""CouchDB-Python, the oldest of them."""

from __future__ import annotations

import sys

import pytest

from tests.compatibility.clients.driver import ClientError, Driver
from tests.compatibility.clients.place import HIDDEN, USER, VISIBLE, Place
from tests.compatibility.pypi.library import FEED, FORBIDDEN, attachments_work, by_id, follows, fresh, with_functions
from tests.compatibility.table import row
from tests.support.clinic import BIG, PASSWORD, SMALL, patient

VERSION = "1.2"
pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="it needs the module cgi, which Python 3.13 has not"
)


@pytest.fixture
def couchdb(place: Place) -> Driver:
    place.fill()
    client = place.python("couchdb")
    assert place.name in client.open(place.server, place.name)
    return client


@row("pypi", "CouchDB-Python", VERSION, "dictionary of documents, save, update, copy, revisions, list, find")
def test_couchdb(place: Place, couchdb: Driver) -> None:
    assert couchdb.names() == VISIBLE
    assert couchdb.contains("patient:1")
    assert not couchdb.contains("patient:2")
    for rows in couchdb.listed(include_docs=True):
        assert by_id([each["doc"] for each in rows]) == place.cut()
    assert couchdb.database("get", "patient:2") is None
    assert couchdb.database("find", {"selector": {"ssn": {"$exists": True}}}) == []
    assert couchdb.revisions("patient:5")[0] == place.rev("patient:5")

    doc = couchdb.database("get", "patient:1")
    edited = couchdb.set("patient:1", {**doc, "name": "edited"})
    assert (place.whole("patient:1"), edited["_rev"]) == (patient(1, name="edited"), place.rev("patient:1"))
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    couchdb.database("save", fresh(7))
    couchdb.database("copy", "patient:7", "patient:8")
    assert place.whole("patient:8") == {**fresh(7), "_id": "patient:8"}
    third = couchdb.database("get", "patient:3")
    batch = [{**third, "name": "in bulk"}, fresh(9), {"_id": "patient:2", "facility": "f1"}]
    assert couchdb.update(batch) == [[True, "patient:3"], [True, "patient:9"], [False, "patient:2"]]
    assert place.whole("patient:3") == patient(3, name="in bulk")
    couchdb.remove("patient:7")
    assert couchdb.database("commit")["ok"]
    assert sorted(place.cut()) == sorted([*VISIBLE, "patient:8", "patient:9"])
    place.assert_nothing_hidden(besides=["patient:2"])


@row("pypi", "CouchDB-Python", VERSION, "attachments")
@row("pypi", "CouchDB-Python", VERSION, FEED)
def test_couchdb_attachments_and_changes(place: Place, couchdb: Driver) -> None:
    attachments_work(place, couchdb)
    couchdb.detach("patient:1", "photo.png")
    assert place.database.get("patient:1")["_attachments"].keys() == {"note.txt", "scan.bin"}
    rows = couchdb.database("changes", include_docs=True)["results"]
    assert by_id([each["doc"] for each in rows if not each.get("deleted")]) == place.cut()
    follows(place, couchdb)


@row(
    "pypi",
    "CouchDB-Python",
    VERSION,
    "`len(db)` and `couchdb-dump`, through a profile without filters, with `design_docs = true`",
)
@row(
    "pypi",
    "CouchDB-Python",
    VERSION,
    "`len(db)`, `list(db)` and `couchdb-dump`, through a profile that hides documents",
    "fails: they want `doc_count`, and such a profile gives no counts; `for doc_id in db` works",
)
def test_couchdb_counts(place: Place, couchdb: Driver) -> None:
    for call in (("count",), ("dump", place.url)):
        with pytest.raises(ClientError, match="doc_count"):
            couchdb.call(*call)
    couchdb.open(place.server, f"{place.database.name}-whole")
    assert couchdb.count() == 5
    text = couchdb.dump(f"{place.server}/{place.database.name}-whole")
    assert all(f"Name {number}" in text for number in (1, 2, 3, 4))
    assert SMALL.decode() in text


@row(
    "pypi",
    "CouchDB-Python",
    VERSION,
    "`login`",
    "fails, as with CouchDB itself: it takes the first header of the reply for the cookie; Basic credentials work",
)
def test_couchdb_login(couchdb: Driver) -> None:
    with pytest.raises(ClientError, match="Malformed AuthSession cookie"):
        couchdb.login(USER, PASSWORD)


@row("pypi", "CouchDB-Python", VERSION, "views and `replicate`", FORBIDDEN)
def test_couchdb_views(place: Place) -> None:
    with_functions(place)
    client = place.python("couchdb")
    client.open(place.server, place.name)
    for call in (("view", "mine/all"), ("replicate", place.name, "elsewhere")):
        with pytest.raises(ClientError) as refused:
            client.call(*call)
        assert refused.value.name == "Forbidden"
    assert place.wire.carried(*HIDDEN) == []
