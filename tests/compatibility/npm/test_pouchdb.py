"""PouchDB in every major version since 3, as a device: what it pulls, what it pushes, where it resumes."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

from tests.compatibility.clients.driver import Driver
from tests.compatibility.clients.place import VISIBLE, Place
from tests.compatibility.table import WORKS, row
from tests.support.clinic import BIG, SMALL, body, patient
from tests.support.http import eventually
from tests.support.tap import Tap

OUTAGE = "live sync with `retry`, over an outage of the proxy that cuts replies off, with edits on both sides"
VERSIONS = ["9.0.0", "8.0.1", "7.3.1", "6.4.3", "5.4.5", "4.0.3", "3.6.0"]

Test = TypeVar("Test", bound=Callable[..., None])


def every_version(
    run: str, result: str = WORKS, *, versions: Sequence[str] = tuple(VERSIONS)
) -> Callable[[Test], Test]:
    """Run the test with each version, and declare a row for each."""

    def declare(test: Test) -> Test:
        for version in versions:
            test = row("npm", "PouchDB", version, run, result)(test)
        marked: Test = pytest.mark.parametrize("version", versions)(test)
        return marked

    return declare


def opened(place: Place, version: str) -> Driver:
    device = place.driver("pouchdb.js", version[0])
    assert device.version() == version
    device.open(place.database.name)
    return device


def docs(device: Driver) -> dict[str, Any]:
    return {doc["_id"]: body(doc) for doc in device.allDocs()}


@every_version("pull in batches of 1 and of 1000: documents, conflicts, attachments")
def test_pull(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    for batch_size in (1, 1000):
        device.open(f"{place.database.name}-{batch_size}")
        assert device.pull(place.url, {"batch_size": batch_size})["ok"]
        assert_pulled(place, device)
    place.assert_nothing_hidden(device.stored)


def assert_pulled(place: Place, device: Driver) -> None:
    assert docs(device) == place.cut()
    assert {doc_id: device.get(doc_id)["_rev"] for doc_id in VISIBLE} == {i: place.rev(i) for i in VISIBLE}
    assert device.get("patient:5", {"conflicts": True})["_conflicts"] == ["2-" + "a" * 32]
    assert device.get("patient:5", {"rev": "2-" + "a" * 32})["name"] == "left"
    assert b64decode(device.attachment("patient:1", "note.txt")) == SMALL


@every_version("push in batches of 1 and of 1000: edits, new documents, deletions, attachments")
def test_push(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    device.pull(place.url, {})
    device.edit("patient:1", {"name": "edited"})
    device.attach("patient:1", "photo.png", b64encode(b"\x89PNG small").decode(), "image/png")
    fresh = {"_id": "patient:7", "facility": "f1", "name": "Name 7", "notes": []}
    device.put(fresh)
    device.remove("patient:3")
    pushed = device.push(place.url, {"batch_size": 1})
    assert pushed["ok"]
    assert pushed["doc_write_failures"] == 0
    assert place.whole("patient:1") == patient(1, name="edited")
    assert place.rev("patient:1") == device.get("patient:1")["_rev"]
    assert place.database.get_attachment("patient:1", "scan.bin") == BIG
    assert place.database.get_attachment("patient:1", "note.txt") == SMALL
    assert place.database.get_attachment("patient:1", "photo.png") == b"\x89PNG small"
    assert place.whole("patient:7") == fresh
    assert [leaf.get("_deleted") for leaf in place.database.leaves("patient:3")] == [True]
    device.edit("patient:1", {"name": "edited again"})
    device.edit("patient:7", {"name": "Name 7 again"})
    assert device.push(place.url, {"batch_size": 1000})["docs_written"] == 2
    assert place.whole("patient:1") == patient(1, name="edited again")
    assert place.whole("patient:7") == {**fresh, "name": "Name 7 again"}
    place.assert_nothing_hidden(device.stored)


@every_version("checkpoints resumed in both directions")
def test_resume(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    device.pull(place.url, {})
    device.edit("patient:1", {"name": "edited"})
    device.push(place.url, {})
    place.database.edit("patient:3", name="changed")
    place.wire.forget()
    assert device.pull(place.url, {})["docs_written"] == 1
    assert device.get("patient:3")["name"] == "changed"
    since = [re.search(r"[?&]since=([^&]*)", target) for target in place.wire.paths("_changes")]
    assert since
    assert all(found is not None and found[1] not in ("", "0") for found in since)
    device.edit("patient:1", {"name": "edited again"})
    assert device.push(place.url, {})["docs_read"] == 1
    assert place.whole("patient:1") == patient(1, name="edited again")


@every_version("pull of `doc_ids`")
def test_doc_ids(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    device.pull(place.url, {"doc_ids": ["patient:1", "patient:2", "patient:3", "patient:99"]})
    assert sorted(docs(device)) == ["patient:1", "patient:3"]
    place.assert_nothing_hidden(device.stored)


@every_version("live sync: edits both ways, documents that enter and leave the view")
def test_live(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    device.liveStart(place.url)
    device.untilName("patient:1", "Name 1")
    device.untilName("patient:5", "right")
    place.database.edit("patient:1", name="from the source")
    device.untilName("patient:1", "from the source")
    device.edit("patient:1", {"name": "from the device"})
    eventually(lambda: place.database.get("patient:1")["name"] == "from the device", "the device's edit at the source")
    assert place.whole("patient:1") == patient(1, name="from the device")
    place.assert_nothing_hidden(device.stored)
    place.database.edit("patient:4", facility="f1")
    device.untilName("patient:4", "Name 4")
    place.database.edit("patient:4", facility="f2", name="gone again")
    device.untilGone("patient:4")
    assert device.liveStop() == 0
    assert place.wire.carried("gone again", "ssn-hidden-4") == []


@every_version("live sync with `retry`, over an outage of the source, with edits on both sides")
def test_outage_of_the_source(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    device.liveStart(place.url)
    device.untilName("patient:5", "right")
    edit_meanwhile(place, device, place.tap)
    assert device.liveStop() == 0
    assert_same_on_both_sides(place, device)


FORGETFUL = ["8.0.1", "7.3.1"]
"""In Node, their `fetch` may never notice that a reply broke off."""


@every_version(OUTAGE, versions=[version for version in VERSIONS if version not in [*FORGETFUL, "3.6.0"]])
def test_outage_of_the_proxy(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    device.liveStart(place.url)
    device.untilName("patient:5", "right")
    edit_meanwhile(place, device, place.wire)
    assert device.liveStop() == 0
    assert_same_on_both_sides(place, device)


@every_version(
    OUTAGE,
    "in Node, has to be begun again: its node-fetch 2.6.7 may never notice that a reply broke off",
    versions=FORGETFUL,
)
def test_outage_of_the_proxy_that_is_not_noticed(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    device.liveStart(place.url)
    device.untilName("patient:5", "right")
    place.wire.cut()
    device.edit("patient:1", {"name": "offline"})
    place.database.edit("patient:3", name="meanwhile")
    device.liveStop()
    place.wire.mend()
    device.liveStart(place.url)
    device.untilName("patient:3", "meanwhile")
    eventually(lambda: place.database.get("patient:1")["name"] == "offline", "the edit")
    assert device.liveStop() == 0
    assert_same_on_both_sides(place, device)


def edit_meanwhile(place: Place, device: Driver, wire: Tap) -> None:
    """Both sides edit while the wire is cut; each hears of the other once it is mended."""
    wire.cut()
    device.edit("patient:1", {"name": "offline"})
    place.database.edit("patient:3", name="meanwhile")
    device.untilInterrupted()
    wire.mend()
    device.untilName("patient:3", "meanwhile")
    eventually(lambda: place.database.get("patient:1")["name"] == "offline", "the edit")
    assert place.whole("patient:1") == patient(1, name="offline")


def assert_same_on_both_sides(place: Place, device: Driver) -> None:
    for doc_id in VISIBLE[:2]:
        assert len(place.database.leaves(doc_id)) == 1
        assert device.get(doc_id)["_rev"] == place.rev(doc_id)
    place.assert_nothing_hidden(device.stored)


@every_version("push with a refused write among others")
def test_refused_write(place: Place, version: str) -> None:
    place.fill()
    device = opened(place, version)
    device.pull(place.url, {})
    device.put({"_id": "patient:2", "facility": "f1", "name": "taken"})
    device.put({"_id": "patient:8", "facility": "f2", "name": "foreign"})
    device.edit("patient:1", {"name": "edited"})
    pushed = device.push(place.url, {})
    assert pushed["doc_write_failures"] == 2
    assert place.whole("patient:1") == patient(1, name="edited")
    assert place.whole("patient:2") == patient(2, "f2")
    assert len(place.database.leaves("patient:2")) == 1
    ids = [each["id"] for each in place.database.json("GET", "_all_docs")["rows"]]
    assert ids == [f"patient:{number}" for number in range(1, 6)]
    place.assert_nothing_hidden(device.stored, besides=["patient:2"])


@every_version(
    "pull by a filter function",
    "`forbidden`: such functions run in the source, on what is hidden; `doc_ids` and `selector` do the same safely",
)
def test_filter_function(place: Place, version: str) -> None:
    place.database.put({"_id": "_design/mine", "filters": {"all": "function (doc) { return doc.ssn; }"}})
    place.fill()
    device = opened(place, version)
    assert device.refusedPull(place.url, {"filter": "mine/all"}) == 403
    assert docs(device) == {}


@every_version("pull by `selector`", versions=[version for version in VERSIONS if version[0] in "6789"])
def test_selector(place: Place, version: str) -> None:
    place.fill()
    by_shown, by_hidden = opened(place, version), opened(place, version)
    by_shown.pull(place.url, {"selector": {"name": {"$in": ["Name 1", "Name 2"]}}})
    by_hidden.pull(place.url, {"selector": {"ssn": {"$regex": "^ssn-hidden"}}})
    assert sorted(docs(by_shown)) == ["patient:1"]
    assert docs(by_hidden) == {}
    place.assert_nothing_hidden(by_shown.stored)
