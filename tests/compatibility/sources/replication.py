"""The ward of the drivers at another source, and CouchDB's replicator in front."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.compatibility.drivers import ward
from tests.compatibility.drivers.couchdb import Release, Replicator
from tests.compatibility.drivers.replica import Replica
from tests.compatibility.drivers.wire import Wire
from tests.compatibility.sources import Script, World, world

RUN = "CouchDB's replicator, both ways: documents, conflicts, tombstones, attachments, checkpoints"


@asynccontextmanager
async def before(script: Script, source: Mapping[str, Any] | None = None) -> AsyncIterator[tuple[World, Wire]]:
    """The ward at such a source, which is asked with these settings."""
    async with world(script, ward.PHONE, source=source) as there:
        await ward.fill(there)
        wire = Wire(there.proxy_url)
        try:
            yield there, wire
        finally:
            await wire.close()


def job(wire: Wire, release: Release) -> Replicator:
    return Replicator(wire, ward.DATABASE, ward.USER, Replica(), release)


async def replicates_both_ways(script: Script, release: Release, source: Mapping[str, Any] | None = None) -> None:
    """Everything visible arrives, nothing twice, nothing hidden; edits are sewn into whole documents."""
    async with before(script, source) as (there, wire):
        replicator = job(wire, release)
        assert await replicator.pull() > len(ward.VISIBLE)
        ward.everything_visible_in(replicator.replica)
        assert await replicator.pull() == 0
        written = ward.edit(replicator.replica)
        assert await replicator.push() == len(written)
        assert replicator.skipped == []
        await ward.edits_are_whole(there, written)
        assert await replicator.push() == await replicator.pull() == 0
        ward.nothing_hidden_in(wire)
