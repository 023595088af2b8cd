"""CouchDB 1.x as the source: the same answers as from CouchDB 3, for whatever a client asks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compatibility.sources import Asked, Forward, Given, World, docs_of, follow, refusal, untouched, world
from tests.compatibility.sources.couchdb1 import MISSING, NOT_ALLOWED, REFERER, couchdb_1

MINE = {"facility": "f1", "secret": "hush"}
REVS = {letter: letter * 32 for letter in "abcdef"}


def pushed(doc_id: str, path: str, **members: Any) -> dict[str, Any]:
    """A revision by its path, newest letter first."""
    revisions = {"start": len(path), "ids": [REVS[letter] for letter in path]}
    return {"_id": doc_id, "_rev": f"{len(path)}-{REVS[path[0]]}", "_revisions": revisions, **members}


TREES = [
    pushed("plain", "a", **MINE, n=1),
    pushed("conflict", "ba", **MINE, n=2),
    pushed("conflict", "ca", **MINE, n=3),
    pushed("deleted", "a", **MINE),
    pushed("deleted", "ba", _deleted=True),
    pushed("left", "a", **MINE),
    pushed("left", "ba", facility="f2", secret="hush"),
    pushed("others", "a", facility="f2", secret="hush"),
    pushed("ä/ö", "a", **MINE),
]


async def grow(site: World) -> None:
    for doc in TREES:  # one at a time: the bodies of ancestors are kept
        answer = await site.at_source("POST", "/clinic/_bulk_docs", {"new_edits": False, "docs": [doc]})
        assert answer.status == 201


def without_sequences(value: Any) -> Any:
    """An answer without what differs from source to source, the leaves of a document in a fixed order."""
    if isinstance(value, list):
        items = [without_sequences(each) for each in value]
        return sorted(items, key=repr) if all(isinstance(each, dict) and "ok" in each for each in items) else items
    if isinstance(value, dict):
        differs = ("seq", "last_seq", "pending", "update_seq", "instance_start_time")
        return {name: without_sequences(each) for name, each in value.items() if name not in differs}
    return value


IDS = [{"id": doc["_id"]} for doc in TREES]
EXACT = [{"id": doc["_id"], "rev": doc["_rev"]} for doc in TREES]
NOBODYS = [{"id": "nobody's"}, {"id": "plain", "rev": "7-" + "e" * 32}]

CONVERSATION: list[tuple[str, str, Any]] = [
    ("GET", "/_changes", None),
    ("GET", "/_changes?style=all_docs&include_docs=true&conflicts=true", None),
    ("GET", "/_changes?limit=2", None),
    ("POST", "/_changes?filter=_doc_ids", {"doc_ids": ["plain", "others", "left"]}),
    ("POST", "/_bulk_get?revs=true", {"docs": [*IDS, *NOBODYS]}),
    ("POST", "/_bulk_get?revs=true", {"docs": [*EXACT, *NOBODYS]}),
    ("POST", "/_bulk_get?revs=true&latest=true", {"docs": [*EXACT, *NOBODYS]}),
    ("GET", "/_all_docs?include_docs=true", None),
    ("POST", "/_all_docs", {"keys": ["plain", "others", "deleted", "nobody's"]}),
    ("POST", "/_find", {"selector": {"n": {"$gt": 1}}}),
    ("GET", "/plain?revs=true", None),
    ("GET", "/conflict?open_revs=all&revs=true", None),
    ("GET", "/others", None),
    ("GET", "/left?open_revs=all", None),
    ("POST", "/_revs_diff", {"plain": ["2-x", TREES[0]["_rev"]], "others": [TREES[-2]["_rev"]]}),
    ("POST", "/_bulk_docs", {"new_edits": False, "docs": [pushed("plain", "da", facility="f1", n=9)]}),
    ("GET", "/plain", None),
    ("PUT", "/new", {"facility": "f1"}),
    ("PUT", "/others", {"facility": "f1"}),
    ("PUT", "/_local/checkpoint", {"at": 1}),
    ("GET", "/_local/checkpoint", None),
    ("GET", "/_changes?since=%220%22", None),
]


async def hold(site: World) -> list[Any]:
    """The conversation's answers, and what it made of the documents."""
    await grow(site)
    answers = []
    for method, path, body in CONVERSATION:
        answer = await site.ask(method, f"/clinic-phone{path}", body)
        answers.append((method, path, answer.status, without_sequences(answer.json)))
    stored = await site.at_source("GET", "/clinic/_all_docs?include_docs=true")
    return [*answers, stored.json]


async def test_answers_are_those_from_couchdb_3() -> None:
    async with world(untouched) as modern:
        expected = await hold(modern)
    async with world(couchdb_1()) as old:
        found = await hold(old)
        assert old.count("_bulk_get") == 1
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == theirs
    assert '"hush"' in str(expected[-1]).replace("'", '"')  # what is hidden was kept by the write


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
async def test_no_write_takes_a_lost_answer_for_a_document_that_is_new(given: Given) -> None:
    """What is hidden in the document would be lost."""
    old = couchdb_1()

    async def answer(asked: Asked, forward: Forward) -> Given:
        lost = asked.endpoint == "plain" and asked.query.get("open_revs", "all") != "all"
        return given if lost else await old(asked, forward)

    async with world(answer) as site:
        await grow(site)
        edit = pushed("plain", "eda", facility="f1", n=9)
        answered = await site.ask("POST", "/clinic-phone/_bulk_docs", {"new_edits": False, "docs": [edit]})
        assert answered.status in (404, 502)
        stored = await site.at_source("GET", "/clinic/plain")
        assert (stored.json["_rev"], stored.json["secret"]) == (TREES[0]["_rev"], "hush")


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
