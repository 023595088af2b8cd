"""The clinic of the integration suite: its users, profiles and documents, and what each profile must never give away.

phone     a facility's documents without `ssn` and private notes, attachments up to 1000 bytes
tablet    a facility's documents without `billing` and `notes`, all attachments
auditor   everything, `ssn` masked, read only
shaky     as phone, but its filter raises for documents with `explode`
"""

from __future__ import annotations

from typing import Any

Doc = dict[str, Any]

PASSWORD = "pass"
USERS = {
    "ann": ["nurse", "facility:f1"],
    "carol": ["nurse", "facility:f1"],
    "bob": ["doctor", "facility:f2"],
    "dan": ["doctor", "facility:f3"],
    "eve": ["auditor"],
    "mallory": [],
}

_STAFF = ["nurse", "doctor"]

PROFILES: dict[str, Doc] = {
    "phone": {
        "suffix": "phone",
        "roles": _STAFF,
        "filters": [
            {"use": "select", "where": "facility == client.facility"},
            {"use": "drop", "paths": ["ssn", "notes[?private]"]},
            {"use": "attachments", "max_size": 1000},
        ],
    },
    "tablet": {
        "suffix": "tablet",
        "roles": _STAFF,
        "filters": [
            {"use": "clinic_filters:OwnFacility"},
            {"use": "clinic_filters:Without", "fields": ["billing", "notes"]},
        ],
    },
    "auditor": {
        "suffix": "audit",
        "roles": ["auditor"],
        "write": False,
        "filters": [{"use": "redact", "paths": ["ssn"]}],
    },
    "shaky": {
        "suffix": "shaky",
        "roles": _STAFF,
        "filters": [{"use": "clinic_filters:OwnFacility"}, {"use": "clinic_filters:Raising"}],
    },
}

FILTERS = """
from proxy.contract import Filter


class OwnFacility(Filter):
    def shape(self, doc, client):
        return doc if doc.get("facility") == client.attributes.get("facility") else None

    def audience_fields(self):
        return ("facility",)


class Without(Filter):
    passes_all = True

    def __init__(self, fields):
        self.fields = frozenset(fields)

    def shape(self, doc, client):
        return {name: value for name, value in doc.items() if name not in self.fields}


class Raising(Filter):
    def shape(self, doc, client):
        if doc.get("explode"):
            raise RuntimeError("this filter cannot stand the document")
        return doc
"""

BIG = b"\x00\x01scan" * 1000
SMALL = b"a small note"


def patient(number: int, facility: str = "f1", **fields: Any) -> Doc:
    """A document in which each profile has something to hide; every hidden value is told apart by the number."""
    return {
        "_id": f"patient:{number}",
        "type": "patient",
        "facility": facility,
        "name": f"Name {number}",
        "ssn": f"ssn-hidden-{number}",
        "billing": {"iban": f"iban-hidden-{number}", "open": 12.5},
        "notes": [
            {"text": f"public note {number}", "private": False},
            {"text": f"note-hidden-{number}", "private": True},
        ],
        **fields,
    }


def seen(doc: Doc, profile: str) -> Doc:
    """What a profile shows of a `patient`, without protocol members."""
    shown = {name: value for name, value in doc.items() if name == "_id" or not name.startswith("_")}
    if profile == "phone":
        shown.pop("ssn", None)
        shown["notes"] = [note for note in shown["notes"] if not note["private"]]
    if profile == "tablet":
        for name in ("billing", "notes"):
            shown.pop(name, None)
    if profile == "auditor" and "ssn" in shown:
        shown["ssn"] = "***"
    return shown


def body(doc: Doc) -> Doc:
    """A document without protocol members."""
    return {name: value for name, value in doc.items() if name == "_id" or not name.startswith("_")}
