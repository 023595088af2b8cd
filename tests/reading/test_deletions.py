"""Deletions that may say too little of whom they reached: what was deleted decides, as far as it is known."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from filters.project import Project
from filters.select import Select
from proxy.contract import Client, Doc, Filter
from tests.support.inprocess import Site, profile, site


class Public(Filter):
    """A site's own filter, which promises nothing."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return None if doc.get("hidden") else doc


OWN = profile("own", Public())
SHAPED = profile("shaped", Project(body="{name: name, hidden: hidden, why: why}"), Select(where="hidden != `true`"))
OPEN = profile("open", Select(where="hidden != `true`"))
NURSE = profile("nurse", Select(where="ward == 'w1' && hidden != `true`"))
ALL = [OWN, SHAPED, OPEN, NURSE]
NAMES = [each.name for each in ALL]

A, B, C, D = (f"{number}-{name * 32}" for number, name in ((1, "a"), (2, "b"), (3, "c"), (4, "d")))


async def branch(at: Site, *path: str, **fields: Any) -> None:
    """A revision of the document `x` that another replica brings, newest first."""
    await _store(await at.at_source("POST", "/clinic/_bulk_docs", _replicated(path, fields)))


async def push(at: Site, as_profile: str, *path: str, **fields: Any) -> None:
    """The same, of a device."""
    await _store(await at.ask("POST", f"/clinic-{as_profile}/_bulk_docs", _replicated(path, fields)))


async def _store(answer: Any) -> None:
    assert (answer.status, answer.json) == (201, [])


def _replicated(path: tuple[str, ...], fields: dict[str, Any]) -> dict[str, Any]:
    start, _, _ = path[0].partition("-")
    revisions = {"start": int(start), "ids": [rev.partition("-")[2] for rev in path]}
    return {"new_edits": False, "docs": [{"_id": "x", "_rev": path[0], "_revisions": revisions, **fields}]}


async def compact(at: Site, *gone: str) -> None:
    """Until the source has no bodies of these revisions any more."""
    await at.at_source("POST", "/clinic/_compact", {})
    for rev in gone:
        while (await at.at_source("GET", f"/clinic/x?rev={rev}")).status == 200:
            await asyncio.sleep(0.01)


async def told(at: Site, name: str) -> list[str]:
    """The revisions of which a profile's feed tells, if what it tells of can be had."""
    rows = (await at.ask("GET", f"/clinic-{name}/_changes?style=all_docs")).json["results"]
    revs = [change["rev"] for row in rows for change in row["changes"]]
    asked = {"docs": [{"id": "x", "rev": rev} for rev in revs]}
    results = (await at.ask("POST", f"/clinic-{name}/_bulk_get", asked)).json["results"]
    assert [[*result["docs"][0]] for result in results] == [["ok"] for _ in revs]
    return revs


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fields", [{}, {"ward": "w1"}, {"why": "moved"}, {"ward": "w1", "why": "moved"}])
async def test_what_was_hidden_is_deleted_for_nobody(name: str, fields: Doc) -> None:
    async with site(*ALL) as at:
        await branch(at, A, ward="w1", hidden=True)
        await branch(at, B, A, _deleted=True, **fields)
        assert await told(at, name) == []
        assert (await at.ask("GET", f"/clinic-{name}/x?rev={B}")).json["reason"] == "missing"
        assert (await at.ask("POST", f"/clinic-{name}/_revs_diff", {"x": [B]})).json == {"x": {"missing": [B]}}


@pytest.mark.parametrize("name", NAMES)
async def test_what_was_seen_is_deleted_as_it_says(name: str) -> None:
    """With what the deletion has itself, if it says nothing that hides it."""
    async with site(*ALL) as at:
        await branch(at, A, ward="w1")
        await branch(at, B, A, _deleted=True, ward="w1", why="moved")
        assert await told(at, name) == [B]
        shown = (await at.ask("GET", f"/clinic-{name}/x?rev={B}")).json
        assert shown["why"] == "moved"
        await branch(at, C, B, A, ward="w1", hidden=True)
        await branch(at, D, C, B, A, _deleted=True, hidden=True)
        assert await told(at, name) == [D]  # by A: it is not known whom B had reached
        assert (await at.ask("GET", f"/clinic-{name}/x?rev={D}")).json == {"_id": "x", "_rev": D, "_deleted": True}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("fields", "heard"), [({"ward": "w1"}, True), ({"ward": "w1", "hidden": True}, False)])
