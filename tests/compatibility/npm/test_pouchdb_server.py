"""The replicator of a PouchDB Server, with the proxy as its source and as its target."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compatibility.clients.place import VISIBLE, Place
from tests.compatibility.table import row
from tests.conftest import close_source
from tests.support.clinic import BIG, SMALL, body, patient
from tests.support.http import eventually
from tests.support.sources import Source, SourceDatabase, pouchdb_server

SERVER = "4.2.0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    server = pouchdb_server(tmp_path_factory.mktemp("replicator"))
    yield server
    close_source(server)


def replicate(server: Source, source: str, target: str, **options: object) -> dict[str, object]:
    answer: dict[str, object] = server.http.json("POST", "/_replicate", {"source": source, "target": target, **options})
    assert answer["ok"], answer
    return answer


def contents(database: SourceDatabase) -> dict[str, object]:
    rows = database.json("GET", "_all_docs?include_docs=true")["rows"]
    return {each["id"]: body(each["doc"]) for each in rows}


@row("npm", "PouchDB Server", SERVER, "`POST _replicate` from the proxy and back to it")
def test_replicate_both_ways(place: Place, server: Source) -> None:
    place.fill()
    local = server.create_database(place.database.name)
    assert replicate(server, place.url, local.name)["docs_written"] == 5
    assert contents(local) == place.cut()
    assert local.get_attachment("patient:1", "note.txt") == SMALL

    local.edit("patient:1", name="edited")
    fresh = {"_id": "patient:7", "facility": "f1", "name": "Name 7", "notes": []}
    local.put(fresh)
    local.remove("patient:3")
    assert replicate(server, local.name, place.url)["doc_write_failures"] == 0
    assert place.whole("patient:1") == patient(1, name="edited")
    assert place.rev("patient:1") == local.get("patient:1")["_rev"]
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    assert place.whole("patient:7") == fresh
    assert sorted(place.cut()) == ["patient:1", "patient:5", "patient:7"]

    place.wire.forget()
    assert replicate(server, place.url, local.name)["docs_written"] == 0
    assert not any("since=0&" in target for target in place.wire.paths("_changes"))


@row("npm", "PouchDB Server", SERVER, "`continuous` from the proxy")
def test_replicate_continuously(place: Place, server: Source) -> None:
    place.fill()
    local = server.create_database(place.database.name)
    replicate(server, place.url, local.name, continuous=True)
    eventually(lambda: sorted(contents(local)) == VISIBLE, "the first documents")
    place.database.edit("patient:3", name="changed")
    eventually(lambda: local.get("patient:3")["name"] == "changed", "the change")
    place.database.edit("patient:3", facility="f2", name="gone")
    eventually(lambda: sorted(contents(local)) == ["patient:1", "patient:5"], "the document to leave")
    place.assert_nothing_hidden()
