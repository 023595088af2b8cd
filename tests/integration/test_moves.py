"""Documents that enter and leave a view because the source changed them."""

from __future__ import annotations

from tests.compatibility.table import every_source
from tests.support.clinic import body, patient, seen
from tests.support.site import Site


def test_a_document_moves_from_one_facility_to_another(site: Site) -> None:
    site.database.put(patient(1))
    site.database.put(patient(2))
    ann, tablet, bob, dan = (
        site.person("ann"),
        site.person("carol", "tablet"),
        site.person("bob"),
        site.person("dan"),
    )
    people = (ann, tablet, bob, dan)
    for person in people:
        person.pull()
    site.database.edit("patient:1", facility="f2", name="moved")
    for person in people:
        person.pull()
    assert ann.device.ids() == tablet.device.ids() == ["patient:2"]
    assert body(bob.device.get("patient:1")) == seen(patient(1, "f2", name="moved"), "phone")
    assert dan.device.received("patient:1") == []
    assert ann.device.received("moved") == []


def test_a_device_that_never_had_it_learns_nothing_of_it(site: Site) -> None:
    site.database.put(patient(1))
    site.database.edit("patient:1", facility="f2")
    site.database.edit("patient:1", name="later")
    dan = site.person("dan")
    dan.pull()
    assert dan.device.received("patient:1") == []
    assert dan.http.json("GET", "/_changes")["results"] == []


@every_source("documents that leave the view and come back")
def test_a_document_that_comes_back_is_alive_again(site: Site) -> None:
    site.database.put(patient(1))
    ann, bob = site.person("ann"), site.person("bob")
    for facility in ("f1", "f2", "f1", "f2", "f1"):
        if site.database.get("patient:1")["facility"] != facility:
            site.database.edit("patient:1", facility=facility, name=f"at {facility}")
        ann.pull()
        bob.pull()
        here, there = (ann, bob) if facility == "f1" else (bob, ann)
        assert here.device.ids() == ["patient:1"]
        assert there.device.ids() == []
    stored = site.database.get("patient:1")
    assert ann.device.get("patient:1")["_rev"] == stored["_rev"]
    assert ann.device.conflicts("patient:1") == []
    ann.device.edit("patient:1", name="edited")
    ann.push()
    (leaf,) = site.database.leaves("patient:1")
    assert body(leaf) == patient(1, name="edited")


def test_a_fresh_device_sees_a_document_that_came_back(site: Site) -> None:
    site.database.put(patient(1))
    site.database.edit("patient:1", facility="f2")
    site.database.edit("patient:1", facility="f1", name="back")
    ann = site.person("ann")
    ann.pull()
    assert body(ann.device.get("patient:1")) == seen(patient(1, name="back"), "phone")


def test_an_edit_made_before_the_document_left_is_refused(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    ann.pull()
    ann.device.edit("patient:1", name="too late")
    site.database.edit("patient:1", facility="f2")
    ann.device.push(ann.url, ann.auth)
    winner = site.database.get("patient:1")
    assert winner["facility"] == "f2" or winner["name"] == "too late"
    assert any(body(leaf) == patient(1, "f2") for leaf in site.database.leaves("patient:1"))


def test_a_document_that_left_is_gone_for_bare_requests_too(site: Site) -> None:
    first = site.database.put(patient(1))
    ann = site.person("ann")
    second = site.database.edit("patient:1", facility="f2")
    assert ann.http.request("GET", "/patient:1").status == 404
    assert ann.http.request("GET", f"/patient:1?rev={second}").status == 404
    assert ann.http.request("GET", f"/patient:1?rev={first}").status == 200
    rows = ann.http.json("GET", "/_all_docs")
    assert rows["rows"] == []
