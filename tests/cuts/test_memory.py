"""What is remembered at the source of how users were shown documents, and what comes of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.touch import touched
from proxy.contract import Doc
from tests.compatibility.sources import Asked, Forward, Given, Script, refusal
from tests.cuts.nodes import ALL, ANN, DOC, NOTELESS, Filters, Ward, ward

OWN_FILTER = """
from proxy.contract import Filter

class Own(Filter):
    passes_all = True

    def shape(self, doc, client):
        return {name: value for name, value in doc.items() if name != "note"}
"""


def failing(method: str, part: str, given: Given, times: int = 1000) -> Script:
    """A source that answers so, so many times, where a part of the path is that."""
    left = [times]

    async def script(asked: Asked, forward: Forward) -> Given:
        if asked.method == method and part in asked.path and left[0]:
            left[0] -= 1
            return given
        return await forward(asked)

    return script


async def shown_by(there: Ward, filters: Filters, **options: Any) -> Doc:
    """The document as a device has it that got it by these rules."""
    async with there.node(filters, **options) as node:
        return await node.get()


async def test_it_is_recorded_before_anything_is_shown_and_once(tmp_path: Path) -> None:
    async with ward(tmp_path) as there, there.node(NOTELESS) as node:
        await node.get()
        kinds = sorted(doc["_id"].rpartition("-")[0] for doc in await there.local())
        assert kinds == ["_local/tailor-cuts", "_local/tailor-rules"]
        written = [index for index, asked in enumerate(there.asked) if asked.method == "PUT"]
        read = [index for index, asked in enumerate(there.asked) if asked.endpoint == "x"]
        assert max(written) < min(read)
        there.asked.clear()
        await node.get()
        assert [asked.endpoint for asked in there.asked if "tailor" in asked.path] == []


async def test_others_do_not_see_it(tmp_path: Path) -> None:
    async with ward(tmp_path) as there, there.node(NOTELESS) as node:
        await node.get()
        for doc in await there.local():
            assert (await node.site.ask("GET", "/clinic-phone/" + doc["_id"])).status == 404
        listed = (await node.site.ask("GET", "/clinic-phone/_local_docs")).json
        assert listed["rows"] == []


async def test_nothing_is_remembered_where_that_is_not_wanted(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        doc = await shown_by(there, NOTELESS, remember=0)
        assert await there.local() == []
        async with there.node(ALL, remember=0) as node:
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {"_id": "x", "name": "Ann", "bed": 2}


async def test_a_source_that_fails_shows_nothing(tmp_path: Path) -> None:
    script = failing("GET", "_local", refusal(500, "internal", "no"), 1)
    async with ward(tmp_path, script) as there, there.node(NOTELESS) as node:
        answer = await node.site.ask("GET", "/clinic-phone/x")
        assert answer.status >= 500
        assert await node.get()


async def test_a_source_that_lets_nothing_be_stored_is_served_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    script = failing("PUT", "_local", refusal(405, "method_not_allowed", "read only"))
    with caplog.at_level(logging.WARNING, "couch_tailor.cuts"):
        async with ward(tmp_path, script) as there, there.node(NOTELESS) as node:
            assert "note" not in await node.get()
            assert "note" not in await node.get(("bob", "bob"))
    assert [record.getMessage() for record in caplog.records] == [
        "what users are shown of clinic is not remembered, since the source does not let it be stored: read only"
    ]


async def test_nodes_that_write_at_the_same_time(tmp_path: Path) -> None:
    script = failing("PUT", "_local", refusal(409, "conflict", "Document update conflict."), 2)
    async with ward(tmp_path, script) as there:
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL) as node:
            await node.put({**doc, "bed": 2})
        assert await there.stored() == {**DOC, "bed": 2}


async def test_two_users_and_two_rules(tmp_path: Path) -> None:
    masked: Filters = [{"use": "redact", "paths": ["name"]}]
    async with ward(tmp_path) as there:
        of_ann = await shown_by(there, NOTELESS)
        async with there.node(masked) as node:
            of_bob = await node.get(("bob", "bob"))
        async with there.node(ALL) as node:
            assert (await node.put({**of_ann, "bed": 2})).status == 201
            rev = (await node.get())["_rev"]
            assert (await node.put({**of_bob, "_rev": rev, "bed": 3}, ("bob", "bob"))).status == 201
        assert await there.stored() == {**DOC, "bed": 3}


@pytest.mark.parametrize("again", [False, True], ids=["changed", "the same"])
async def test_rules_of_a_sites_own(tmp_path: Path, caplog: pytest.LogCaptureFixture, again: bool) -> None:
    own: Filters = [{"use": "own:Own"}]
    async with ward(tmp_path) as there:
        doc = await shown_by(there, own, own=OWN_FILTER)
        async with there.node(ALL, own=OWN_FILTER if again else OWN_FILTER + "# another by now\n") as node:
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert ("note" in await there.stored()) is again
        assert ("cannot be had again" in caplog.text) is not again


async def test_a_role_that_is_granted(tmp_path: Path) -> None:
    rules: Filters = [
        {"use": "rename", "fields": {"name": "called"}},
        {"use": "compute", "fields": {"head": "contains(client.roles, 'head')"}},
    ]
    async with ward(tmp_path) as there, there.node(rules, session_ttl=0) as node:
        doc = await node.get()
        assert doc["head"] is False
        await grant(there, "ann", "head")
        assert (await node.put({**doc, "bed": 2})).status == 201, "what it never wrote is not a claim of its"
        assert (await node.get())["head"] is True


async def grant(there: Ward, name: str, *roles: str) -> None:
    path = f"/_users/org.couchdb.user:{name}"
    doc = (await there.site.at_source("GET", path)).json
    assert (await there.site.at_source("PUT", path, {**doc, "roles": list(roles)})).status == 201


async def test_a_device_that_says_something_else_of_itself(tmp_path: Path) -> None:
    rules: Filters = [{"use": "own:Versioned"}]
    text = OWN_FILTER.replace("Own(", "Versioned(").replace('!= "note"', '!= "note" or client.device["version"] == "2"')
    profile = {"device": {"version": "X-Version"}}
    async with ward(tmp_path) as there, there.node(rules, own=text, profile=profile) as node:
        doc = await node.get(version="1")
        assert "note" not in doc
        assert (await node.put({**doc, "bed": 2}, version="2")).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


async def test_a_revision_that_is_new_may_lose_what_is_shown_since(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        await shown_by(there, NOTELESS)
        async with there.node(ALL) as node:
            doc = await node.get()
            kept = await node.put({name: doc[name] for name in doc if name != "note"})
            assert (kept.status, await there.stored()) == (201, DOC), "it may be one of the old cut"
            await there.edit(bed=2)
            doc = await node.get()
            assert doc.pop("note") == "kept"
            assert (await node.put(doc)).status == 201
        assert await there.stored() == {"_id": "x", "name": "Ann", "bed": 2}


async def test_what_is_an_edit_of_a_former_cut_is_not_new(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        doc = await shown_by(there, NOTELESS)
        for bed in range(2, 6):  # on nodes that know only what is at the source
            async with there.node(ALL) as node:
                doc["_rev"] = (await node.put({**doc, "bed": bed})).json["rev"]
            assert await there.stored() == {**DOC, "bed": bed}


async def test_touched_documents_are_new_for_the_rules_that_come_then(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        await shown_by(there, NOTELESS)
        config = there.config(ALL)
        await touched(config, config.databases["clinic"])
        async with there.node(ALL) as node:
            doc = await node.get()
            assert doc.pop("note") == "kept"
            assert (await node.put(doc)).status == 201
        assert "note" not in await there.stored()


async def test_touched_documents_are_not_new_once_other_rules_have_shown_them(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        await shown_by(there, [{"use": "redact", "paths": ["name"]}])
        config = there.config(ALL)
        await touched(config, config.databases["clinic"])
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL) as node:
            assert (await node.put(doc)).status == 201
        assert await there.stored() == DOC


async def test_a_source_that_cannot_tell_what_is_new(tmp_path: Path) -> None:
    async with ward(tmp_path, failing("POST", "_changes", refusal(500, "internal", "no"))) as there:
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL) as node:
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


async def test_what_cannot_be_noted_is_not_stored(tmp_path: Path) -> None:
    async with ward(tmp_path, failing("PUT", "tailor-edits", refusal(500, "internal", "no"))) as there:
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL) as node:
            assert (await node.put({**doc, "bed": 2})).status >= 500
            assert (await node.put(await node.get())).status == 201, "of the present cut"
        assert await there.stored() == DOC


async def test_batches_of_many(tmp_path: Path) -> None:
    """More than the source is asked about at once; some of the present cut, and some of the former."""
    async with ward(tmp_path) as there:
        docs = [{"_id": f"d{number:03}", "note": f"n{number}", "bed": 1} for number in range(250)]
        assert (await there.site.at_source("POST", "/clinic/_bulk_docs", {"docs": docs})).status == 201
        async with there.node(NOTELESS) as node:
            rows = (await node.site.ask("GET", "/clinic-phone/_all_docs?include_docs=true")).json["rows"]
        old = {row["id"]: {**row["doc"], "bed": 2} for row in rows if row["id"] != "x"}
        async with there.node(ALL) as node:
            rows = (await node.site.ask("GET", "/clinic-phone/_all_docs?include_docs=true")).json["rows"]
            new = {row["id"]: {**row["doc"], "bed": 3} for row in rows if row["id"] != "x"}
            batch = [(new if number % 3 else old)[f"d{number:03}"] for number in range(250)]
            answer = await node.site.ask("POST", "/clinic-phone/_bulk_docs", {"docs": batch}, user=ANN)
            assert not [row for row in answer.json if "error" in row]
        rows = (await there.site.at_source("GET", "/clinic/_all_docs?include_docs=true")).json["rows"]
        held = [row["doc"] for row in rows if row["id"] != "x"]
        assert [doc["note"] for doc in held] == [f"n{number}" for number in range(250)]
        assert [doc["bed"] for doc in held] == [3 if number % 3 else 2 for number in range(250)]
