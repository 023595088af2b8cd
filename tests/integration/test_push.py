"""What a device writes back is sewn into the whole document; what it may not write is refused and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compatibility.table import every_source
from tests.support.clinic import body, patient
from tests.support.http import segment
from tests.support.site import Site


@every_source("push: edits leave alone what is hidden")
def test_an_edit_leaves_hidden_fields_alone(site: Site) -> None:
    original = patient(1)
    site.database.put(original)
    for profile in ("phone", "tablet"):
        person = site.person("ann", profile)
        person.pull()
        rev = person.device.edit("patient:1", name=f"from the {profile}", mood="good")
        person.push()
        stored = site.database.get("patient:1")
        assert body(stored) == {**original, "name": f"from the {profile}", "mood": "good"}
        assert stored["_rev"] == rev


def test_an_edit_inside_an_array_keeps_its_hidden_elements(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    ann.pull()
    notes = ann.device.get("patient:1")["notes"]
    ann.device.edit("patient:1", notes=[*notes, {"text": "added", "private": False}])
    ann.push()
    texts = [note["text"] for note in site.database.get("patient:1")["notes"]]
    assert sorted(texts) == ["added", "note-hidden-1", "public note 1"]


def test_a_field_that_the_device_removes_is_removed(site: Site) -> None:
    site.database.put(patient(1, mood="good"))
    ann = site.person("ann")
    ann.pull()
    doc = ann.device.get("patient:1")
    del doc["mood"]
    ann.device.put(doc)
    ann.push()
    assert body(site.database.get("patient:1")) == patient(1)


def test_several_edits_between_two_pushes(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    ann.pull()
    for number in range(4):
        rev = ann.device.edit("patient:1", name=f"version {number}")
    ann.push()
    stored = site.database.get("patient:1")
    assert body(stored) == patient(1, name="version 3")
    assert stored["_rev"] == rev
    assert rev.startswith("5-")


def test_a_new_document_reaches_the_source_and_other_devices(site: Site) -> None:
    ann, carol, bob = site.person("ann"), site.person("carol", "tablet"), site.person("bob")
    rev = ann.device.put({"_id": "visit:1", "facility": "f1", "name": "Visit"})
    ann.push()
    assert site.database.get("visit:1") == {"_id": "visit:1", "_rev": rev, "facility": "f1", "name": "Visit"}
    carol.pull()
    bob.pull()
    assert carol.device.ids() == ["visit:1"]
    assert bob.device.ids() == []


def test_a_write_back_reaches_the_other_profile_with_what_that_one_sees(site: Site) -> None:
    site.database.put(patient(1))
    phone, tablet = site.person("ann"), site.person("carol", "tablet")
    phone.pull()
    tablet.pull()
    phone.device.edit("patient:1", name="from the phone")
    phone.push()
    tablet.sync()
    assert tablet.device.get("patient:1")["name"] == "from the phone"
    assert tablet.device.get("patient:1")["ssn"] == "ssn-hidden-1"
    tablet.device.edit("patient:1", ssn="corrected")
    tablet.sync()
    phone.sync()
    assert body(site.database.get("patient:1")) == patient(1, name="from the phone", ssn="corrected")
    assert phone.device.get("patient:1")["_rev"] == tablet.device.get("patient:1")["_rev"]
    assert phone.device.conflicts("patient:1") == []
    assert phone.device.received("corrected") == []


def test_pushing_what_was_pulled_writes_nothing(site: Site) -> None:
    site.database.json("POST", "_bulk_docs", {"docs": [patient(n) for n in range(1, 6)]})
    before = site.database.json("GET", "")["update_seq"]
    ann = site.person("ann")
    ann.pull()
    assert ann.push()["docs_written"] == 0
    assert site.database.json("GET", "")["update_seq"] == before


REFUSED = [
    pytest.param({"_id": "patient:1", "facility": "f2"}, id="moved out of the own facility"),
    pytest.param({"_id": "patient:1", "ssn": "guess"}, id="wrote a hidden field"),
    pytest.param({"_id": "new", "facility": "f2", "name": "x"}, id="created elsewhere"),
    pytest.param({"_id": "new", "facility": "f1", "ssn": "mine"}, id="created with a hidden field"),
]


@every_source("refused writes")
@pytest.mark.parametrize("change", REFUSED)
def test_a_refused_write_is_denied_and_changes_nothing(site: Site, change: dict[str, Any]) -> None:
    site.database.put(patient(1))
    before = site.database.json("GET", "")["update_seq"]
    ann = site.person("ann")
    ann.pull()
    ann.device.put({**(ann.device.find(change["_id"]) or {}), **change})
    ann.device.put({"_id": "visit:1", "facility": "f1"})
    result = ann.device.push(ann.url, ann.auth)
    assert [(row["id"], row["name"]) for row in result["denied"]] == [(change["_id"], "forbidden")]
    assert result["doc_write_failures"] == 1
    assert result["docs_written"] == 1, "what is beside a refused document is written"
    assert body(site.database.get("patient:1")) == patient(1)
    assert site.source.http.request("GET", f"/{segment(site.database.name)}/new").status == 404
    assert site.database.json("GET", f"_changes?since={before}")["results"][-1]["id"] == "visit:1"


def test_a_document_of_somebody_else_cannot_be_written(site: Site) -> None:
    site.database.put(patient(1, "f2"))
    ann = site.person("ann")
    ann.device.put({"_id": "patient:1", "facility": "f1", "name": "mine now"})
    result = ann.device.push(ann.url, ann.auth)
    assert [row["name"] for row in result["denied"]] == ["forbidden"]
    assert [body(leaf) for leaf in site.database.leaves("patient:1")] == [patient(1, "f2")]


def test_a_read_only_profile_refuses_all_writes(site: Site) -> None:
    site.database.put(patient(1))
    eve = site.person("eve")
    eve.pull()
    eve.device.edit("patient:1", name="changed")
    result = eve.device.push(eve.url, eve.auth)
    assert result["docs_written"] == 0 if result["ok"] is not None else result["error"]
    assert body(site.database.get("patient:1")) == patient(1)


def test_a_refused_revision_is_not_known_afterwards(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    ann.pull()
    refused = ann.device.edit("patient:1", facility="f2")
    ann.device.push(ann.url, ann.auth)
    missing = ann.http.json("POST", "/_revs_diff", {"patient:1": [refused]})
    assert missing["patient:1"]["missing"] == [refused]


def test_a_write_without_replication_goes_the_same_way(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    shown = ann.http.json("GET", "/patient:1")
    answer = ann.http.json("PUT", "/patient:1", {**shown, "name": "by PUT"})
    assert body(site.database.get("patient:1")) == patient(1, name="by PUT")
    assert site.database.get("patient:1")["_rev"] == answer["rev"]
    stale = ann.http.request("PUT", "/patient:1", json_body={**shown, "name": "stale"})
    assert (stale.status, stale.json["error"]) == (409, "conflict")
    moved = ann.http.request("PUT", "/patient:1", json_body={**shown, "_rev": answer["rev"], "facility": "f2"})
    assert (moved.status, moved.json["error"]) == (403, "forbidden")
    assert body(site.database.get("patient:1")) == patient(1, name="by PUT")
