"""Pushes after `_revs_diff`: what the source was said not to have is not looked up again, and all else is as before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from filters.drop import Drop
from filters.select import Select
from proxy import recent
from tests.support import inprocess
from tests.support.inprocess import Site
from tests.writing.world import World, world

Doc = dict[str, Any]

HIDDEN = "The document is not visible to this client."
PHONE = inprocess.profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]))
FACILITIES = {"ann": "f1", "bob": "f2"}


@pytest.fixture
async def there() -> AsyncIterator[World]:
    async with world() as there:
        assert await diff(there, new("y")) == {"y": {"missing": ["1-" + "a" * 32]}}
        there.tap.requests.clear()
        yield there


def new(doc_id: str, letter: str = "a", **body: Any) -> Doc:
    return {"_id": doc_id, "_rev": "1-" + letter * 32, "owner": "ann", **body}


def edit(rev: str) -> Doc:
    """Of `x`, of which `rev` is the first revision."""
    path = {"start": 2, "ids": ["c" * 32, rev[2:]]}
    return {"_id": "x", "_rev": "2-" + "c" * 32, "owner": "ann", "_revisions": path}


async def diff(there: World, *docs: Doc) -> Any:
    """What a replicator does first."""
    return (await there.ask("POST", "/_revs_diff", {doc["_id"]: [doc["_rev"]] for doc in docs})).json


def asked(there: World) -> list[str]:
    found = [request.path.rpartition("/")[2] for request in there.tap.requests]
    there.tap.requests.clear()
    return found


async def test_what_was_asked_about_is_not_looked_up_once(there: World) -> None:
    await diff(there, new("x"))
    assert await there.push(new("x")) == []
    assert asked(there) == ["_bulk_get", "_bulk_docs"]
    assert await there.push(new("x", "b")) == []  # it is there now: a conflict
    assert asked(there) == ["_bulk_get", "_bulk_docs"]
    assert set(await there.leaves("x")) == {new("x", "b")["_rev"], new("x")["_rev"]}


async def test_of_a_batch_only_what_was_not_asked_about_is_looked_up(there: World) -> None:
    await there.put({"_id": "taken", "owner": "bob"})
    there.tap.requests.clear()
    await diff(there, new("x"), new("taken"))
    rows = await there.push(new("z"), new("x"), new("taken"))
    assert [row["id"] for row in rows] == ["taken"]
    looked_up = [each.json["docs"] for each in there.tap.requests if each.path.endswith("_bulk_get")]
    assert [sorted(entry["id"] for entry in entries) for entries in looked_up] == [["taken", "x"], ["taken", "z"]]


async def test_an_edit_of_a_leaf_is_not_looked_up_and_keeps_what_is_hidden(there: World) -> None:
    first = await there.put({"_id": "x", "owner": "ann", "ssn": "1"})
    there.tap.requests.clear()
    doc = {**edit(first), "name": "edited"}
    assert await diff(there, doc) == {"x": {"missing": [doc["_rev"]], "possible_ancestors": [first]}}
    assert await there.push(doc) == []
    assert asked(there) == ["_bulk_get", "_bulk_docs"]
    [leaf] = (await there.leaves("x")).values()
    assert (leaf["_rev"], leaf["name"], leaf["ssn"]) == (doc["_rev"], "edited", "1")


@pytest.mark.parametrize("hidden", [{"owner": "ann", "ssn": "2"}, {"owner": "bob", "ssn": "2"}])
@pytest.mark.parametrize("there_before", [True, False])
async def test_an_edit_of_what_was_written_past_the_proxy_meanwhile_is_looked_up(
    there: World, there_before: bool, hidden: Doc
) -> None:
    """It follows what is hidden: sewn onto what was asked about, that would be lost."""
    path = ["c" * 32, "b" * 32]
    if there_before:
        first = await there.put({"_id": "x", "owner": "ann", "ssn": "1"})
        path.append(first[2:])
    start = len(path)
    rev = f"{start}-{path[0]}"
    doc = {"_id": "x", "_rev": rev, "owner": "ann", "_revisions": {"start": start, "ids": path}}
    await diff(there, doc)
    other = {"_id": "x", "_rev": f"{start - 1}-{path[1]}", **hidden}
    await there.replicate({**other, "_revisions": {"start": start - 1, "ids": path[1:]}})
    rows = await there.push(doc)
    [leaf] = (await there.leaves("x")).values()
    assert leaf["ssn"] == "2"
    assert [row["error"] for row in rows] == ([] if hidden["owner"] == "ann" else ["forbidden"])
    assert leaf["_rev"] == (rev if not rows else other["_rev"])


async def test_an_edit_with_other_ancestors_than_were_asked_about_is_looked_up(there: World) -> None:
    """One of these may be a leaf by now, which somebody made past this process."""
    first = await there.put({"_id": "x", "owner": "ann"})
    path = ["c" * 32, "b" * 32, "a" * 32]
    mine = {"_id": "x", "_rev": f"2-{path[1]}", "owner": "ann", "_revisions": {"start": 2, "ids": [path[1], first[2:]]}}
    await there.replicate(mine)
    doc = {"_id": "x", "_rev": f"3-{path[0]}", "owner": "ann", "_revisions": {"start": 3, "ids": path}}
    await diff(there, doc)
    await there.replicate({"_id": "x", "_rev": f"1-{path[2]}", "owner": "ann", "ssn": "2"})
    there.tap.requests.clear()
    assert await there.push(doc) == []
    [sent] = there.tap.writes
    assert sent.json["docs"][0]["_revisions"]["ids"] == [*path[:2], first[2:]]
    assert asked(there) == ["_bulk_get", "_bulk_docs"]
    assert {*await there.leaves("x")} == {doc["_rev"], f"1-{path[2]}"}


async def test_a_deletion_that_is_followed_is_looked_up(there: World) -> None:
    first = await there.put({"_id": "x", "owner": "bob"})
    gone = await there.put({"_id": "x", "_rev": first, "_deleted": True})
    doc = {**edit(first), "_rev": "3-" + "d" * 32}
    doc["_revisions"] = {"start": 3, "ids": ["d" * 32, gone[2:], first[2:]]}
    await diff(there, doc)
    await there.replicate({"_id": "x", "_rev": "1-" + "e" * 32, "owner": "bob", "live": True})
    [row] = await there.push(doc)
    assert (row["error"], row["reason"]) == ("forbidden", HIDDEN)


async def test_documents_of_equal_revisions_do_not_stand_for_each_other(there: World) -> None:
    """Ids are no part of CouchDB's revision hashes."""
    one = "1-" + "a" * 32
    docs = []
    for doc_id in ("x", "z"):
        await there.replicate({"_id": doc_id, "_rev": one, "owner": "ann", "ssn": doc_id})
        await there.put({"_id": doc_id, "_rev": one, "owner": "ann", "ssn": "later"})
        docs.append({**edit(one), "_id": doc_id})
    assert await there.push(*docs) == []
    for doc in docs:
        assert (await there.leaves(doc["_id"]))[doc["_rev"]]["ssn"] == doc["_id"]


