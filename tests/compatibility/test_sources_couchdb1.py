"""CouchDB 1.x as the source: the same answers as from CouchDB 3, for whatever a client asks."""

from __future__ import annotations

import pytest

from tests.compatibility.drivers.couchdb import V1, V3, Release
from tests.compatibility.sources import Asked, Forward, Given, docs_of, follow, refusal, untouched, world
from tests.compatibility.sources.conversation import EXACT, IDS, MINE, TREES, grow, hold, pushed
from tests.compatibility.sources.conversation import RUN as COMPARED
from tests.compatibility.sources.couchdb1 import MISSING, NOT_ALLOWED, REFERER, couchdb_1
from tests.compatibility.sources.replication import RUN, replicates_both_ways
from tests.compatibility.table import row


@row(
    "sources",
    "CouchDB",
    "1.x",
    COMPARED,
)
async def test_answers_are_those_from_couchdb_3() -> None:
    async with world(untouched) as modern:
        expected = await hold(modern)
    async with world(couchdb_1()) as old:
        found = await hold(old)
        assert old.count("_bulk_get") == 1
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == theirs
    assert '"hush"' in str(expected[-1]).replace("'", '"')  # what is hidden was kept by the write


@row("sources", "CouchDB", "1.x", RUN)
@pytest.mark.parametrize("release", [V1, V3], ids=["1.x", "3.x"])
async def test_a_replicator_pulls_and_pushes(release: Release) -> None:
    await replicates_both_ways(couchdb_1(), release)


@pytest.mark.parametrize("bulk_get", [REFERER, NOT_ALLOWED, MISSING])
async def test_it_is_recognised_once_however_it_says_so(bulk_get: Given) -> None:
    async with world(couchdb_1(bulk_get)) as site:
        await grow(site)
        for _ in range(2):
            found = docs_of(await site.ask("POST", "/clinic-phone/_bulk_get", {"docs": EXACT[:3]}))
            assert [entry["ok"]["n"] for entry in found] == [1, 2, 3]
        assert site.count("_bulk_get") == 1


async def test_a_database_that_is_not_there_says_nothing_about_the_source() -> None:
    gone = True

    async def answer(asked: Asked, forward: Forward) -> Given:
        if gone and asked.path.startswith("/clinic"):
            return refusal(404, "not_found", "Database does not exist.")
        return await forward(asked)

    async with world(answer) as site:
        await grow(site)
        answered = await site.ask("POST", "/clinic-phone/_bulk_get", {"docs": IDS})
        assert (answered.status, answered.json["reason"]) == (404, "Database does not exist.")
        gone = False
        assert docs_of(await site.ask("POST", "/clinic-phone/_bulk_get", {"docs": IDS[:1]}))[0]["ok"]["n"] == 1
        assert site.count("plain") == 0


@pytest.mark.parametrize(
    "given",
    [
        Given(404, b"<html>no such backend</html>"),
        refusal(404, "not_found", "Database does not exist."),
        refusal(404, "unknown", "missing"),
        Given(200, b"[]"),
        Given(200, b'[{"missing":"1-x"}]'),
        Given(200, b'{"_id":"plain"}'),
    ],
)
async def test_no_write_takes_a_lost_answer_for_a_revision_that_is_not_there(given: Given) -> None:
    """What is hidden in the document would be lost. Here it is the ancestor that is asked for, which is no leaf."""
    old = couchdb_1()

    async def answer(asked: Asked, forward: Forward) -> Given:
        lost = asked.endpoint == "conflict" and asked.query.get("open_revs", "all") != "all"
        return given if lost else await old(asked, forward)

    async with world(answer) as site:
        await grow(site)
        edit = pushed("conflict", "eda", facility="f1", n=9)
        answered = await site.ask("POST", "/clinic-phone/_bulk_docs", {"new_edits": False, "docs": [edit]})
        assert answered.status in (404, 502)
        leaves = (await site.at_source("GET", "/clinic/conflict?open_revs=all")).json
        assert {leaf["ok"]["_rev"] for leaf in leaves} == {TREES[1]["_rev"], TREES[2]["_rev"]}


@pytest.mark.parametrize(
    "given",
    [
        Given(404, b"<html>no such backend</html>"),
        refusal(404, "not_found", "Database does not exist."),
        refusal(404, "unknown", "missing"),
        Given(200, b'{"_id":"plain"}'),
    ],
)
@pytest.mark.parametrize("asking", [False, True])
async def test_nor_for_a_document_that_is_not_there(given: Given, asking: bool) -> None:
    """Nor does `_revs_diff`, of which the write would believe it."""
    old, lost = couchdb_1(), True

    async def answer(asked: Asked, forward: Forward) -> Given:
        return given if lost and asked.endpoint == "plain" else await old(asked, forward)

    async with world(answer) as site:
        await grow(site)
        edit = pushed("plain", "eda", facility="f1", n=9)
        if asking:
            diff = await site.ask("POST", "/clinic-phone/_revs_diff", {"plain": [edit["_rev"]]})
            assert diff.status in (404, 502)
            lost = False
        answered = await site.ask("POST", "/clinic-phone/_bulk_docs", {"new_edits": False, "docs": [edit]})
        assert answered.status in ([201] if asking else [404, 502])
        stored = await site.at_source("GET", "/clinic/plain")
        assert stored.json["_rev"] == (edit if asking else TREES[0])["_rev"]
        assert stored.json["secret"] == "hush"


@row("sources", "CouchDB", "1.x", "integers for sequences")
async def test_sequences_are_integers_on_both_sides() -> None:
    async with world(couchdb_1()) as site:
        await grow(site)
        rows = await follow(site, limit=1)
        assert [row["id"] for row in rows] == ["plain", "conflict", "deleted", "left", "ä/ö"]
        await site.put({"_id": "later", **MINE})
        [row] = await follow(site, since=f'"{rows[-1]["seq"]}"'.replace('"', "%22"))
        assert row["id"] == "later"


async def test_it_is_up_without_having_an_up() -> None:
    async with world(couchdb_1(), anonymous=True) as site:
        answer = await site.request("GET", site.proxy_url + "/_up")
        assert (answer.status, answer.json) == (200, {"status": "ok"})


async def test_the_database_says_what_there_is_to_say() -> None:
    async with world(couchdb_1()) as site:
        await grow(site)
        found = (await site.ask("GET", "/clinic-phone")).json
        assert found["db_name"] == "clinic-phone"
        assert await follow(site, since=found["update_seq"]) == []
