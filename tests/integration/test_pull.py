"""What a device receives: its own documents, cut to fit, under the source's revisions; and nothing else."""

from __future__ import annotations

import pytest

from tests.compatibility.table import every_source
from tests.support.clinic import body, patient, seen
from tests.support.site import Site


@every_source("pull through several profiles")
def test_each_profile_receives_its_own_cut(site: Site) -> None:
    docs = [patient(number, "f1" if number % 2 else "f2") for number in range(1, 11)]
    revs = {doc["_id"]: site.database.put(doc) for doc in docs}
    expected = {
        ("ann", "phone"): [doc for doc in docs if doc["facility"] == "f1"],
        ("ann", "tablet"): [doc for doc in docs if doc["facility"] == "f1"],
        ("bob", "phone"): [doc for doc in docs if doc["facility"] == "f2"],
        ("eve", "auditor"): docs,
        ("dan", "phone"): [],
    }
    for (user, profile), visible in expected.items():
        person = site.person(user, profile)
        result = person.pull()
        received = person.device.all_docs()
        assert {doc_id: body(doc) for doc_id, doc in received.items()} == {
            doc["_id"]: seen(doc, profile) for doc in visible
        }
        assert {doc_id: doc["_rev"] for doc_id, doc in received.items()} == {
            doc["_id"]: revs[doc["_id"]] for doc in visible
        }
        assert result["docs_written"] == len(visible)


def test_hidden_values_never_cross_the_wire(site: Site) -> None:
    for number in range(1, 7):
        site.database.put(patient(number, "f1" if number % 2 else "f2"))
    site.database.edit("patient:1", name="Name 1b")

    phone, tablet, audit = site.person("ann", "phone"), site.person("ann", "tablet"), site.person("eve")
    for person in (phone, tablet, audit):
        person.pull()

    assert phone.device.received("Name 1b", "public note 1") == ["Name 1b", "public note 1"]
    assert phone.device.received("ssn-hidden", "note-hidden", "Name 2", "patient:2") == []
    assert tablet.device.received("ssn-hidden-1", "ssn-hidden-2") == ["ssn-hidden-1"]
    assert tablet.device.received("iban-hidden", "note", "Name 2", "patient:2") == []
    assert audit.device.received("Name 1b", "Name 2") == ["Name 1b", "Name 2"]
    assert audit.device.received("ssn-hidden") == []


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_long_run_of_hidden_documents_does_not_end_the_pull(site: Site, batch_size: int) -> None:
    docs = [patient(number, "f2") for number in range(1, 16)]
    docs += [patient(number, "f1") for number in range(16, 20)]
    docs += [patient(number, "f2") for number in range(20, 35)]
    docs += [patient(number, "f1") for number in range(35, 37)]
    site.database.json("POST", "_bulk_docs", {"docs": docs})
    ann = site.person("ann")
    ann.pull(batch_size=batch_size)
    assert ann.device.ids() == sorted(doc["_id"] for doc in docs if doc["facility"] == "f1")


def test_a_pull_of_named_documents(site: Site) -> None:
    site.database.json("POST", "_bulk_docs", {"docs": [patient(n, "f1" if n < 5 else "f2") for n in range(1, 9)]})
    ann = site.person("ann")
    ann.pull(doc_ids=["patient:1", "patient:3", "patient:7", "patient:99"])
    assert ann.device.ids() == ["patient:1", "patient:3"]


def test_a_selector_sees_what_the_client_sees(site: Site) -> None:
    site.database.json("POST", "_bulk_docs", {"docs": [patient(n) for n in range(1, 5)]})
    by_shown, by_hidden = site.person("ann"), site.person("ann")
    by_shown.pull(selector={"name": {"$in": ["Name 1", "Name 3"]}})
    by_hidden.pull(selector={"ssn": {"$regex": "^ssn-hidden"}})
    assert by_shown.device.ids() == ["patient:1", "patient:3"]
    assert by_hidden.device.ids() == []


@every_source("conflicts")
def test_all_branches_of_a_conflict_arrive(site: Site) -> None:
    first = site.database.put(patient(1))
    branches = [
        {**patient(1, name=name), "_revisions": {"start": 2, "ids": [digit * 32, first[2:]]}, "_rev": f"2-{digit * 32}"}
        for name, digit in (("left", "a"), ("right", "b"))
    ]
    site.database.json("POST", "_bulk_docs", {"docs": branches, "new_edits": False})
    ann = site.person("ann")
    ann.pull()
    assert ann.device.get("patient:1")["name"] == "right"
    assert ann.device.conflicts("patient:1") == ["2-" + "a" * 32]
    assert ann.device.get("patient:1", rev="2-" + "a" * 32)["name"] == "left"
    assert ann.device.received("ssn-hidden", "note-hidden") == []


def test_a_branch_outside_the_view_stays_outside(site: Site) -> None:
    first = site.database.put(patient(1))
    branches = [
        {
            **patient(1, facility, name=f"of {facility}"),
            "_revisions": {"start": 2, "ids": [digit * 32, first[2:]]},
            "_rev": f"2-{digit * 32}",
        }
        for facility, digit in (("f1", "a"), ("f2", "b"))
    ]
    site.database.json("POST", "_bulk_docs", {"docs": branches, "new_edits": False})
    ann, bob = site.person("ann"), site.person("bob")
    ann.pull()
    bob.pull()
    assert ann.device.get("patient:1")["name"] == "of f1"
    assert bob.device.get("patient:1")["name"] == "of f2"
    assert ann.device.received("of f2") == []
    assert bob.device.received("of f1") == []


@every_source("awkward ids")
def test_awkward_ids_arrive(site: Site) -> None:
    ids = ["a/b", "ünï ☃", "+plus", "with space", "q?x", "h#y", "%25", 'quote"d', "back\\slash", "dot.", "&amp;=;"]
    site.database.json("POST", "_bulk_docs", {"docs": [{**patient(1), "_id": doc_id} for doc_id in ids]})
    ann = site.person("ann")
    ann.pull()
    assert sorted(ann.device.ids()) == sorted(ids)


def test_strangers_receive_nothing(site: Site) -> None:
    site.database.put(patient(1))
    mallory = site.person("mallory")
    refused = mallory.device.pull(mallory.url, mallory.auth)
    unknown = mallory.device.pull(mallory.url, ("ann", "wrong"))
    foreign = mallory.device.pull(site.person("eve").url, ("ann", "pass"))
    assert refused["error"]["status"] == 403
    assert unknown["error"]["status"] == 401
    assert foreign["error"]["status"] == 403
    assert mallory.device.ids() == []
    assert mallory.device.received("patient:1") == []
