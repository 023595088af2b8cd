"""Edits of documents, as their authors make them: at the source on whole ones, on devices on what is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.properties.device import attachment

Doc = dict[str, Any]

FACILITIES = ("f1", "f2", "f3")


def new(doc_id: str, number: int, *, whole: bool) -> Doc:
    """A fresh document: with everything that profiles hide, or the little that any device may write."""
    doc: Doc = {"_id": doc_id, "facility": FACILITIES[number % 2], "title": f"title {number}"}
    if whole:
        doc |= {
            "ssn": f"#ssn {number}",
            "billing": {"iban": f"#iban {number}", "open": number},
            "notes": [_note(number, False), _note(number, True), {**_note(number, False), "text": f"also {number}"}],
            "visits": [{"id": number, "day": "mon", "cost": f"#cost {number}"}, {"id": -number - 1, "day": "tue"}],
            "tags": ["!first", f"tag {number}", f"!tag {number}", "last"],
            "_attachments": {
                "report.txt": attachment("text/plain", b"report %d" % number),
                "scan.png": attachment("image/png", b"image %d" % number),
            },
        }
    return doc


def _note(number: int, private: bool) -> Doc:
    return {"text": f"{'#private' if private else 'note'} {number}", "private": private}


def _title(doc: Doc, number: int) -> None:
    doc["name" if "name" in doc else "title"] = f"title {number}"


def _rename(doc: Doc, number: int) -> None:
    """Two fields, of which some profiles show one under the name of the other."""
    doc["name" if "title" in doc else "title"] = f"name {number}"


def _move(doc: Doc, number: int) -> None:
    doc["facility"] = FACILITIES[number % len(FACILITIES)]


def _write_hidden(doc: Doc, number: int) -> None:
    doc["ssn"] = f"#ssn {number}"


def _drop_billing(doc: Doc, number: int) -> None:
    doc.pop("billing", None)


def _add_note(doc: Doc, number: int) -> None:
    doc.setdefault("notes", []).insert(number % (len(doc["notes"]) + 1), _note(number, False))


def _add_private_note(doc: Doc, number: int) -> None:
    doc.setdefault("notes", []).insert(number % (len(doc["notes"]) + 1), _note(number, True))


def _edit_note(doc: Doc, number: int) -> None:
    if doc.get("notes"):
        doc["notes"][number % len(doc["notes"])]["text"] = f"edited {number}"


def _publish_note(doc: Doc, number: int) -> None:
    for note in doc.get("notes", ())[number % 3 :][:1]:
        note.update(_note(number, not note["private"]))


def _remove_note(doc: Doc, number: int) -> None:
    if doc.get("notes"):
        del doc["notes"][number % len(doc["notes"])]


def _reverse_notes(doc: Doc, number: int) -> None:
    doc.get("notes", []).reverse()


def _remove_notes(doc: Doc, number: int) -> None:
    doc.pop("notes", None)


def _add_visit(doc: Doc, number: int) -> None:
    visits = doc.setdefault("visits", [])
    if all(visit["id"] != number for visit in visits):
        visits.insert(number % (len(visits) + 1), {"id": number, "day": "wed"})


def _edit_visit(doc: Doc, number: int) -> None:
    if doc.get("visits"):
        doc["visits"][number % len(doc["visits"])]["day"] = f"day {number}"


def _price_visit(doc: Doc, number: int) -> None:
    if doc.get("visits"):
        doc["visits"][number % len(doc["visits"])]["cost"] = f"#cost {number}"


def _remove_visit(doc: Doc, number: int) -> None:
    if doc.get("visits"):
        del doc["visits"][number % len(doc["visits"])]


def _reverse_visits(doc: Doc, number: int) -> None:
    doc.get("visits", []).reverse()


def _add_tag(doc: Doc, number: int) -> None:
    doc.setdefault("tags", []).insert(number % (len(doc["tags"]) + 1), f"{'!' if number % 3 == 0 else ''}tag {number}")


def _remove_tag(doc: Doc, number: int) -> None:
    if doc.get("tags"):
        del doc["tags"][number % len(doc["tags"])]


def _attach_text(doc: Doc, number: int) -> None:
    name = ("report.txt", "more.txt")[number % 2]
    doc.setdefault("_attachments", {})[name] = attachment("text/plain", b"text %d" % number)


def _attach_image(doc: Doc, number: int) -> None:
    name = ("scan.png", "report.txt", "photo.png")[number % 3]
    doc.setdefault("_attachments", {})[name] = attachment("image/png", b"image %d" % number)


def _detach(doc: Doc, number: int) -> None:
    entries = doc.get("_attachments")
    if entries:
        del entries[sorted(entries)[number % len(entries)]]
    if entries == {}:
        del doc["_attachments"]


EDITS: Sequence[Callable[[Doc, int], None]] = (
    _title,
    _move,
    _add_note,
    _edit_note,
    _remove_note,
    _reverse_notes,
    _add_visit,
    _edit_visit,
    _remove_visit,
    _reverse_visits,
    _add_tag,
    _remove_tag,
    _attach_text,
    _attach_image,
    _detach,
    _write_hidden,
    _drop_billing,
    _add_private_note,
    _publish_note,
    _remove_notes,
    _price_visit,
    _rename,
)
"""From a document, which is changed in place, and a number that is new with each edit."""
