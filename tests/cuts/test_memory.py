"""What is remembered at the source of how users were shown documents, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy import past
from proxy.cli.touch import touched
from proxy.contract import Doc
from proxy.cuts import memory
from proxy.reading import changes
from tests.compatibility.sources import Asked, Forward, Given, Script, refusal
from tests.cuts.nodes import ALL, ANN, DOC, NOTELESS, Filters, Node, Ward, ward
from tests.support.inprocess import basic

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


async def test_whoever_is_shown_the_same_need_not_ask_again(tmp_path: Path) -> None:
    """The other way to log in is another view, of the same strand."""
    async with ward(tmp_path) as there, there.node(NOTELESS) as node:
        login = await node.site.ask("POST", "/_session", {"name": "ann", "password": "ann"}, user=None)
        cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0]}
        await node.get()
        there.asked.clear()
        for _ in range(3):
            await node.get()
            assert (await node.site.ask("GET", "/clinic-phone/x", user=None, headers=cookie)).status == 200
        assert [asked.endpoint for asked in there.asked if "tailor" in asked.path] == []


async def test_what_others_show_in_front_of_the_same_source_is_something_else(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        doc = await shown_by(there, NOTELESS)
        await shown_by(there, ALL, secret="a secret of somebody else's")
        async with there.node(ALL) as node:
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}
        assert len([each for each in await there.local() if "cuts" in each]) == 2


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


REFUSALS = {
    "no such documents": refusal(405, "method_not_allowed", "read only"),
    "this account may not": refusal(403, "forbidden", "only readers"),
    "nobody knows it": refusal(401, "unauthorized", "only readers"),
}


@pytest.mark.parametrize("given", REFUSALS.values(), ids=REFUSALS)
async def test_a_source_that_lets_nothing_be_stored_is_served_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, given: Given
) -> None:
    with caplog.at_level(logging.WARNING, "couch_tailor.cuts"):
        async with ward(tmp_path, failing("PUT", "_local", given)) as there, there.node(NOTELESS) as node:
            assert "note" not in await node.get()
            assert "note" not in await node.get(("bob", "bob"))
    [record] = caplog.records
    assert record.getMessage().startswith(
        "what users are shown of clinic is not remembered, since the source does not "
    )


@pytest.mark.parametrize("status", [408, 409, 429, 503])
async def test_what_may_be_known_another_time_is_not_taken_for_nothing(tmp_path: Path, status: int) -> None:
    left = [0]

    async def script(asked: Asked, forward: Forward) -> Given:
        if "tailor-cuts" in asked.path and asked.method == "GET" and left[0]:
            return refusal(status, "busy", "not now", Retry_After="0")
        return await forward(asked)

    async with ward(tmp_path, script) as there:
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL, timeout=0.3) as node:
            left[0] = 1
            assert (await node.put({**doc, "bed": 2})).status == status
            assert await there.stored() == DOC
            left[0] = 0
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


async def test_a_database_that_comes_later_or_comes_again(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        async with there.node(NOTELESS) as node:
            await node.get()
            await there.site.at_source("DELETE", "/clinic")
            assert (await node.site.ask("GET", "/clinic-phone/x", user=("bob", "bob"))).status == 404
            await there.site.at_source("PUT", "/clinic")
            await there.site.at_source("PUT", "/clinic/x", DOC)
            doc = await node.get(("bob", "bob"))
        async with there.node(ALL) as node:
            assert (await node.put({**doc, "bed": 2}, ("bob", "bob"))).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


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


@pytest.mark.parametrize("more", ["", "# nothing else\n"], ids=["the same", "another comment"])
async def test_rules_of_a_sites_own(tmp_path: Path, caplog: pytest.LogCaptureFixture, more: str) -> None:
    own: Filters = [{"use": "own:Own"}]
    async with ward(tmp_path) as there:
        doc = await shown_by(there, own, own=OWN_FILTER)
        async with there.node(ALL, own=OWN_FILTER + more) as node:
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}
        assert "cannot be had again" not in caplog.text


async def test_what_rules_have_shown_that_are_gone_cannot_be_edited(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at_once: dict[str, Any]
) -> None:
    async with ward(tmp_path) as there:
        doc = await shown_by(there, [{"use": "own:Own"}], own=OWN_FILTER)
        async with there.node(ALL, own=OWN_FILTER + "ANOTHER = 1\n", **at_once) as node:
            present = await node.get()
            for sent in ({**doc, "bed": 2}, {**present, "bed": 2}):
                refused = await node.put(sent)
                assert (refused.status, refused.json["error"]) == (403, "forbidden")
                assert "by rules that are gone" in refused.json["reason"]
            assert await there.stored() == DOC
            assert (await node.put({**present})).status == 201, "nothing is edited"
            await there.edit(bed=3)
            assert (await node.put({**await node.get(), "bed": 4})).status == 201, "nobody was shown it by those"
            deleted = await node.site.ask("DELETE", f"/clinic-phone/x?rev={(await node.get())['_rev']}")
            assert deleted.status == 200
        assert "cannot be had again" in caplog.text
        assert "are refused" in caplog.text


async def test_edits_of_what_is_gone_can_be_read_by_the_present_rules(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        doc = await shown_by(there, [{"use": "own:Own"}], own=OWN_FILTER)
        async with there.node(ALL, own=OWN_FILTER + "ANOTHER = 1\n", lost_rules="present") as node:
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {"_id": "x", "name": "Ann", "bed": 2}


async def test_after_touch_the_code_of_a_filter_may_be_another(tmp_path: Path) -> None:
    own: Filters = [{"use": "own:Own"}]
    async with ward(tmp_path) as there:
        await shown_by(there, own, own=OWN_FILTER)
        changed = OWN_FILTER + "ANOTHER = 1\n"
        config = there.config(own, own=changed)
        await touched(config, config.databases["clinic"])
        async with there.node(own, own=changed) as node:
            assert (await node.put({**await node.get(), "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


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


async def test_devices_that_say_different_things_have_nothing_to_do_with_each_other(tmp_path: Path) -> None:
    rules: Filters = [{"use": "own:Versioned"}]
    text = OWN_FILTER.replace("Own(", "Versioned(").replace('!= "note"', '!= "note" or client.device["version"] == "2"')
    profile = {"device": {"version": "X-Version"}}
    async with ward(tmp_path) as there, there.node(rules, own=text, profile=profile) as node:
        assert "note" not in await node.get(version="1")
        doc = await node.get(version="2")
        assert doc.pop("note") == "kept"
        assert (await node.put(doc, version="2")).status == 201
        assert "note" not in await there.stored()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What makes the present cut certain as soon as somebody asks again."""
    monkeypatch.setattr(memory, "_SETTLING", 0.0)
    monkeypatch.setattr(memory, "TO_WRITE", 0.0)
    return {"session_ttl": 0}


