"""A database of a source behind the proxy, with people and their devices: what the scenarios are told in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.clinic import FILTERS, PASSWORD, PROFILES
from tests.support.devices import Device, DeviceHost, Live
from tests.support.http import Http, basic
from tests.support.proxy import Proxy
from tests.support.sources import Source, SourceDatabase

Doc = dict[str, Any]

_OF = {"eve": "auditor"}
_SUFFIX = {name: profile["suffix"] for name, profile in PROFILES.items()}


def clinic_proxy(directory: Path, source_url: str, databases: list[str], **options: Any) -> Proxy:
    """A proxy with the clinic's profiles for these databases."""
    return Proxy(directory, source_url, databases, PROFILES, modules={"clinic_filters": FILTERS}, **options)


class Person:
    """A user's device in front of one profile. `device` is PouchDB."""

    def __init__(self, site: Site, user: str, profile: str, device: Device) -> None:
        self.device = device
        self.user = user
        self.url = f"{site.proxy.url}/{site.database.name}-{_SUFFIX[profile]}"
        self.auth = (user, PASSWORD)

    def pull(self, **options: Any) -> Doc:
        """A pull that must end well; use `device.pull` for others."""
        result = self.device.pull(self.url, self.auth, **options)
        assert result["ok"], result
        assert result["error"] is None
        return result

    def push(self, **options: Any) -> Doc:
        result = self.device.push(self.url, self.auth, **options)
        assert result["ok"], result
        assert result["error"] is None
        return result

    def sync(self, **options: Any) -> Doc:
        result = self.device.sync(self.url, self.auth, **options)
        assert result["error"] is None, result
        return result

    def live(self, direction: str = "sync", **options: Any) -> Live:
        return self.device.live(self.url, self.auth, direction, **options)

    @property
    def http(self) -> Http:
        """The profile's database, with bare requests."""
        return Http(self.url, basic(*self.auth))


class Site:
    """One database, its source, a proxy in front."""

    def __init__(self, source: Source, proxy: Proxy, database: SourceDatabase, host: DeviceHost) -> None:
        self.source = source
        self.proxy = proxy
        self.database = database
        self._host = host
        self._devices: list[Device] = []

    def person(self, user: str, profile: str = "", directory: Path | None = None) -> Person:
        """`user` with a new, empty device; with a directory it is stored there."""
        device = self._host.device(directory)
        self._devices.append(device)
        return Person(self, user, profile or _OF.get(user, "phone"), device)

    def forget(self, person: Person) -> None:
        """Its device is closed already."""
        self._devices.remove(person.device)

    def close(self) -> None:
        for device in self._devices:
            device.close()


def fetched(requests: list[Doc]) -> list[str]:
    """The ids of the documents that a device fetched with these requests."""
    ids = []
    for request in requests:
        if request["path"].endswith("/_bulk_get"):
            ids += [entry["id"] for entry in json.loads(request["body"])["docs"]]
    return ids
