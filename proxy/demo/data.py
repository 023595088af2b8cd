"""The demo's clinic: two facilities, patients, visits, photos and the people who work there."""

from __future__ import annotations

import random
from base64 import b64encode
from typing import Any

Doc = dict[str, Any]

ADMIN = ("admin", "secret")

USERS = {
    "ann": ("ann", ("nurse", "facility:north")),
    "bob": ("bob", ("nurse", "facility:south")),
    "dora": ("dora", ("doctor",)),
    "eva": ("eva", ("auditor",)),
}
"""Password and roles by name."""

_FIRST = ("Ada", "Ben", "Cleo", "Dan", "Edda", "Finn", "Gül", "Hans", "Ida", "Jan", "Kim", "Lea")
_LAST = ("Müller", "Okafor", "Sørensen", "Nguyen", "Rossi", "Haddad")


def documents() -> list[Doc]:
    """The sample documents, the same at every start."""
    chance = random.Random(7)
    docs: list[Doc] = []
    for number in range(1, 13):
        facility = "north" if number % 2 else "south"
        docs.append(_patient(number, facility, chance))
        docs.append(_visit(number, facility, chance))
        if number % 4 == 1:
            docs.append(_photo(number, facility, chance))
    return docs


def _patient(number: int, facility: str, chance: random.Random) -> Doc:
    return {
        "_id": f"patient:{number:03}",
        "type": "patient",
        "facility": facility,
        "name": {"first": _FIRST[number - 1], "last": chance.choice(_LAST)},
        "ssn": f"{chance.randrange(100, 999)}-{chance.randrange(10, 99)}-{chance.randrange(1000, 9999)}",
        "phone": f"+49 30 {chance.randrange(100000, 999999)}",
        "billing": {"insurer": chance.choice(("Harmony", "Unity")), "owed": chance.randrange(0, 900)},
        "notes": [
            {"text": "allergic to penicillin", "private": False},
            {"text": "has asked not to tell the family", "private": True},
        ],
    }


def _visit(number: int, facility: str, chance: random.Random) -> Doc:
    return {
        "_id": f"visit:{number:03}",
        "type": "visit",
        "facility": facility,
        "patient": f"patient:{number:03}",
        "weight": chance.randrange(400, 1100) / 10,
        "billing": {"code": f"Z{chance.randrange(10, 99)}", "amount": chance.randrange(20, 200)},
    }


def _photo(number: int, facility: str, chance: random.Random) -> Doc:
    return {
        "_id": f"photo:{number:03}",
        "type": "photo",
        "facility": facility,
        "patient": f"patient:{number:03}",
        "_attachments": {
            "thumbnail.jpg": _attachment("image/jpeg", chance.randbytes(4_000)),
            "original.jpg": _attachment("image/jpeg", chance.randbytes(150_000)),
        },
    }


def _attachment(content_type: str, data: bytes) -> Doc:
    return {"content_type": content_type, "data": b64encode(data).decode()}