async def test_an_edit_of_what_is_no_leaf_is_looked_up(there: World) -> None:
    first = await there.put({"_id": "x", "owner": "ann", "ssn": "1"})
    await there.put({"_id": "x", "_rev": first, "owner": "ann", "ssn": "2"})
    there.tap.requests.clear()
    doc = edit(first)
    await diff(there, doc)
    assert await there.push(doc) == []
    assert asked(there) == ["_bulk_get"] * 3 + ["_bulk_docs"]
    assert (await there.leaves("x"))[doc["_rev"]]["ssn"] == "1"


async def test_what_was_edited_past_the_proxy_meanwhile_becomes_a_conflict_with_all_that_is_hidden(
    there: World,
) -> None:
    """As it does where it is looked up."""
    first = await there.put({"_id": "x", "owner": "ann", "ssn": "1"})
    doc = edit(first)
    await diff(there, doc)
    second = await there.put({"_id": "x", "_rev": first, "owner": "bob", "ssn": "2"})
    assert await there.push(doc) == []
    assert {rev: leaf["ssn"] for rev, leaf in (await there.leaves("x")).items()} == {second: "2", doc["_rev"]: "1"}


async def test_it_holds_for_a_time(there: World, monkeypatch: pytest.MonkeyPatch) -> None:
    began = recent.now()
    await diff(there, new("x"))
    monkeypatch.setattr(recent, "now", lambda: began + 2 * recent.SECONDS)
    assert await there.push(new("x")) == []
    assert asked(there) == ["_bulk_get", "_bulk_get", "_bulk_docs"]


