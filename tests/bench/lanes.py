"""Ways to the documents that are measured beside each other, and the documents."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

DOCS = 10_000
"""Documents that there are."""


@dataclass
class Lane:
    """One way to the documents."""

    name: str
    url: str
    database: str
    samples: list[float] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)


def document(number: int) -> dict[str, Any]:
    """A document of about 500 bytes, with something to hide."""
    chance = random.Random(number)
    return {
        "_id": f"patient:{number:07}",
        "type": "patient",
        "facility": f"f{number % 10}",
        "owner": "rare" if number % 1000 == 0 else "common",
        "name": {"first": f"First{number}", "last": f"Last{number}"},
        "ssn": f"{number:09}",
        "billing": {"insurer": "Harmony", "owed": chance.randrange(1000)},
        "notes": [
            {"text": f"private {chance.getrandbits(200):x}", "private": True},
            {"text": f"public {chance.getrandbits(200):x}", "private": False},
        ],
        "weight": chance.randrange(400, 1000) / 10,
        "phone": f"+49 30 {chance.randrange(10**6)}",
    }
