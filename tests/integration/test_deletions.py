"""Deletions reach those who had the document, in both directions, and nobody else."""

from __future__ import annotations

from tests.compatibility.table import every_source
from tests.support.clinic import body, patient
from tests.support.site import Site


def test_a_deletion_at_the_source_reaches_the_devices_that_had_the_document(site: Site) -> None:
    for number in (1, 2):
        site.database.put(patient(number))
    ann, tablet, bob = site.person("ann"), site.person("carol", "tablet"), site.person("bob")
    for person in (ann, tablet, bob):
        person.pull()
    site.database.remove("patient:1")
    for person in (ann, tablet, bob):
        person.pull()
    assert ann.device.ids() == tablet.device.ids() == ["patient:2"]
    assert bob.device.received("patient:1") == []


def test_a_tombstone_with_a_body_is_cut_as_well(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    ann.pull()
    site.database.edit("patient:1", _deleted=True, cause="moved away")
    ann.pull()
    assert ann.device.ids() == []
    assert ann.device.received("ssn-hidden", "note-hidden") == []


@every_source("deletions")
def test_a_deletion_on_a_device_reaches_the_source_and_keeps_who_it_concerns(site: Site) -> None:
    site.database.put(patient(1))
    ann, tablet, bob = site.person("ann"), site.person("carol", "tablet"), site.person("bob")
    for person in (ann, tablet, bob):
        person.pull()
    rev = ann.device.remove("patient:1")
    ann.push()
    (tombstone,) = site.database.leaves("patient:1")
    assert tombstone["_deleted"] is True
    assert tombstone["_rev"] == rev
    assert tombstone["facility"] == "f1"
    for person in (tablet, bob):
        person.pull()
    assert tablet.device.ids() == []
    assert bob.device.received("patient:1") == []


def test_a_deleted_document_that_comes_back(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    ann.pull()
    site.database.remove("patient:1")
    ann.pull()
    assert ann.device.ids() == []
    site.database.put(patient(1, name="back"))
    ann.pull()
    assert ann.device.get("patient:1")["name"] == "back"
    ann.device.edit("patient:1", name="edited")
    ann.push()
    assert body(site.database.get("patient:1")) == patient(1, name="edited")


def test_nobody_deletes_what_they_do_not_see(site: Site) -> None:
    rev = site.database.put(patient(1, "f2"))
    ann = site.person("ann")
    assert ann.http.request("DELETE", f"/patient:1?rev={rev}").status in (403, 404)
    tombstone = {"_id": "patient:1", "_deleted": True, "_rev": "2-" + "a" * 32}
    grown = {**tombstone, "_revisions": {"start": 2, "ids": ["a" * 32, rev[2:]]}}
    rows = ann.http.json("POST", "/_bulk_docs", {"docs": [grown], "new_edits": False})
    assert [row["error"] for row in rows] == ["forbidden"]
    assert [body(leaf) for leaf in site.database.leaves("patient:1")] == [patient(1, "f2")]


def test_a_deletion_that_was_never_seen_is_not_announced(site: Site) -> None:
    site.database.put(patient(1, "f2"))
    site.database.remove("patient:1")
    site.database.put(patient(2))
    ann = site.person("ann")
    changes = ann.http.json("GET", "/_changes")
    assert [row["id"] for row in changes["results"]] == ["patient:2"]
