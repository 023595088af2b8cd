"""Attachments both ways; those that a profile hides survive what its devices write."""

from __future__ import annotations

from base64 import b64encode

from tests.compatibility.table import every_source
from tests.support.clinic import BIG, SMALL, patient
from tests.support.site import Site


def with_attachments(site: Site) -> None:
    site.database.put(patient(1))
    site.database.put_attachment("patient:1", "note.txt", SMALL, "text/plain")
    site.database.put_attachment("patient:1", "scan.bin", BIG, "application/octet-stream")


def names(doc: dict[str, object]) -> list[str]:
    attachments = doc.get("_attachments", {})
    assert isinstance(attachments, dict)
    return sorted(attachments)


def test_a_device_receives_those_that_its_profile_shows(site: Site) -> None:
    with_attachments(site)
    phone, tablet = site.person("ann"), site.person("ann", "tablet")
    phone.pull()
    tablet.pull()
    assert names(phone.device.get("patient:1")) == ["note.txt"]
    assert phone.device.get_attachment("patient:1", "note.txt") == SMALL
    assert names(tablet.device.get("patient:1")) == ["note.txt", "scan.bin"]
    assert tablet.device.get_attachment("patient:1", "scan.bin") == BIG
    assert tablet.device.get_attachment("patient:1", "note.txt") == SMALL
    assert phone.device.received("scan", b64encode(BIG[:30]).decode()) == []
    assert phone.http.request("GET", "/patient:1/scan.bin").status == 404
    assert phone.http.request("GET", "/patient:1/note.txt").body == SMALL


def test_hidden_ones_survive_an_edit(site: Site) -> None:
    with_attachments(site)
    phone = site.person("ann")
    phone.pull()
    phone.device.edit("patient:1", name="edited")
    phone.push()
    stored = site.database.get("patient:1")
    assert stored["name"] == "edited"
    assert stored["ssn"] == "ssn-hidden-1"
    assert names(stored) == ["note.txt", "scan.bin"]
    assert site.database.get_attachment("patient:1", "scan.bin") == BIG
    assert site.database.get_attachment("patient:1", "note.txt") == SMALL


@every_source("attachments")
def test_a_device_adds_changes_and_removes(site: Site) -> None:
    with_attachments(site)
    phone, tablet = site.person("ann"), site.person("carol", "tablet")
    phone.pull()
    phone.device.put_attachment("patient:1", "photo.png", b"\x89PNG small", "image/png")
    phone.device.put_attachment("patient:1", "note.txt", b"rewritten", "text/plain")
    phone.push()
    assert names(site.database.get("patient:1")) == ["note.txt", "photo.png", "scan.bin"]
    assert site.database.get_attachment("patient:1", "photo.png") == b"\x89PNG small"
    assert site.database.get_attachment("patient:1", "note.txt") == b"rewritten"
    assert site.database.get_attachment("patient:1", "scan.bin") == BIG
    tablet.pull()
    assert tablet.device.get_attachment("patient:1", "photo.png") == b"\x89PNG small"
    assert tablet.device.get_attachment("patient:1", "scan.bin") == BIG

    phone.device.remove_attachment("patient:1", "note.txt")
    phone.push()
    assert names(site.database.get("patient:1")) == ["photo.png", "scan.bin"]
    assert site.database.get_attachment("patient:1", "scan.bin") == BIG


def test_a_new_document_with_an_attachment(site: Site) -> None:
    phone, tablet = site.person("ann"), site.person("carol", "tablet")
    phone.device.put({"_id": "visit:1", "facility": "f1"})
    phone.device.put_attachment("visit:1", "sub/dir.txt", b"with a slash", "text/plain")
    phone.push()
    tablet.pull()
    assert tablet.device.get_attachment("visit:1", "sub/dir.txt") == b"with a slash"


def test_one_that_the_device_could_not_read_back_is_refused(site: Site) -> None:
    with_attachments(site)
    phone = site.person("ann")
    phone.pull()
    phone.device.put_attachment("patient:1", "huge.bin", b"h" * 2000, "application/octet-stream")
    result = phone.device.push(phone.url, phone.auth)
    assert [row["name"] for row in result["denied"]] == ["forbidden"]
    assert names(site.database.get("patient:1")) == ["note.txt", "scan.bin"]


def test_a_hidden_one_cannot_be_overwritten_or_removed(site: Site) -> None:
    with_attachments(site)
    phone = site.person("ann")
    rev = site.database.get("patient:1")["_rev"]
    wrote = phone.http.request(
        "PUT", f"/patient:1/scan.bin?rev={rev}", body=b"tiny", headers={"Content-Type": "text/plain"}
    )
    removed = phone.http.request("DELETE", f"/patient:1/scan.bin?rev={rev}")
    assert wrote.status == 403
    assert removed.status in (200, 403, 404)
    assert site.database.get_attachment("patient:1", "scan.bin") == BIG


def test_a_bare_attachment_write_keeps_hidden_fields(site: Site) -> None:
    with_attachments(site)
    phone = site.person("ann")
    rev = phone.http.json("GET", "/patient:1")["_rev"]
    reply = phone.http.request(
        "PUT", f"/patient:1/extra.txt?rev={rev}", body=b"extra", headers={"Content-Type": "text/plain"}
    )
    assert reply.status == 201
    stored = site.database.get("patient:1")
    assert stored["ssn"] == "ssn-hidden-1"
    assert names(stored) == ["extra.txt", "note.txt", "scan.bin"]
    assert site.database.get_attachment("patient:1", "scan.bin") == BIG
