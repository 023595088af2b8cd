"""PouchDB's event `denied`: what becomes of a revision that was refused, and what an app can do (docs/deploying.md)."""

from __future__ import annotations

import pytest

from tests.support.clinic import body, patient
from tests.support.devices import Device
from tests.support.site import Person, Site


@pytest.fixture
def ann(site: Site) -> Person:
    """Her device has changed what is hidden from it, which was refused."""
    site.database.put(patient(1))
    ann = site.person("ann")
    ann.pull()
    ann.device.edit("patient:1", ssn="of the device")
    result = ann.device.push(ann.url, ann.auth)
    assert [row["name"] for row in result["denied"]] == ["forbidden"]
    assert body(site.database.get("patient:1")) == patient(1)
    return ann


def shown(device: Device) -> tuple[str, int]:
    """What the app gets: the name, or the number of one that was refused, and how many conflicts there are."""
    doc = device.get("patient:1", conflicts=True)
    return str(doc.get("ssn", doc["name"])), len(doc.get("_conflicts", []))


def test_it_stays_until_a_newer_one_wins(site: Site, ann: Person) -> None:
    assert ann.sync()["denied"] == []
    assert shown(ann.device) == ("of the device", 0)
    for name in ("second", "third"):
        site.database.edit("patient:1", name=name)
    ann.pull()
    assert shown(ann.device) == ("third", 1)
    ann.device.edit("patient:1", name="fourth")
    assert [row["name"] for row in ann.device.push(ann.url, ann.auth)["denied"]] == ["forbidden"] * 2
    assert body(site.database.get("patient:1")) == patient(1, name="fourth")


def test_what_the_source_has_is_put_over_it(site: Site, ann: Person) -> None:
    refused = ann.device.get("patient:1")["_rev"]
    theirs = ann.http.json("GET", "/patient:1")
    ann.device.put({**theirs, "_rev": refused})
    assert ann.sync()["denied"] == []
    assert shown(ann.device) == ("Name 1", 0)
    assert body(site.database.get("patient:1")) == patient(1)
    site.database.edit("patient:1", name="second")
    ann.pull()
    assert shown(ann.device) == ("second", 0)


def test_an_edit_on_it_that_is_allowed_is_taken(site: Site, ann: Person) -> None:
    mended = ann.device.get("patient:1")
    del mended["ssn"]
    ann.device.put({**mended, "name": "mended"})
    assert ann.sync()["denied"] == []
    assert body(site.database.get("patient:1")) == patient(1, name="mended")


def test_removing_it_removes_the_document(site: Site, ann: Person) -> None:
    ann.device.remove("patient:1")
    ann.push()
    [leaf] = site.database.leaves("patient:1")
    assert leaf["_deleted"] is True


def test_removing_it_beside_the_sources_removes_it_alone(site: Site, ann: Person) -> None:
    refused = ann.device.get("patient:1")["_rev"]
    for name in ("second", "third"):
        site.database.edit("patient:1", name=name)
    ann.pull()
    ann.device.put({"_id": "patient:1", "_rev": refused, "_deleted": True})
    ann.push()
    assert shown(ann.device) == ("third", 0)
    assert body(site.database.get("patient:1")) == patient(1, name="third")
    ann.device.edit("patient:1", name="fourth")
    assert ann.push()["denied"] == []
