"""Differently dressed devices that edit the same revision: both branches are whole, and all see one tree."""

from __future__ import annotations

from tests.support.clinic import body, patient
from tests.support.site import Person, Site


def edited_apart(site: Site) -> tuple[Person, Person]:
    """A phone and a tablet that both changed revision 1 of patient:1 and pushed."""
    site.database.put(patient(1))
    phone, tablet = site.person("ann"), site.person("carol", "tablet")
    phone.pull()
    tablet.pull()
    phone.device.edit("patient:1", name="phone", mood="phone's")
    tablet.device.edit("patient:1", name="tablet", ssn="tablet's")
    phone.push()
    tablet.push()
    return phone, tablet


def test_both_branches_keep_everything_that_was_hidden_from_their_writer(site: Site) -> None:
    edited_apart(site)
    leaves = {leaf["name"]: body(leaf) for leaf in site.database.leaves("patient:1")}
    assert leaves == {
        "phone": patient(1, name="phone", mood="phone's"),
        "tablet": patient(1, name="tablet", ssn="tablet's"),
    }


def test_all_devices_agree_on_the_winner_and_the_loser(site: Site) -> None:
    phone, tablet = edited_apart(site)
    bystander = site.person("ann")
    for person in (phone, tablet, bystander):
        person.sync()
    stored = site.database.get("patient:1", "?conflicts=true")
    for person in (phone, tablet, bystander):
        assert person.device.get("patient:1")["_rev"] == stored["_rev"]
        assert person.device.get("patient:1")["name"] == stored["name"]
        assert person.device.conflicts("patient:1") == stored["_conflicts"]


def test_a_conflict_is_resolved_on_a_device(site: Site) -> None:
    phone, tablet = edited_apart(site)
    phone.sync()
    merged = {**phone.device.get("patient:1"), "name": "merged"}
    losers = phone.device.conflicts("patient:1")
    phone.device.bulk_docs([merged, *({"_id": "patient:1", "_rev": rev, "_deleted": True} for rev in losers)])
    phone.sync()
    tablet.sync()
    (live,) = [leaf for leaf in site.database.leaves("patient:1") if not leaf.get("_deleted")]
    assert live["name"] == "merged"
    assert live["billing"] == patient(1)["billing"]
    assert [note["private"] for note in live["notes"]] == [False, True]
    assert tablet.device.conflicts("patient:1") == []
    assert tablet.device.get("patient:1")["name"] == "merged"


def test_an_edit_of_a_stale_revision_is_sewn_onto_its_own_ancestor(site: Site) -> None:
    site.database.put(patient(1))
    ann = site.person("ann")
    ann.pull()
    ann.device.edit("patient:1", name="stale")
    site.database.edit("patient:1", name="newer", ssn="newer", notes=[])
    ann.push()
    leaves = {leaf["name"]: body(leaf) for leaf in site.database.leaves("patient:1")}
    assert leaves == {
        "stale": patient(1, name="stale"),
        "newer": patient(1, name="newer", ssn="newer", notes=[]),
    }
