"""Rules and roles change while devices hold what they were shown before: their edits are read by what they had.

Each test pulls by some rules, changes them, or the user's roles, and pushes what the device edited of the old cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.clinic import PASSWORD
from tests.support.devices import Device, DeviceHost
from tests.support.http import Http, basic
from tests.support.proxy import Proxy
from tests.support.sources import Source, SourceDatabase

Doc = dict[str, Any]
Filters = list[dict[str, Any]]

ALL: Filters = []
NOTELESS: Filters = [{"use": "drop", "paths": ["note"]}]
MASKED: Filters = [{"use": "redact", "paths": ["name"], "mode": "partial", "keep": 1}]
FIRST: Filters = [{"use": "truncate", "paths": ["list"], "items": 1}]
RENAMED: Filters = [{"use": "rename", "fields": {"name": "fullName"}}]
NO_IMAGES: Filters = [{"use": "attachments", "deny": ["image/*"]}]
DOC: Doc = {"_id": "x", "name": "Ann", "note": "kept", "list": [1, 2, 3], "place": {"bed": 1, "ward": "W"}}
IMAGE = {"scan.png": {"content_type": "image/png", "data": "iVBORw0KGgo="}}


class Place:
    """One database behind a proxy of its own, whose rules can be changed."""

    def __init__(self, directory: Path, source: Source, database: SourceDatabase, host: DeviceHost) -> None:
        self.source, self.database, self._host = source, database, host
        self._devices: list[Device] = []
        self.proxy = Proxy(directory, source.url, [database.name], {"phone": {"filters": ALL}})

    def rules(self, filters: Filters, **profile: Any) -> None:
        """Serve by these rules from now on."""
        if self.proxy.process.running:
            self.proxy.process.kill()
        self.proxy.configure({"phone": {"filters": filters, **profile}})
        self.proxy.process.start()

    def device(self) -> Device:
        self._devices.append(self._host.device())
        return self._devices[-1]

    @property
    def url(self) -> str:
        return f"{self.proxy.url}/{self.database.name}-phone"

    @property
    def http(self) -> Http:
        return Http(self.url, basic("ann", PASSWORD))

    def pull(self, device: Device) -> None:
        result = device.pull(self.url, ("ann", PASSWORD))
        assert result["ok"], result

    def push(self, device: Device) -> Doc:
        result: Doc = device.push(self.url, ("ann", PASSWORD))
        assert result["error"] is None, result
        return result

    def close(self) -> None:
        for device in self._devices:
            device.close()
        self.proxy.process.kill()


@pytest.fixture
def place(source: Source, unused: Iterator[str], tmp_path: Path, device_host: DeviceHost) -> Iterator[Place]:
    place = Place(tmp_path, source, source.create_database(next(unused)), device_host)
    yield place
    place.close()


def stored(place: Place) -> Doc:
    return {name: value for name, value in place.database.get("x").items() if name != "_rev"}


def after(place: Place, before: Filters, now: Filters, doc: Doc = DOC) -> Device:
    """A device that has `doc` by rules that are gone."""
    place.database.put(doc)
    place.rules(before)
    device = place.device()
    place.pull(device)
    place.rules(now)
    return device


@pytest.mark.parametrize("before", [NOTELESS, RENAMED, [*NOTELESS, *MASKED, *FIRST]], ids=["drop", "name", "all"])
def test_what_a_device_never_had_stays(place: Place, before: Filters) -> None:
    device = after(place, before, ALL)
    device.edit("x", place={"bed": 2, "ward": "W"})
    place.push(device)
    assert stored(place) == {**DOC, "place": {"bed": 2, "ward": "W"}}
    device.edit("x", place={"bed": 3, "ward": "W"})  # of what it pushed: it never had the rest of that, either
    place.push(device)
    assert stored(place) == {**DOC, "place": {"bed": 3, "ward": "W"}}
    fresh = place.device()
    place.pull(fresh)
    assert {**fresh.get("x"), "_rev": ""} == {**DOC, "place": {"bed": 3, "ward": "W"}, "_rev": ""}


def test_attachments_that_a_device_never_had_stay(place: Place) -> None:
    device = after(place, NO_IMAGES, ALL, {**DOC, "_attachments": IMAGE})
    device.edit("x", name="Anna")
    place.push(device)
    held = place.database.get("x")
    assert (held["name"], list(held["_attachments"])) == ("Anna", ["scan.png"])


def test_rules_that_show_less(place: Place) -> None:
    """What is hidden now is in the edit: nobody could write that by the present rules, either."""
    device = after(place, ALL, [*NOTELESS, *MASKED])
    device.edit("x", place={"bed": 2, "ward": "W"})
    assert len(place.push(device)["denied"]) == 1
    assert stored(place) == DOC


def test_rules_that_show_something_else(place: Place) -> None:
    device = after(place, [*RENAMED, *NOTELESS], FIRST)
    device.edit("x", place={"bed": 2, "ward": "W"})
    assert len(place.push(device)["denied"]) == 1, "the rest of the list is hidden now"
    assert stored(place) == DOC


def test_names_that_are_others_now(place: Place) -> None:
    device = after(place, NOTELESS, RENAMED)
    device.edit("x", place={"bed": 2, "ward": "W"})
    place.push(device)
    assert stored(place) == {**DOC, "place": {"bed": 2, "ward": "W"}}


def test_a_role_that_is_granted(place: Place) -> None:
    place.database.put(DOC)
    profiles = {
        "head": {"suffix": False, "by_role": True, "roles": ["head"], "filters": ALL},
        "phone": {"suffix": False, "by_role": True, "roles": ["nurse"], "filters": NOTELESS},
    }
    place.proxy.configure(profiles)
    place.proxy.process.start()
    user = f"grace-{place.database.name}"
    place.source.add_users({user: ["nurse"]}, PASSWORD)
    url, auth, device = f"{place.proxy.url}/{place.database.name}", (user, PASSWORD), place.device()
    assert device.pull(url, auth)["ok"]
    assert "note" not in device.get("x")
    place.source.add_users({user: ["head"]}, PASSWORD)
    place.proxy.process.restart()  # so that the role counts at once
    device.edit("x", name="Anna")
    assert device.push(url, auth)["ok"]
    assert stored(place) == {**DOC, "name": "Anna"}


def test_an_edit_by_request(place: Place) -> None:
    place.database.put(DOC)
    place.rules(NOTELESS)
    _, doc = place.http.json("GET", "/x"), place.http.json("GET", "/x")
    place.rules(ALL)
    place.http.json("PUT", "/x", {**doc, "name": "Anna"})
    assert stored(place) == {**DOC, "name": "Anna"}


COMPUTED: Filters = [
    {"use": "stamp", "fields": {"by": "client.name"}, "when": "write", "claims": "refuse"},
    {"use": "compute", "fields": {"bed": "place.bed", "count": "length(list)"}},
]


def test_a_device_edits_again_what_it_wrote_though_its_computed_fields_are_old(place: Place) -> None:
    device = after(place, COMPUTED, COMPUTED, {**DOC, "by": "bob"})
    for bed in (2, 3, 4):
        device.edit("x", place={"bed": bed, "ward": "W"}, list=[*range(bed)])
        assert place.push(device)["denied"] == []
        assert stored(place) == {**DOC, "place": {"bed": bed, "ward": "W"}, "list": [*range(bed)], "by": "ann"}
