"""Peers that speak just enough of the protocol for one client, as sources: it works, or it is said what does not."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from multidict import CIMultiDict

from proxy.core import jsonio
from tests.compatibility.drivers import ward
from tests.compatibility.drivers.couchdb import V1, V3, Release
from tests.compatibility.sources import Asked, Forward, Given, Script, refusal
from tests.compatibility.sources.replication import RUN, before, job, replicates_both_ways
from tests.compatibility.table import row

IN_HTML = Given(405, b"<h1>Method Not Allowed</h1>", CIMultiDict({"Content-Type": "text/html"}))
IN_JSON = refusal(405, "method_not_allowed", "The method is not allowed for the requested URL.")
ENDPOINTS = {"_changes", "_revs_diff", "_bulk_docs", "_ensure_full_commit", "_session"}
TREELESS = dict.fromkeys(("open_revs", "rev", "latest", "revs", "attachments", "atts_since"))


async def last_seq_first(asked: Asked, forward: Forward) -> Given:
    """A feed that says where it ends before it says what is in it, as that of replipy."""
    given = await forward(asked)
    if asked.endpoint != "_changes" or given.status != 200:
        return given
    feed = given.json
    return given.with_json({"last_seq": feed.pop("last_seq"), **feed})


def replipy(refused: Given) -> Script:
    """Winners only, whatever revision is asked for. `refused`: how it says that it has no such endpoint."""

    async def answer(asked: Asked, forward: Forward) -> Given:
        if asked.endpoint.startswith("_") and asked.endpoint not in ENDPOINTS and "_local" not in asked.path:
            return refused
        return await last_seq_first(asked.with_query(**TREELESS), forward)

    return answer


async def kagency(asked: Asked, forward: Forward) -> Given:
    """No `_bulk_get`; every document in a multipart/mixed, alone or as one of several, whatever the client accepts."""
    if asked.endpoint == "_bulk_get":
        return refusal(500, "internal", 'No route found for "POST /clinic/_bulk_get": Method Not Allowed (Allow: GET)')
    given = await last_seq_first(asked, forward)
    if asked.method != "GET" or asked.path.count("/") != 2 or asked.endpoint.startswith("_") or given.status != 200:
        return given
    entries = given.json if isinstance(given.json, list) else [{"ok": given.json}]
    boundary = secrets.token_hex(8)
    parts = [
        b"--%b\r\nContent-Type: application/json%b\r\n\r\n%b\r\n"
        % (boundary.encode(), b"" if "ok" in each else b'; error="true"', jsonio.dumps(each.get("ok", each)))
        for each in entries
    ]
    kind = f'multipart/mixed; boundary="{boundary}"'
    return Given(200, b"".join([*parts, f"--{boundary}--".encode()]), CIMultiDict({"Content-Type": kind}))


async def without_paths(asked: Asked, forward: Forward) -> Given:
    """A `_bulk_get` that takes no notice of `revs`."""
    return await forward(asked.with_query(revs=None) if asked.endpoint == "_bulk_get" else asked)


@row("sources", "replipy, Kagency's endpoint", "–", "feeds that say `last_seq` before `results`")
@pytest.mark.parametrize("release", [V1, V3], ids=["1.x", "3.x"])
async def test_the_order_of_a_feeds_members_does_not_matter(release: Release) -> None:
    async with before(last_seq_first) as (there, wire):
        replicator = job(wire, release)
        await replicator.pull()
        ward.everything_visible_in(replicator.replica)
        assert await replicator.pull() == 0
        await there.put(ward.doc("p:new"))
        assert await replicator.pull() == 1
        ward.nothing_hidden_in(wire)


@row(
    "sources",
    "replipy",
    "–",
    "replication; writes by `new_edits: false`",
    "end with an error that says that it gives no revision trees; documents can be read one by one",
)
@pytest.mark.parametrize(
    ("refused", "message"),
    [(IN_HTML, "_bulk_get) answered 405 without saying why"), (IN_JSON, "open_revs is not of CouchDB's form")],
)
async def test_a_source_without_trees_is_no_source(
    refused: Given, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Documents can be read, by their winners; replication ends with an error, and nothing came or went."""
    async with before(replipy(refused)) as (there, wire):
        read = await there.ask("GET", "/clinic-phone/p:001")
        assert (read.status, read.json["n"]) == (200, 5)
        replicator = job(wire, V1)
        with pytest.raises(asyncio.IncompleteReadError):
            await replicator.pull()
        assert message in caplog.text
        path = {"start": 2, "ids": [ward.A, read.json["_rev"][2:]]}
        edited = {"_id": "p:001", "facility": "f1", "n": 6, "_revisions": path}
        reply = await there.ask("POST", "/clinic-phone/_bulk_docs", {"new_edits": False, "docs": [edited]})
        assert reply.status == 502
        assert message.rpartition(") ")[2] in reply.json["reason"]  # the path is for the log alone
        assert (await there.at_source("GET", "/clinic/p:001")).json["_rev"] == read.json["_rev"]
        ward.nothing_hidden_in(wire)


async def test_another_revision_than_the_one_asked_for_is_not_passed_on() -> None:
    async with before(replipy(IN_JSON)) as (there, _):
        reply = await there.ask("GET", f"/clinic-phone/conflict:1?rev=2-{ward.B}")
        assert reply.status == 502
        assert "another document or revision" in reply.json["reason"]
        assert (await there.ask("GET", f"/clinic-phone/conflict:1?rev=03-{ward.D.upper()}")).status == 200


@row("sources", "Kagency's endpoint", "–", RUN)
async def test_documents_in_multipart_are_taken_apart() -> None:
    async with before(kagency) as (there, _):
        read = await there.ask("GET", "/clinic-phone/p:001")
        assert (read.status, read.json["n"]) == (200, 5)
        missing = await there.ask("GET", f"/clinic-phone/p:001?open_revs=%5B%227-{ward.A}%22%5D")
        assert missing.json == [{"missing": f"7-{ward.A}"}]
    await replicates_both_ways(kagency, V3)


@row("sources", "a `_bulk_get` without `_revisions`", "–", RUN)
@pytest.mark.parametrize("release", [V1, V3], ids=["1.x", "3.x"])
async def test_paths_that_are_not_given_in_bulk_are_asked_for(release: Release) -> None:
    await replicates_both_ways(without_paths, release)