async def test_where_nothing_is_known_it_is_what_it_says(name: str, fields: Doc, heard: bool) -> None:
    async with site(*ALL) as at:
        await branch(at, B, A, _deleted=True, **fields)
        assert await told(at, name) == ([B] if heard else [])


async def test_a_deletion_that_has_all_that_decides_is_looked_up_no_further() -> None:
    async with site(*ALL) as at:
        await branch(at, A, ward="w1", hidden=True)
        await branch(at, B, A, _deleted=True, ward="w1", hidden=False)
        assert await told(at, "nurse") == [B]
        assert await told(at, "own") == []


@pytest.mark.parametrize("name", ["own", "shaped"])
async def test_what_a_process_has_kept_makes_no_difference(name: str, tmp_path: Path) -> None:
    """The next request may come to another one."""
    async with site(*ALL, data=tmp_path) as at:
        hub = await at.indexed()
        await branch(at, A, ward="w1", hidden=True)
        assert await told(at, name) == []  # and keeps the body
        await branch(at, B, A, _deleted=True)
        assert await hub.fresh()
        await compact(at, A)
        assert await told(at, name) == [B]
        assert await told(at, "open") == []  # the index knows


@pytest.mark.parametrize("is_indexed", [False, True], ids=["direct", "indexed"])
async def test_a_deletion_that_is_deleted_once_more_says_no_more(is_indexed: bool, tmp_path: Path) -> None:
    async with site(*ALL, data=tmp_path if is_indexed else None) as at:
        await branch(at, B, A, _deleted=True)  # nobody knows what it was
        if is_indexed:
            assert await (await at.indexed()).fresh()
        await push(at, "open", D, C, B, A, _deleted=True)
        await compact(at, B)
        if is_indexed:
            hub = await at.indexed()
            assert await hub.fresh()
            hub.bodies._kept.clear()
        assert await told(at, "open") == [D]


async def test_nobody_confirms_a_deletion_that_says_that_it_is_hidden() -> None:
    async with site(*ALL) as at:
        await branch(at, B, A, _deleted=True, hidden=True)
        await branch(at, C, B, A, hidden=True)
        for name in NAMES:
            asked = await at.ask("POST", f"/clinic-{name}/_revs_diff", {"x": [B, "2-" + "e" * 32]})
            assert asked.json == {"x": {"missing": [B, "2-" + "e" * 32]}}


LIVE = "2-" + "e" * 32


async def leaves(at: Site) -> list[Doc]:
    found: list[Doc] = [each["ok"] for each in (await at.at_source("GET", "/clinic/x?open_revs=all")).json]
    return found


@pytest.mark.parametrize("name", ["own", "shaped", "open"])
async def test_who_was_told_of_a_deletion_makes_the_document_anew(name: str) -> None:
    """Also beside what is hidden, which stays what it is: devices write while they are away."""
    hidden = {"_id": "x", "_rev": LIVE, "hidden": True, "name": "theirs"}
    async with site(*ALL) as at:
        await branch(at, A, name="Ada")
        await push(at, name, B, A, _deleted=True)
        await branch(at, LIVE, A, hidden=True, name="theirs")
        assert await told(at, name) == [B]
        await push(at, name, C, B, A, name="mine")
        assert await told(at, name) == [C]
        assert sorted(await leaves(at), key=str) == [hidden, {"_id": "x", "_rev": C, "name": "mine"}]
        path = (await at.ask("GET", f"/clinic-{name}/x?revs_info=true")).json["_revs_info"]
        assert [(each["rev"], each["status"]) for each in path] == [(C, "available"), (B, "deleted"), (A, "available")]
        answer = await at.ask("PUT", f"/clinic-{name}/x?rev={C}", {"name": "mine again"})
        assert answer.status == 201
        assert hidden in await leaves(at)


