"""Documents and clients that the tests of filters share."""

from __future__ import annotations

from proxy.contract import Client, Doc

ANN = Client("ann", frozenset({"nurse", "facility:f7"}), "phone")
BOB = Client("bob", frozenset({"doctor", "facility:f7", "facility:f8"}), "tablet")
NOBODY = Client(None)

PATIENT: Doc = {
    "_id": "patient:1",
    "_rev": "3-c",
    "type": "patient",
    "facility": "f7",
    "owner": "ann",
    "name": "Ann Smith",
    "ssn": "123-45-6789",
    "visits": 3,
    "ratio": 1.0,
    "address": {"street": "Main 1", "city": "X", "geo": {"lat": 1.5, "lon": 2}},
    "notes": [
        {"text": "first", "private": False, "by": "ann"},
        {"text": "second", "private": True, "by": "bob"},
        {"text": "third", "private": False, "by": "bob", "tags": ["a", "b"]},
        {"text": "fourth", "private": True, "by": "ann"},
    ],
    "contacts": [
        {"id": "c1", "phone": "1", "secret": 1},
        {"id": "c2", "phone": "2", "secret": 2},
        {"id": "c3", "phone": "3"},
    ],
    "tags": ["x", "y", "x"],
    "_attachments": {
        "photo.png": {"content_type": "image/png", "revpos": 1, "digest": "md5-a==", "length": 5000, "stub": True},
        "note.txt": {"content_type": "text/plain", "revpos": 2, "digest": "md5-b==", "length": 12, "stub": True},
    },
}

SPARSE: Doc = {"_id": "patient:2", "_rev": "1-a", "type": "patient", "facility": "f7"}

ODD: Doc = {
    "_id": "odd:1",
    "_rev": "2-b",
    "type": None,
    "facility": "f7",
    "name": {"first": "Ann", "last": "Smith"},
    "ssn": [1, True, {"x": None}],
    "address": "none",
    "notes": {"text": "alone", "private": True},
    "contacts": [[{"phone": "9", "secret": 3}], "text", 7, {}],
    "odd.key": 1,
    "visits": True,
}

TOMBSTONE: Doc = {"_id": "gone", "_rev": "5-e", "_deleted": True, "facility": "f7"}

SAMPLES = [PATIENT, SPARSE, ODD, TOMBSTONE]
