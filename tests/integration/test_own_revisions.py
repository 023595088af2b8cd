"""A device keeps what it sent under the revision that it sent, whatever was stored of it (docs/limits.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_changed_rules import Doc, Filters, Place
from tests.support.devices import Device, DeviceHost
from tests.support.sources import Source

STAMP: Filters = [{"use": "stamp", "fields": {"owner": "client.name"}}]
COMPUTE: Filters = [{"use": "compute", "fields": {"double": "sum([n, n])"}}]
DROP: Filters = [{"use": "drop", "paths": ["pin"]}]


@pytest.fixture
def place(source: Source, unused: Iterator[str], tmp_path: Path, device_host: DeviceHost) -> Iterator[Place]:
    place = Place(tmp_path, source, source.create_database(next(unused)), device_host)
    yield place
    place.close()


def fields(doc: Doc) -> Doc:
    return {name: value for name, value in doc.items() if not name.startswith("_")}


@pytest.mark.parametrize(
    ("filters", "profile", "sent", "kept", "others"),
    [
        (STAMP, {}, {"n": 1}, {"n": 1}, {"n": 1, "owner": "ann"}),
        (STAMP, {}, {"n": 1, "owner": "ann"}, {"n": 1, "owner": "ann"}, {"n": 1, "owner": "ann"}),
        (COMPUTE, {}, {"n": 1}, {"n": 1}, {"n": 1, "double": 2}),
        (DROP, {"on_surplus": "discard"}, {"n": 1, "pin": 7}, {"n": 1, "pin": 7}, {"n": 1}),
    ],
)
def test_the_author_keeps_what_it_sent_until_the_next_revision(
    place: Place, filters: Filters, profile: dict[str, Any], sent: Doc, kept: Doc, others: Doc
) -> None:
    place.rules(filters, **profile)
    author, other = place.device(), place.device()
    author.put({"_id": "x", **sent})
    place.push(author)

    def shown(device: Device) -> Doc:
        place.pull(device)
        return fields(device.get("x"))

    assert (shown(author), shown(other)) == (kept, others)
    place.database.edit("x", next=True)
    assert shown(author) == shown(other) == {**others, "next": True}
