"""Replicating by PouchDB: what a device notices. It takes a good part of the time itself."""

from __future__ import annotations

from asyncio import to_thread
from typing import Any
from urllib.parse import quote

from tests.bench import pushes
from tests.bench.lanes import Lane
from tests.bench.servers import DATABASE, Stage
from tests.compatibility.clients.driver import Driver, node
from tests.support.devices import CLIENTS

_PUSHED = 2_000


def is_installed() -> bool:
    """Whether there is a PouchDB: `make clients` installs it."""
    return (CLIENTS / "node_modules" / "pouchdb").is_dir()


class PouchDB:
    """A device, with an empty database before each measure."""

    def __init__(self) -> None:
        self._device: Driver = node("replicating.js")

    def close(self) -> None:
        """End its process."""
        self._device.close()

    async def push(self, size: int, stage: Stage, lane: Lane) -> float:
        """Documents a second that the source does not have, `size` at a time."""
        docs = pushes.new_documents(_PUSHED)
        await to_thread(self._device.open)
        held = await to_thread(self._device.hold, [pushes.without_revision(doc) for doc in docs])
        await stage.settle()
        pushed = await to_thread(self._device.push, _url(stage, lane), size)
        await pushes.remove(stage, held)
        return _rate(pushed, _PUSHED, lane)

    async def pull(self, stage: Stage, lane: Lane) -> float:
        """Documents a second of all that there are."""
        there = await stage.request("GET", stage.source_url, f"/{DATABASE}")
        await to_thread(self._device.open)
        return _rate(await to_thread(self._device.pull, _url(stage, lane)), there["doc_count"], lane)


def _url(stage: Stage, lane: Lane) -> str:
    name, password = map(quote, stage.user)
    scheme, _, address = lane.url.partition("://")
    return f"{scheme}://{name}:{password}@{address}/{lane.database}"


def _rate(found: Any, count: int, lane: Lane) -> float:
    if found["count"] != count:
        raise RuntimeError(f"PouchDB replicated {found['count']} of {count} documents with {lane.name}")
    return float(count / found["took"] * 1000)
