"""python-cloudant, of which many are still in use."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compatibility.clients.driver import ClientError, Driver
from tests.compatibility.clients.place import HIDDEN, USER, VISIBLE, Place
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
from tests.support.clinic import BIG, PASSWORD, body, patient

VERSION = "2.15.0"


@pytest.fixture
def cloudant(place: Place) -> Driver:
    place.fill()
    client = place.python("cloudant")
    assert place.name in client.open(place.wire.url, place.name, USER, PASSWORD)
    return client


@row(
    "pypi", "cloudant", VERSION, "documents, `Result` and iteration by pages, query, bulk, revisions; session by cookie"
)
def test_cloudant(place: Place, cloudant: Driver) -> None:
    assert [by_id(docs) for docs in cloudant.all_of(2)] == [place.cut(), place.cut()]
    assert [each["id"] for each in cloudant.result("patient:3")] == ["patient:3"]
    assert cloudant.result("patient:2") == []
    assert [each["id"] for each in cloudant.result("patient:2", "patient:4")] == ["patient:3"]
    assert [doc["_id"] for doc in cloudant.find({"name": {"$gt": None}}, 2)] == VISIBLE
    assert cloudant.find({"ssn": {"$exists": True}}, 2) == []
    assert body(cloudant.get("patient:3")) == place.cut()["patient:3"]
    assert cloudant.contains("patient:3")
    assert not cloudant.contains("patient:2")
    known, unknown = place.rev("patient:1"), "9-" + "9" * 32
    assert cloudant.database("missing_revisions", "patient:1", known, unknown) == [unknown]
    assert cloudant.database("revisions_diff", "patient:1", known, unknown)["patient:1"]["missing"] == [unknown]

    cloudant.edit("patient:1", "edited")
    assert place.whole("patient:1") == patient(1, name="edited")
    cloudant.update_field("patient:1", "name", "edited again")
    assert place.whole("patient:1") == patient(1, name="edited again")
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    cloudant.create(fresh(7))
    third = cloudant.get("patient:3")
    assert all(each["ok"] for each in cloudant.database("bulk_docs", [{**third, "name": "in bulk"}, fresh(8)]))
    assert place.whole("patient:3") == patient(3, name="in bulk")
    cloudant.delete("patient:7")
    with pytest.raises(ClientError) as foreign:
        cloudant.create({"_id": "patient:9", "facility": "f2"})
    assert foreign.value.status == 403
    assert sorted(place.cut()) == [*VISIBLE, "patient:8"]
    cloudant.disconnect()
    place.assert_nothing_hidden(besides=["patient:2"])


@row("pypi", "cloudant", VERSION, "attachments")
@row("pypi", "cloudant", VERSION, FEED)
def test_cloudant_attachments_and_changes(place: Place, cloudant: Driver) -> None:
    attachments_work(place, cloudant)
    cloudant.detach("patient:1", "photo.png")
    assert place.database.get("patient:1")["_attachments"].keys() == {"note.txt", "scan.bin"}
    rows, last_seq = cloudant.changes(include_docs=True)
    assert by_id([each["doc"] for each in rows if not each.get("deleted")]) == place.cut()
    assert cloudant.changes(since=last_seq) == [[], last_seq]
    follows(place, cloudant)


@row("pypi", "cloudant", VERSION, FUNCTIONS, FORBIDDEN)
def test_cloudant_views(place: Place) -> None:
    with_functions(place)
    client = place.python("cloudant")
    client.open(place.wire.url, place.name, USER, PASSWORD)
    calls: list[tuple[list[Any], dict[str, Any]]] = [
        (["get_view_result", "_design/mine", "all", True], {}),
        (["get_list_function_result", "_design/mine", "all", "all"], {}),
        (["get_show_function_result", "_design/mine", "one", "patient:1"], {}),
        (["get_search_result", "_design/mine", "all"], {"query": "x:y"}),
        (["create_query_index"], {"fields": ["ssn"]}),
    ]
    for call, options in calls:
        with pytest.raises(ClientError) as refused:
            client.database(*call, **options)
        assert refused.value.status == 403, call
    assert place.wire.carried(*HIDDEN) == []
