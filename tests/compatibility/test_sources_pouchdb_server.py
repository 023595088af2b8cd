"""PouchDB Server, as it is installed, as the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.compatibility.table import row
from tests.conftest import POOL, close_source
from tests.support.clinic import BIG, PASSWORD, USERS, body, patient, seen
from tests.support.devices import DeviceHost
from tests.support.http import eventually
from tests.support.site import Site, clinic_proxy
from tests.support.sources import pouchdb_server

SERVER = "PouchDB Server"
VERSION = "4.2.0"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, device_host: DeviceHost) -> Iterator[Iterator[Site]]:
    """Empty databases behind the proxy, one after the other."""
    source = pouchdb_server(tmp_path_factory.mktemp("pouchdb-server"))
    source.add_users(USERS, PASSWORD)
    proxy = clinic_proxy(tmp_path_factory.mktemp("pouchdb-server-proxy"), source.url, POOL).start()
    yield (Site(source, proxy, source.create_database(name), device_host) for name in POOL)
    proxy.process.kill()
    close_source(source)


@pytest.fixture
def site(sites: Iterator[Site]) -> Iterator[Site]:
    site = next(sites)
    yield site
    site.close()


@row("sources", SERVER, VERSION, "pull, push and live sync, with conflicts and attachments")
def test_devices_sync(site: Site) -> None:
    docs = [patient(number, "f1" if number % 2 else "f2") for number in range(1, 6)]
    for doc in docs:
        site.database.put(doc)
    site.database.put_attachment("patient:1", "scan.bin", BIG, "application/octet-stream")
    ann, carol = site.person("ann"), site.person("carol", "tablet")
    ann.pull()
    carol.pull()
    assert ann.device.ids() == carol.device.ids() == ["patient:1", "patient:3", "patient:5"]
    assert carol.device.get_attachment("patient:1", "scan.bin") == BIG
    ann.device.edit("patient:1", name="from the phone")
    carol.device.edit("patient:1", name="from the tablet")
    ann.push()
    carol.push()
    leaves = site.database.leaves("patient:1")
    assert sorted(leaf["name"] for leaf in leaves) == ["from the phone", "from the tablet"]
    assert [body(leaf) for leaf in leaves] == [patient(1, name=leaf["name"]) for leaf in leaves]
    assert all("scan.bin" in leaf["_attachments"] for leaf in leaves)

    live = ann.live()
    site.database.edit("patient:3", name="from the source")
    ann.device.until("patient:3", name="from the source")
    site.database.edit("patient:5", facility="f2")
    ann.device.until_gone("patient:5")
    ann.device.put({**seen(patient(7), "phone"), "name": "new"})
    site.database.edit("patient:2", facility="f1")
    ann.device.until("patient:2", name="Name 2")
    eventually(lambda: "patient:7" in ids(site), "the new document at the source")
    assert live.stop()["denied"] == []
    assert ann.device.received("ssn-hidden", "note-hidden") == []


FATAL: list[tuple[str, str, Any]] = [
    ("GET", "/_changes?filter=no/such", None),
    ("POST", "/_changes?filter=_selector", {"selector": {"name": "Name 1"}}),
    ("POST", "/_bulk_get?latest=true", {"docs": [{"id": "patient:1", "rev": "7-" + "a" * 32}]}),
    ("GET", "/patient:1?latest=true&rev=7-" + "a" * 32, None),
    ("GET", f"/patient:1?latest=true&open_revs=%5B%227-{'a' * 32}%22%5D", None),
    ("POST", "/_bulk_get", {"docs": []}),
    ("GET", "/_changes?feed=eventsource&timeout=100", None),
    ("GET", "/_changes?feed=continuous&timeout=100", None),
]
"""What ends that server, or is never answered by it."""


@row("sources", SERVER, VERSION, "requests that end that server or that it never answers: answered, and it lives on")
def test_nothing_that_it_cannot_stand_reaches_it(site: Site) -> None:
    site.database.put(patient(1))
    process = site.source.process
    assert process is not None
    before = process.pid
    ann = site.person("ann")
    for method, path, content in FATAL:
        reply = ann.http.request(method, path, json_body=content)
        assert reply.status < 500, (path, reply.body)
        assert ann.http.json("GET", "/patient:1")["name"] == "Name 1", path
    assert process.running
    assert process.pid == before


def ids(site: Site) -> list[str]:
    return [each["id"] for each in site.database.json("GET", "_all_docs")["rows"]]