async def test_a_refused_push_is_looked_up_the_next_time(there: World) -> None:
    await diff(there, new("x", owner="bob"))
    [row] = await there.push(new("x", owner="bob"))
    assert row["error"] == "forbidden"
    await there.put({"_id": "x", "owner": "bob"})
    [row] = await there.push(new("x"))
    assert (row["error"], row["reason"]) == ("forbidden", HIDDEN)


async def test_what_another_client_created_meanwhile_is_looked_up() -> None:
    async with inprocess.site(PHONE) as site:
        for create in (_put, _bulk, _replicated):
            doc_id = create.__name__.strip("_")
            doc = {"_id": doc_id, "_rev": "1-" + "a" * 32, "facility": "f1"}
            await site.ask("POST", "/clinic-phone/_revs_diff", {doc_id: [doc["_rev"]]}, user=("ann", "ann"))
            await create(site, {"_id": doc_id, "facility": "f2"})
            assert await _push(site, "ann", doc) == [(doc_id, "forbidden", HIDDEN)]
            [leaf] = (await site.at_source("GET", f"/clinic/{doc_id}?open_revs=all")).json
            assert leaf["ok"]["facility"] == "f2"


async def _put(site: Site, doc: Doc) -> None:
    assert (await site.ask("PUT", f"/clinic-phone/{doc['_id']}", doc, user=("bob", "bob"))).status == 201


async def _bulk(site: Site, doc: Doc) -> None:
    assert (await site.ask("POST", "/clinic-phone/_bulk_docs", {"docs": [doc]}, user=("bob", "bob"))).json[0]["ok"]


async def _replicated(site: Site, doc: Doc) -> None:
    assert await _push(site, "bob", {**doc, "_rev": "1-" + "b" * 32}) == []


async def _push(site: Site, user: str, *docs: Doc) -> list[tuple[str, str, str]]:
    batch = {"docs": docs, "new_edits": False}
    rows = (await site.ask("POST", "/clinic-phone/_bulk_docs", batch, user=(user, user))).json
    return [(row["id"], row["error"], row["reason"]) for row in rows]


async def test_what_was_created_past_the_proxy_meanwhile_becomes_a_conflict_of_which_nothing_is_told() -> None:
    """As without the proxy: both are kept, and each client reads its own."""
    async with inprocess.site(PHONE) as site:
        doc = {"_id": "x", "_rev": "1-" + "a" * 32, "facility": "f1"}
        await site.ask("POST", "/clinic-phone/_revs_diff", {"x": [doc["_rev"]]}, user=("ann", "ann"))
        await site.put({"_id": "x", "facility": "f2", "ssn": "1"})
        assert await _push(site, "ann", doc) == []
        leaves = (await site.at_source("GET", "/clinic/x?open_revs=all")).json
        assert sorted(leaf["ok"]["facility"] for leaf in leaves) == ["f1", "f2"]
        for user, facility in FACILITIES.items():
            found = (await site.ask("GET", "/clinic-phone/x?conflicts=true", user=(user, user))).json
            assert (found["facility"], "ssn" in found, "_conflicts" in found) == (facility, False, False)


@pytest.mark.parametrize("seed", range(8))
async def test_asking_before_changes_neither_what_is_stored_nor_what_is_told(seed: int) -> None:
    results = []
    for asking in (False, True):
        chance = Random(seed)
        async with world() as there:
            await there.replicate(*_some(chance, 30))
            pushed = _some(chance, 60)
            if asking:
                await diff(there, *pushed)
            rows = []
            while pushed:
                batch, pushed = pushed[:25], pushed[25:]
                rows += await there.push(*batch)
            ids = [row["id"] for row in (await there.source("GET", "/_all_docs")).json["rows"]]
            results.append((rows, {doc_id: await there.leaves(doc_id) for doc_id in ids}))
    assert results[0] == results[1]
    assert results[0][0], "nothing was refused"


def _some(chance: Random, count: int) -> list[Doc]:
    """Revisions of one to three generations, of 40 documents of two owners."""
    docs = []
    for _ in range(count):
        hashes = [chance.choice("abc") * 32 for _ in range(chance.randint(1, 3))]
        doc = {
            "_id": f"d{chance.randrange(40)}",
            "_rev": f"{len(hashes)}-{hashes[0]}",
            "owner": chance.choice(("ann", "ann", "bob")),
            "_revisions": {"start": len(hashes), "ids": hashes},
        }
        docs.append(doc if chance.random() < 0.9 else {**doc, "_deleted": True})
    return docs
