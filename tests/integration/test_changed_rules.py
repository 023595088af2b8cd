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


def test_what_a_granted_role_shows_of_a_document_reaches_the_device(place: Place) -> None:
    """Though its profile is another one by now, so that it begins anew."""
    place.database.put(DOC)
    place.proxy.configure(
        {
            "head": {"suffix": False, "by_role": True, "roles": ["head"], "filters": ALL},
            "phone": {"suffix": False, "by_role": True, "roles": ["nurse"], "filters": NOTELESS},
        }
    )
    place.proxy.process.start()
    user = f"grace-{place.database.name}"
    url, auth, device = f"{place.proxy.url}/{place.database.name}", (user, PASSWORD), place.device()
    for role in ("nurse", "head", "nurse", "head"):
        place.source.add_users({user: [role]}, PASSWORD)
        place.proxy.process.restart()  # so that the role counts at once
        assert device.pull(url, auth)["ok"]
        assert ("note" in device.get("x")) == (role == "head")
        assert device.conflicts("x") == []
    device.edit("x", note="read")
    assert device.push(url, auth)["ok"]
    assert stored(place) == {**DOC, "note": "read"}


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


def test_documents_go_with_a_role_and_come_back_with_it(place: Place) -> None:
    """As they are, edited meanwhile, and deleted; a device that missed a change of roles ends up with the same."""
    for name in ("x", "y", "z"):
        place.database.put({**DOC, "_id": name, "ward": "ward:w1", "_attachments": IMAGE})
    place.database.put({**DOC, "_id": "open", "ward": "all"})
    user = f"grace-{place.database.name}"
    auth, device, late = (user, PASSWORD), place.device(), place.device()

    def grant(*roles: str) -> None:
        place.source.add_users({user: ["all", *roles]}, PASSWORD)
        place.rules([{"use": "select", "where": "contains(client.roles, ward)"}, *NOTELESS])  # it counts at once

    def pulled(*devices: Device) -> list[list[str]]:
        for each in devices:
            result = each.pull(place.url, auth)
            assert result["ok"], result
        return [each.ids() for each in devices]

    grant("ward:w1")
    assert pulled(device, late) == 2 * [["open", "x", "y", "z"]]
    grant()
    assert pulled(device) == [["open"]]
    place.database.edit("y", name="Bea")
    place.database.remove("z")
    grant("ward:w1")
    assert pulled(device, late) == 2 * [["open", "x", "y"]]
    assert [each.get("y")["name"] for each in (device, late)] == ["Bea", "Bea"]
    assert device.get_attachment("x", "scan.png") == b"\x89PNG\r\n\x1a\n"
    grant()
    assert pulled(device, late) == 2 * [["open"]]
    grant("ward:w1")
    assert pulled(device) == [["open", "x", "y"]]
    device.edit("x", name="Anna")
    result = device.push(place.url, auth)
    assert (result["error"], result["denied"]) == (None, [])
    held = place.database.get("x")
    assert (held["name"], held["note"], list(held["_attachments"])) == ("Anna", "kept", ["scan.png"])
    place.database.remove("y")
    assert pulled(device, late) == 2 * [["open", "x"]]
    assert [each.conflicts("x") for each in (device, late)] == [[], []]
    assert [each.get("x")["name"] for each in (device, late)] == ["Anna", "Anna"]
    assert [len(place.database.leaves(name)) for name in ("x", "y", "z", "open")] == [1, 1, 1, 1]


def test_documents_go_with_rules_and_come_back_with_them(place: Place) -> None:
    place.database.put(DOC)
    place.database.put({**DOC, "_id": "y", "closed": True})
    opened = [{"use": "select", "where": "!closed"}]
    place.rules(ALL)
    device = place.device()
    for rules, ids in ((ALL, ["x", "y"]), (opened, ["x"]), (NOTELESS, ["x", "y"]), (opened, ["x"]), (ALL, ["x", "y"])):
        place.rules(rules)
        place.pull(device)
        assert device.ids() == ids
    device.edit("y", name="Anna")
    place.push(device)
    assert place.database.get("y")["note"] == "kept"
    place.database.remove("y")
    place.pull(device)
    assert device.ids() == ["x"]