async def test_a_revision_that_is_new_may_lose_what_is_shown_since(tmp_path: Path, at_once: dict[str, Any]) -> None:
    async with ward(tmp_path) as there:
        await shown_by(there, NOTELESS)
        async with there.node(ALL, **at_once) as node:
            doc = await node.get()
            kept = await node.put({name: doc[name] for name in doc if name != "note"})
            assert (kept.status, await there.stored()) == (201, DOC), "it may be one of the old cut"
            await there.edit(bed=2)
            doc = await node.get()
            assert doc.pop("note") == "kept"
            assert (await node.put(doc)).status == 201
        assert await there.stored() == {"_id": "x", "name": "Ann", "bed": 2}


async def test_nothing_is_new_before_other_nodes_have_heard_of_it(tmp_path: Path) -> None:
    async with ward(tmp_path) as there:
        await shown_by(there, NOTELESS)
        async with there.node(ALL) as node:
            await node.get()
            await there.edit(bed=2)
            doc = await node.get()
            assert doc.pop("note") == "kept"
            assert (await node.put(doc)).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


async def test_two_edits_of_one_document_at_once(tmp_path: Path, at_once: dict[str, Any]) -> None:
    """Of the leaf, which is new, and of the one before."""
    async with ward(tmp_path) as there:
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL, **at_once) as node:
            await node.put({**await node.get(), "bed": 2})
            new = await node.get()
            first = {**doc, "bed": 3, "_rev": "2-" + "c" * 32}
            first["_revisions"] = {"start": 2, "ids": ["c" * 32, doc["_rev"][2:]]}
            second = {**new, "bed": 4, "_rev": "3-" + "c" * 32}
            second["_revisions"] = {"start": 3, "ids": ["c" * 32, new["_rev"][2:], doc["_rev"][2:]]}
            batch = {"docs": [second, first], "new_edits": False}
            assert (await node.site.ask("POST", "/clinic-phone/_bulk_docs", batch)).json == []
        for rev in (first["_rev"], second["_rev"]):
            assert (await there.site.at_source("GET", f"/clinic/x?rev={rev}")).json["note"] == "kept"


