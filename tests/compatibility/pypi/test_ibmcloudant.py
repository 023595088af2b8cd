"""IBM's SDK for Cloudant."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from tests.compatibility.clients.driver import ClientError, Driver
from tests.compatibility.clients.place import HIDDEN, USER, VISIBLE, Place
from tests.compatibility.pypi.library import (
    FORBIDDEN,
    FUNCTIONS,
    PHOTO,
    PHOTO_IN_BASE64,
    by_id,
    follows,
    with_functions,
)
from tests.compatibility.table import row
from tests.support.clinic import BIG, PASSWORD, SMALL, patient

VERSION = "0.11.12"


@pytest.fixture
def ibmcloudant(place: Place) -> Driver:
    place.fill()
    client = place.python("ibmcloudant")
    client.open(place.wire.url, USER, PASSWORD)
    return client


@row(
    "pypi",
    "ibmcloudant",
    VERSION,
    "documents, bulk, find, pages of find, attachments; gzipped bodies; session by cookie",
)
def test_ibmcloudant(place: Place, ibmcloudant: Driver) -> None:
    client, db = ibmcloudant, place.name
    assert db in client.ask("get_all_dbs")
    assert client.ask("get_database_information", db=db)["db_name"] == db
    pages = client.pages("POST_FIND", db=db, limit=2, selector={"name": {"$gt": None}})
    assert [doc["_id"] for page in pages for doc in page] == VISIBLE
    assert client.ask("post_find", db=db, selector={"ssn": {"$exists": True}})["docs"] == []
    got = client.ask("post_bulk_get", db=db, docs=[{"id": "patient:1"}, {"id": "patient:99"}])["results"]
    assert ["ok" in each["docs"][0] for each in got] == [True, False]
    assert client.ask("post_revs_diff", db=db, document_revisions={"patient:1": [place.rev("patient:1")]}) == {}

    doc = client.ask("get_document", db=db, doc_id="patient:1")
    client.ask("put_document", db=db, doc_id="patient:1", document={**doc, "name": "edited " * 400})
    assert place.whole("patient:1") == patient(1, name="edited " * 400)
    third = client.ask("get_document", db=db, doc_id="patient:3")
    assert client.ask("post_bulk_docs", db=db, bulk_docs={"docs": [{**third, "name": "in bulk " * 400}]})[0]["ok"]
    assert place.whole("patient:3") == patient(3, name="in bulk " * 400)
    assert b64decode(client.attachment(db=db, doc_id="patient:1", attachment_name="note.txt")) == SMALL
    photo = {"attachment_name": "photo.png", "content_type": "image/png", "rev": place.rev("patient:1")}
    client.attach(PHOTO_IN_BASE64, db=db, doc_id="patient:1", **photo)
    assert place.database.get_attachment("patient:1", "photo.png") == PHOTO
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    client.ask("delete_document", db=db, doc_id="patient:3", rev=place.rev("patient:3"))
    assert sorted(place.cut()) == ["patient:1", "patient:5"]
    place.assert_nothing_hidden()


@row("pypi", "ibmcloudant", VERSION, "ChangesFollower, one-off and following")
def test_ibmcloudant_changes_follower(place: Place, ibmcloudant: Driver) -> None:
    rows = ibmcloudant.changes(place.name)
    assert by_id([each["doc"] for each in rows if not each.get("deleted")]) == place.cut()
    follows(place, ibmcloudant, place.name)
    # its loop ends by `pending`; without that it asks on, hundreds of times a second
    assert len(place.wire.paths("_changes")) < 10


@row(
    "pypi", "ibmcloudant", VERSION, "pages of `_all_docs`, through a profile without filters, with `design_docs = true`"
)
@row(
    "pypi",
    "ibmcloudant",
    VERSION,
    "pages of `_all_docs`, through a profile that hides documents",
    "fails: it wants a number for `total_rows`, and such a profile gives no counts; pages of find work",
)
def test_ibmcloudant_pages(place: Place, ibmcloudant: Driver) -> None:
    pages = ibmcloudant.pages("POST_ALL_DOCS", db=f"{place.database.name}-whole", limit=2)
    assert [[each["id"] for each in page] for page in pages] == [
        ["patient:1", "patient:2"],
        ["patient:3", "patient:4"],
        ["patient:5"],
    ]
    with pytest.raises(ClientError, match="total_rows") as failed:
        ibmcloudant.pages("POST_ALL_DOCS", db=place.name, limit=2)
    assert failed.value.name == "ValueError"


@row("pypi", "ibmcloudant", VERSION, FUNCTIONS, FORBIDDEN)
def test_ibmcloudant_views(place: Place) -> None:
    with_functions(place)
    client = place.python("ibmcloudant")
    client.open(place.wire.url, USER, PASSWORD)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("post_view", {"ddoc": "mine", "view": "all"}),
        ("post_search", {"ddoc": "mine", "index": "all", "query": "x:y"}),
        ("post_index", {"index": {"fields": [{"ssn": "asc"}]}}),
        ("post_explain", {"selector": {"ssn": "1"}}),
    ]
    for operation, options in calls:
        with pytest.raises(ClientError) as refused:
            client.ask(operation, db=place.name, **options)
        assert refused.value.status == 403, operation
    assert place.wire.carried(*HIDDEN) == []
