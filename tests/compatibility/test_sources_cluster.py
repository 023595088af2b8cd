"""A cluster whose nodes fail: clients end with exactly what they may see."""

from __future__ import annotations

from random import Random
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.reading import changes_rows
from tests.compatibility.drivers.couchdb import V3
from tests.compatibility.sources import Asked, Forward, Given, World, docs_of, follow, world
from tests.compatibility.sources.cluster import Cluster
from tests.compatibility.sources.replication import RUN, replicates_both_ways
from tests.compatibility.table import row

CLUSTER = "cluster behind a load balancer"
FACILITIES = ("f1", "f2")


class Device:
    """A client that replicates in small pages: the leaves that it was told of, and their bodies, by document."""

    def __init__(self, site: World, limit: int) -> None:
        self._site = site
        self._limit = limit
        self._since: Any = "0"
        self.leaves: dict[str, dict[str, Any]] = {}

    async def page(self) -> bool:
        """Replicate one page; whether there was any."""
        path = f"/clinic-phone/_changes?style=all_docs&limit={self._limit}&since={self._since}"
        page = (await self._site.ask("GET", path)).json
        for change in page["results"]:
            known = self.leaves.get(change["id"], {})
            revs = [each["rev"] for each in change["changes"]]
            missing = [{"id": change["id"], "rev": rev} for rev in revs if rev not in known]
            fetched = {}
            if missing:
                entries = docs_of(await self._site.ask("POST", "/clinic-phone/_bulk_get", {"docs": missing}))
                fetched = {entry["ok"]["_rev"]: entry["ok"] for entry in entries}  # what is announced is served
            self.leaves[change["id"]] = {rev: known.get(rev) or fetched[rev] for rev in revs}
        self._since = page["last_seq"]
        return bool(page["results"])

    def live(self) -> dict[str, dict[str, Any]]:
        """The bodies of what is not deleted."""
        return {
            doc_id: doc for doc_id, leaves in self.leaves.items() for doc in leaves.values() if not doc.get("_deleted")
        }


async def change(site: World, random: Random, revs: dict[str, str]) -> None:
    """One write at the source: a document is made, edited, moved, or deleted."""
    doc_id = f"d{random.randrange(8)}"
    doc = {"_id": doc_id, "facility": random.choice(FACILITIES), "n": random.random(), "secret": "hush"}
    if doc_id in revs:
        doc["_rev"] = revs[doc_id]
        if random.random() < 0.25:
            doc["_deleted"] = True
    revs[doc_id] = await site.put(doc)
    if "_deleted" in doc:
        del revs[doc_id]


@row("sources", CLUSTER, "–", "rows in any order and twice, sequences of other nodes, shards that begin again")
@given(seed=st.integers(0, 2**32), limit=st.integers(1, 5))
@settings(max_examples=10, deadline=None)
async def test_devices_end_with_what_they_may_see(seed: int, limit: int) -> None:
    random, cluster, revs = Random(seed), Cluster(seed), dict[str, str]()
    async with world(cluster) as site:
        device = Device(site, limit)
        for _ in range(25):
            if random.random() < 0.6:
                await change(site, random, revs)
            else:
                await device.page()
        cluster.calm = True
        while await device.page():
            pass
        rows = (await site.at_source("GET", "/clinic/_all_docs?include_docs=true")).json["rows"]
        visible = {row["id"]: row["doc"] for row in rows if row["doc"]["facility"] == "f1"}
        assert device.live() == {
            doc_id: {name: value for name, value in doc.items() if name != "secret"} for doc_id, doc in visible.items()
        }


@row("sources", CLUSTER, "–", RUN)
async def test_a_replicator_pulls_and_pushes() -> None:
    await replicates_both_ways(Cluster(3), V3)


@row("sources", CLUSTER, "–", "sequences of any length, also as JSON strings")
async def test_sequences_of_any_length_and_node_are_taken_back() -> None:
    cluster = Cluster(7)
    cluster.calm = True
    async with world(cluster, docs=[{"_id": f"d{number}", "facility": "f1"} for number in range(12)]) as site:
        rows = await follow(site, limit=1)
        assert sorted(row["id"] for row in rows) == sorted(f"d{number}" for number in range(12))
        for index, row in enumerate(rows):
            quoted = f"%22{row['seq']}%22"  # as CouchDB's replicator of 2.x and 3.x sends it
            rest = await follow(site, since=quoted)
            assert {each["id"] for each in rest} == {each["id"] for each in rows[index + 1 :]}