@pytest.mark.parametrize("one_node", [True, False])
async def test_roles_that_come_and_go(tmp_path: Path, at_once: dict[str, Any], one_node: bool) -> None:
    """What was shown by a role that came back for a while is remembered, though that is no news."""
    rules: Filters = [{"use": "own:ForHeads"}]
    text = OWN_FILTER.replace("Own(", "ForHeads(").replace('!= "note"', '!= "note" or "head" in client.roles')
    async with ward(tmp_path) as there, there.node(rules, own=text, **at_once) as one:
        async with there.node(rules, own=text, **at_once) as two:
            other = one if one_node else two
            await one.get()
            await grant(there, "ann", "head")
            await one.get()
            await one.put(await one.get())
            await grant(there, "ann", "nurse")
            await there.edit(bed=2)
            doc = await other.get()
            assert "note" not in doc
            await grant(there, "ann", "head")
            assert (await one.put({**doc, "bed": 3})).status == 201
        assert (await there.stored())["note"] == "kept"


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


@pytest.mark.parametrize("again", [NOTELESS, [{"use": "redact", "paths": ["name"]}]], ids=["before", "others"])
async def test_touched_documents_are_not_new_once_other_rules_have_shown_them(tmp_path: Path, again: Filters) -> None:
    async with ward(tmp_path) as there:
        await shown_by(there, NOTELESS)
        config = there.config(ALL)
        await touched(config, config.databases["clinic"])
        await shown_by(there, again)
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL) as node:
            assert (await node.put(doc)).status == 201
        assert (await there.stored())["note"] == "kept"


async def test_touched_documents_are_not_new_to_who_had_another_profile(tmp_path: Path) -> None:
    profile = {"suffix": False, "by_role": True, "roles": ["nurse"]}
    head = {**profile, "roles": ["head"], "databases": ["clinic"], "filters": ALL}
    async with ward(tmp_path) as there:
        config = there.config(NOTELESS, profile=profile, head=head)
        await touched(config, config.databases["clinic"])
        async with there.node(NOTELESS, profile=profile, head=head, session_ttl=0) as node:
            node.database = "clinic"
            doc = await node.get()
            assert "note" not in doc
            await grant(there, "ann", "head")
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


