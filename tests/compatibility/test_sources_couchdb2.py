"""CouchDB 2.0 to 3.2 as the source: the same answers as from later ones, and replication in both directions."""

from __future__ import annotations

import hmac

import pytest

from tests.compatibility.drivers.couchdb import V2, V3, Release
from tests.compatibility.sources import Asked, Forward, Given, as_admin, follow, refusal, untouched, world
from tests.compatibility.sources.conversation import RUN as COMPARED
from tests.compatibility.sources.conversation import hold
from tests.compatibility.sources.couchdb2 import couchdb_2
from tests.compatibility.sources.replication import RUN, replicates_both_ways
from tests.compatibility.table import row

VERSION = "2.0 to 3.2"
SECRET = "that of both"
DOCS = [{"_id": "mine", "facility": "f1"}, {"_id": "others", "facility": "f2"}]


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


@row("sources", "CouchDB", VERSION, "proxy authentication, which is signed by SHA-1 there (`proxy_hash`)")
async def test_it_is_told_of_clients_by_sha_1() -> None:
    signed = {"auth": "proxy", "proxy_secret": SECRET}
    async with world(couchdb_2_told_of_clients, docs=DOCS, source={**signed, "proxy_hash": "sha1"}) as site:
        assert [each["id"] for each in await follow(site)] == ["mine"]
        assert (await site.ask("PUT", "/clinic-phone/new", {"facility": "f1"})).status == 201
    async with world(couchdb_2_told_of_clients, docs=DOCS, source=signed) as site:
        answer = await site.ask("GET", "/clinic-phone/mine")
        assert (answer.status, answer.json["error"]) == (502, "bad_gateway")


async def couchdb_2_told_of_clients(asked: Asked, forward: Forward) -> Given:
    """Takes the headers of proxy authentication; who a client is, it says by the client's own credentials."""
    if asked.endpoint == "_session":
        return await forward(asked)
    name = asked.headers.get("X-Auth-CouchDB-UserName", "")
    if asked.headers.get("X-Auth-CouchDB-Token") != hmac.new(SECRET.encode(), name.encode(), "sha1").hexdigest():
        return refusal(401, "unauthorized", "You are not authorized to access this db.")
    return await couchdb_2(as_admin(asked), forward)