class Lagging:
    """A source that announces changes by one node, and gives documents by another, which has yet to hear of some:
    `times` times. `before`: what it has of those; None: nothing.
    """

    def __init__(self, ids: set[str], before: dict[str, Any] | None, times: int) -> None:
        self.ids = ids
        self.before = before
        self.times = times

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        if asked.endpoint != "_bulk_get" or not self.times:
            return given
        found = given.json
        if self.ids.isdisjoint(result["id"] for result in found["results"]):
            return given
        self.times -= 1
        for result in found["results"]:
            if result["id"] in self.ids:
                gone = {"id": result["id"], "rev": "undefined", "error": "not_found", "reason": "missing"}
                result["docs"] = [{"ok": self.before} if self.before else {"error": gone}]
        return given.with_json(found)


OLD = {"_id": "d", "facility": "f1", "n": 1, "secret": "hush"}


@pytest.mark.parametrize("edited", [False, True], ids=["new", "edited"])
@pytest.mark.parametrize("query", ["style=all_docs&limit=10", "include_docs=true&style=all_docs", ""])
async def test_a_change_that_the_next_node_does_not_know_is_told_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, edited: bool, query: str
) -> None:
    monkeypatch.setattr(changes_rows, "_PAUSES", (0.0, 0.0))
    source = Lagging({"d"}, None, 0)

    async def without_documents(asked: Asked, forward: Forward) -> Given:
        given = await source(asked, forward)
        if asked.endpoint != "_changes" or asked.query.get("include_docs") != "true":
            return given
        found = given.json
        return given.with_json({**found, "results": [{**row, "doc": None} for row in found["results"]]})

    async with world(without_documents) as site:
        await site.put({"_id": "other", "facility": "f1"})
        if edited:
            rev = await site.put(OLD)
            source.before = {**OLD, "_rev": rev, "_revisions": {"start": 1, "ids": [rev[2:]]}}
        since = (await site.ask("GET", "/clinic-phone/_changes")).json["last_seq"]
        made = await site.put({**OLD, "n": 2, **({"_rev": source.before["_rev"]} if source.before else {})})
        path = f"/clinic-phone/_changes?since={since}&{query}"
        source.times = 1000
        with pytest.raises(aiohttp.ClientPayloadError):
            await site.ask("GET", path)
        assert (
            "The source announces a revision that it does not give. It is one of d; a node of it may lag."
            in caplog.text
        )
        source.times = 2
        [row] = (await site.ask("GET", path)).json["results"]
        assert (row["id"], row["changes"]) == ("d", [{"rev": made}])


async def test_what_a_node_failed_to_read_is_not_missing() -> None:
    down = {"error": "internal_fabric_error", "reason": '{error,{nodedown,<<"progress not possible">>}}'}
    failing = False

    async def script(asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        if asked.endpoint != "_bulk_get" or not failing:
            return given
        found = given.json
        for result in found["results"]:
            result["docs"] = [{"error": {"id": result["id"], "rev": "undefined", **down}}]
        return given.with_json(found)

    async with world(script) as site:
        rev = await site.put(OLD)
        asked = {"docs": [{"id": "d", "rev": rev}]}
        assert [each["ok"]["n"] for each in docs_of(await site.ask("POST", "/clinic-phone/_bulk_get", asked))] == [1]
        failing = True
        for docs in ([{"id": "d"}], [{"id": "d", "rev": rev}], [{"id": "d"}, {"id": "e"}]):
            for query in ("", "?latest=true", "?revs=true"):
                answer = await site.ask("POST", f"/clinic-phone/_bulk_get{query}", {"docs": docs})
                assert (answer.status, b"missing" in answer.body) == (502, False)


@pytest.mark.parametrize(
    "announced", [[{"rev": "x"}], [{}], [{"rev": 1}], ["1-a"], "1-a", [{"rev": "1-a"}, {"rev": "b"}]]
)
async def test_what_is_announced_has_to_be_revisions(caplog: pytest.LogCaptureFixture, announced: Any) -> None:
    async def script(asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        if asked.endpoint != "_changes":
            return given
        found = given.json
        return given.with_json({**found, "results": [{**row, "changes": announced} for row in found["results"]]})

    async with world(script) as site:
        await site.put(OLD)
        for query in ("", "?include_docs=true", "?style=all_docs&limit=10"):
            with pytest.raises(aiohttp.ClientPayloadError):
                await site.ask("GET", f"/clinic-phone/_changes{query}")
    assert "Traceback" not in caplog.text
    assert "is not of CouchDB's form" in caplog.text