async def test_an_attachment_is_no_look_at_the_rest(tmp_path: Path, at_once: dict[str, Any]) -> None:
    async with ward(tmp_path) as there:
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL, **at_once) as node:
            await node.get()
            path = f"/clinic-phone/x/a.txt?rev={doc['_rev']}"
            added = await node.site.ask("PUT", path, data=b"text", headers={"Content-Type": "text/plain"})
            path = f"/clinic-phone/x/a.txt?rev={added.json['rev']}"
            removed = await node.site.ask("DELETE", path)
            assert (await node.put({**doc, "_rev": removed.json["rev"], "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


async def test_a_source_that_cannot_tell_what_is_new(tmp_path: Path) -> None:
    async with ward(tmp_path, failing("POST", "_changes", refusal(500, "internal", "no"))) as there:
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL) as node:
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


async def test_what_cannot_be_noted_is_not_stored(tmp_path: Path) -> None:
    async with ward(tmp_path, failing("PUT", "tailor-edit-", refusal(500, "internal", "no"))) as there:
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


async def test_a_source_that_went_back_does_not_make_old_revisions_new(tmp_path: Path, at_once: dict[str, Any]) -> None:
    """A cluster goes back where it has lost a copy of a shard, and where one was split."""
    lost = False
    tag = ""

    async def script(asked: Asked, forward: Forward) -> Given:
        nonlocal tag
        if not lost or asked.endpoint not in ("_changes", "clinic"):
            return await forward(asked)
        since, copy, _ = asked.query.get("since", "").partition("-another")
        given = await forward(asked.with_query(since=f"{since}-{tag}" if copy else "0"))
        name = "last_seq" if asked.endpoint == "_changes" else "update_seq"
        found = given.json
        number, _, tag = found[name].partition("-")
        return given.with_json({**found, name: f"{number}-another"})

    async with ward(tmp_path, script) as there:
        doc = await shown_by(there, NOTELESS)
        async with there.node(ALL, **at_once) as node:
            await node.get()
            await node.put(await node.get())
            lost = True
            first = (await there.site.at_source("GET", "/clinic/x")).json
            assert (await node.put({**doc, "_rev": first["_rev"], "bed": 2})).status == 201
            assert await there.stored() == {**DOC, "bed": 2}
            await node.put(await node.get())  # takes another sequence
            await there.edit(bed=3)
            doc = await node.get()
            assert doc.pop("note") == "kept"
            assert (await node.put(doc)).status == 201
        assert await there.stored() == {"_id": "x", "name": "Ann", "bed": 3}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds go by, for what is relied on."""
    went_by = 0.0

    def go_by(seconds: float) -> None:
        nonlocal went_by
        went_by += seconds
        monkeypatch.setattr(past, "monotonic", lambda: time.monotonic() + went_by)
        monkeypatch.setattr(memory, "monotonic", lambda: time.monotonic() + went_by)

    return go_by


async def test_what_is_shown_of_a_database_that_was_made_anew_is_recorded(
    tmp_path: Path, later: Callable[[float], None]
) -> None:
    async with ward(tmp_path) as there:
        async with there.node(NOTELESS) as node:
            await node.get()
            await there.site.at_source("DELETE", "/clinic")
            await there.site.at_source("PUT", "/clinic")
            await there.site.at_source("PUT", "/clinic/x", DOC)
            later(past.TO_READ)
            doc = await node.get()
        async with there.node(ALL) as node:
            assert (await node.put({**doc, "bed": 2})).status == 201
        assert await there.stored() == {**DOC, "bed": 2}


async def test_nothing_is_new_while_a_node_relies_on_what_it_has_read(
    tmp_path: Path, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role that comes and goes: the other node shows what it showed before, and need not record it."""
    rules: Filters = [{"use": "own:ForHeads"}]
    text = OWN_FILTER.replace("Own(", "ForHeads(").replace('!= "note"', '!= "note" or "head" in client.roles')
    came = time.time()
    async with ward(tmp_path) as there, there.node(rules, own=text, session_ttl=0) as one:
        async with there.node(rules, own=text, session_ttl=0) as two:
            await one.get()
            await grant(there, "ann", "head")
            await two.get()
            later(past.TO_READ / 2)
            monkeypatch.setattr(time, "time", lambda: came + past.TO_READ / 2)
            await two.put(await two.get())
            await grant(there, "ann", "nurse")
            await there.edit(bed=2)
            doc = await one.get()
            assert "note" not in doc
            await grant(there, "ann", "head")
            assert (await two.put({**doc, "bed": 3})).status == 201
        assert (await there.stored())["note"] == "kept"


async def test_a_feed_that_lasts_sees_that_what_it_shows_is_recorded(
    tmp_path: Path, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "RECHECK_SECONDS", 0.02)
    async with ward(tmp_path) as there, there.node(NOTELESS) as node:
        async with feed_of(node) as feed:
            there.asked.clear()
            await there.edit(bed=2)
            assert await line(feed)
            assert not [asked for asked in there.asked if "tailor-cuts" in asked.path]
            later(past.TO_READ)
            while not [asked for asked in there.asked if "tailor-cuts" in asked.path]:
                await asyncio.sleep(0.01)
            for bed in (3, 4):
                await there.edit(bed=bed)
                assert await line(feed)
            assert b"last_seq" in await line(feed)


async def test_feeds_of_one_strand_that_show_different_cuts_do_not_take_turns(tmp_path: Path) -> None:
    """Each would have to record its own before it tells anything, for ever."""
    one, other = same_kind()
    text = OWN_FILTER.replace("Own(", "Versioned(").replace(
        '!= "note"', f'!= "note" or client.device["version"] == "{one}"'
    )
    profile = {"device": {"version": "X-Version"}}
    async with ward(tmp_path) as there, there.node([{"use": "own:Versioned"}], own=text, profile=profile) as node:
        async with feed_of(node, one) as first, feed_of(node, other) as second:
            there.asked.clear()
            for bed in (2, 3, 4):
                await there.edit(bed=bed)
                assert b'"note"' in await line(first)
                assert b'"note"' not in await line(second)
            assert not [asked for asked in there.asked if "tailor-cuts" in asked.path]
            assert b"last_seq" in await line(first) + await line(second)


def same_kind() -> tuple[str, str]:
    """What two devices can say of themselves and be of one strand: of what they say no more than a byte counts."""
    kinds: dict[bytes, str] = {}
    for number in count():
        said = repr([("version", str(number))]).encode()
        known = kinds.setdefault(blake2b(said, digest_size=1).digest(), str(number))
        if known != str(number):
            return known, str(number)
    raise AssertionError


def feed_of(node: Node, version: str = "", limit: int = 3) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    query = f"feed=continuous&heartbeat=100&since=now&include_docs=true&limit={limit}"
    url = f"{node.site.proxy_url}/clinic-phone/_changes?{query}"
    return node.site.session.get(url, headers={**basic(ANN), "X-Version": version})


async def line(feed: aiohttp.ClientResponse) -> bytes:
    """The next one that is no heartbeat."""
    while True:
        found = await feed.content.readline()
        assert found, "the feed ended"
        if found.strip():
            return found