@pytest.mark.parametrize("name", NAMES)
async def test_what_was_hidden_last_tells_nothing_in_its_deletion(name: str) -> None:
    async with site(*ALL) as at:
        await branch(at, A, ward="w1", name="public")
        await branch(at, B, A, ward="w1", name="theirs", hidden=True)
        await branch(at, C, B, A, _deleted=True, ward="w1", name="theirs")
        assert await told(at, name) == [C]
        assert (await at.ask("GET", f"/clinic-{name}/x?rev={C}")).json == {"_id": "x", "_rev": C, "_deleted": True}


@pytest.mark.parametrize("name", NAMES)
async def test_a_selector_keeps_no_deletion_from_who_saw_the_document(name: str) -> None:
    async with site(*ALL) as at:
        await branch(at, A, ward="w1", name="Ada")
        await branch(at, B, A, _deleted=True, ward="w1", why="moved")
        path = f"/clinic-{name}/_changes?filter=_selector"
        rows = (await at.ask("POST", path, {"selector": {"name": "Ada"}})).json["results"]
        assert [row["changes"] for row in rows] == [[{"rev": B}]]


async def test_deleting_tells_nothing_of_what_is_hidden_beside_a_deletion() -> None:
    async with site(*ALL) as at:
        await branch(at, A, ward="w1", hidden=False)
        await branch(at, B, A, _deleted=True, ward="w1", hidden=False)
        alone = [await _deleted(at, query) for query in ("", f"?rev={B}", f"?rev={D}")]
        await branch(at, LIVE, A, ward="w1", hidden=True)
        assert [await _deleted(at, query) for query in ("", f"?rev={B}", f"?rev={D}")] == alone
        assert alone[0] == (404, {"error": "not_found", "reason": "deleted"})


async def _deleted(at: Site, query: str) -> tuple[int, Any]:
    answer = await at.ask("DELETE", f"/clinic-nurse/x{query}")
    return answer.status, answer.json


class Strict(Filter):
    """Fails on what has no name."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return {**doc, "name": doc["name"].upper()}


async def test_a_filter_that_fails_on_a_deletion_is_heard_of(caplog: pytest.LogCaptureFixture) -> None:
    async with site(profile("strict", Strict())) as at:
        await branch(at, A, name="Ada")
        await branch(at, B, A, _deleted=True)
        assert await told(at, "strict") == [B]
    assert any(f"{B} of x withheld from profile strict" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("name", NAMES)
async def test_deleting_says_what_reading_says(name: str) -> None:
    async with site(*ALL) as at:
        seen = await at.put({"_id": "seen", "ward": "w1", "name": "Ada"})
        unseen = await at.put({"_id": "unseen", "ward": "w1", "hidden": True})
        assert (await at.ask("DELETE", f"/clinic-{name}/seen?rev={seen}")).status == 200
        await at.at_source("DELETE", f"/clinic/unseen?rev={unseen}")
        for doc_id, reason in (("seen", "deleted"), ("unseen", "missing"), ("never", "missing")):
            for method, path in (("GET", doc_id), ("DELETE", doc_id), ("DELETE", f"{doc_id}/file")):
                answer = await at.ask(method, f"/clinic-{name}/{path}")
                assert (answer.status, answer.json["reason"]) == (404, reason), (method, path)


@pytest.mark.parametrize("shown_at", ["x", "a name", A[2:]])
async def test_a_departure_is_known_again_whatever_the_revision_before_it_is_called(shown_at: str) -> None:
    """Whoever replicates may call revisions as they like; CouchDB takes 32 characters only if they are hexadecimal."""
    async with site(OPEN) as at:
        await branch(at, f"1-{shown_at}")
        await branch(at, B, f"1-{shown_at}", hidden=True)
        [departure] = await told(at, "open")
        assert int(departure.partition("-")[2], 16)
        found = await at.ask("POST", "/clinic-open/_bulk_get", {"docs": [{"id": "x", "rev": departure}]})
        assert found.json["results"][0]["docs"][0]["ok"]["_deleted"] is True
        assert (await at.ask("POST", "/clinic-open/_revs_diff", {"x": [departure]})).json == {}
        await push(at, "open", departure, f"1-{shown_at}", _deleted=True)
        assert (await at.at_source("GET", f"/clinic/x?rev={departure}")).status == 404
