"""CouchDB 2.0 to 3.2 as the source: the same answers as from later ones, and replication in both directions."""

from __future__ import annotations

import pytest

from tests.compatibility.drivers.couchdb import V2, V3, Release
from tests.compatibility.sources import untouched, world
from tests.compatibility.sources.conversation import RUN as COMPARED
from tests.compatibility.sources.conversation import hold
from tests.compatibility.sources.couchdb2 import couchdb_2
from tests.compatibility.sources.replication import RUN, replicates_both_ways
from tests.compatibility.table import row

VERSION = "2.0 to 3.2"


@row(
    "sources",
    "CouchDB",
    VERSION,
    COMPARED,
)
async def test_answers_are_those_from_couchdb_3() -> None:
    async with world(untouched) as modern:
        expected = await hold(modern)
    async with world(couchdb_2) as old:
        found = await hold(old)
        assert old.count("_bulk_get") > 1
    assert found == expected


@row("sources", "CouchDB", VERSION, RUN)
@pytest.mark.parametrize("release", [V2, V3], ids=["2.x", "3.x"])
async def test_a_replicator_pulls_and_pushes(release: Release) -> None:
    await replicates_both_ways(couchdb_2, release)
