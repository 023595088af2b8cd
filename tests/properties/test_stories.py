"""Histories in which something went wrong once, told plainly."""

from __future__ import annotations

from tests.properties import edits
from tests.properties.conftest import Stage
from tests.properties.device import Doc
from tests.properties.dressed import Dressed
from tests.properties.world import World

PATIENT: Doc = {"_id": "doc-a", "facility": "f1", "title": "first", "ssn": "#ssn", "notes": []}


async def _move(world: World, facility: str) -> None:
    doc = world.truth.leaf("doc-a")
    assert doc is not None
    await world.truth.put({**doc, "facility": facility})


def _edit(device: Dressed, **fields: object) -> None:
    doc = device.leaf("doc-a")
    assert doc is not None
    device.put({**doc, **fields})


def test_a_device_that_made_the_same_edit_hears_that_the_document_left(stage: Stage) -> None:
    async def story(world: World) -> None:
        doctor, nurse = world.add_device("cem", "tablet"), world.add_device("ann", "tablet")
        await world.truth.put(PATIENT)
        await doctor.pull()
        await nurse.pull()
        _edit(doctor, title="same")
        _edit(nurse, title="same")
        _edit(doctor, facility="f2")  # so the source never has a body of the edit that both made
        await doctor.push()
        await world.rest()
        assert nurse.leaf("doc-a") is None

    stage.run(story)


def test_a_document_that_is_gone_can_be_made_anew_on_a_device_that_it_had_left(stage: Stage) -> None:
    async def story(world: World) -> None:
        phone = world.add_device("ann", "phone")
        await world.truth.put(PATIENT)
        await phone.pull()
        await _move(world, "f2")
        await phone.pull()
        assert phone.leaf("doc-a") is None
        doc = world.truth.leaf("doc-a")
        assert doc is not None
        await world.truth.put({"_id": "doc-a", "_rev": doc["_rev"], "_deleted": True})
        phone.put({"_id": "doc-a", "facility": "f1", "title": "anew"})
        await world.rest()
        assert phone.denied == set()
        doc = world.truth.leaf("doc-a")
        assert doc is not None
        assert doc["title"] == "anew"

    stage.run(story)


def test_a_deletion_that_one_profile_was_shown_is_not_written_through_another(stage: Stage) -> None:
    async def story(world: World) -> None:
        device = world.add_device("ann", "phone")
        await world.truth.put(PATIENT)
        await device.pull()
        await _move(world, "f2")
        await device.pull()
        await world.settle()
        assert device.leaf("doc-a") is None
        device.dress_as("eva", "office")
        await world.rest()
        assert device.leaf("doc-a") is not None

    stage.run(story)


def test_a_deletion_without_fields_is_not_told_to_who_never_saw_the_document(stage: Stage) -> None:
    async def story(world: World) -> None:
        board = world.add_device("bob", "board")
        for doc_id, facility in (("doc-a", "f2"), ("doc-b", "f1")):
            await world.truth.put({**PATIENT, "_id": doc_id, "facility": facility})
        for doc_id in ("doc-a", "doc-b"):
            doc = world.truth.leaf(doc_id)
            assert doc is not None
            await world.truth.put({"_id": doc_id, "_rev": doc["_rev"], "_deleted": True})
        await world.rest()
        assert list(board.docs) == ["doc-b"]

    stage.run(story)


def test_an_edit_with_attachments_of_what_was_compacted_meanwhile_is_stored(stage: Stage) -> None:
    """The device has just asked, and what it edits was a leaf then: its stubs stand for nothing that the source has."""

    async def story(world: World) -> None:
        phone = world.add_device("ann", "phone")
        await world.truth.put(edits.new("doc-a", 0, whole=True))
        await phone.pull()
        _edit(phone, title="edited")
        doc = world.truth.leaf("doc-a")
        assert doc is not None
        await world.truth.put({**doc, "title": "meanwhile"})
        await world.compact()
        await phone.push(blind=True)
        await world.rest()
        assert phone.denied == set()

    stage.run(story)
