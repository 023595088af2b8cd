"""CouchDB's replicator in three ages, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import TypeVar
from urllib.parse import parse_qs

import pytest

from tests.compatibility.drivers import ward
from tests.compatibility.drivers.couchdb import V1, V2, V3, Release, Replicator
from tests.compatibility.drivers.replica import Doc, Replica
from tests.compatibility.drivers.wire import Sent, Wire
from tests.compatibility.table import row
from tests.recordings.exchanges import Exchange, load
from tests.support.inprocess import Site

releases = pytest.mark.parametrize("release", [V1, V2, V3], ids=["1.x", "2.x", "3.x"])
VERSIONS = ["1.x", "2.3 to 3.2", "3.3 on"]
Test = TypeVar("Test", bound=Callable[..., object])
LEAVES = len(ward.VISIBLE) + 4
"""Revisions that a pull takes: the documents, a second leaf, two tombstones, the design document."""


def each(run: str) -> Callable[[Test], Test]:
    """A row for each age."""

    def declare(test: Test) -> Test:
        for version in VERSIONS:
            test = row("drivers", "CouchDB replicator", version, run)(test)
        return test

    return declare


@pytest.fixture
async def there() -> AsyncIterator[tuple[Site, Wire]]:
    async with ward.ward() as there:
        yield there


def job(wire: Wire, release: Release, replica: Replica | None = None) -> Replicator:
    return Replicator(wire, ward.DATABASE, ward.USER, Replica() if replica is None else replica, release)


@each(ward.PULL)
@releases
async def test_it_pulls_all_that_is_visible_and_goes_on_from_there(there: tuple[Site, Wire], release: Release) -> None:
    site, wire = there
    replicator = job(wire, release)
    assert await replicator.pull() == LEAVES
    ward.everything_visible_in(replicator.replica)
    before = len(wire.sent)
    assert await replicator.pull() == 0
    again = [each.target for each in wire.sent[before:] if "_local" not in each.target]
    assert not any("open_revs" in target or "_bulk_get" in target or "since=0" in target for target in again)
    await site.put(ward.doc("p:new"))
    await site.put(ward.doc("HUSH:new", "f2"))
    assert await replicator.pull() == 1
    assert "p:new" in replicator.replica.ids()
    ward.nothing_hidden_in(wire)


@releases
async def test_a_replicator_that_starts_anew_finds_its_checkpoint(there: tuple[Site, Wire], release: Release) -> None:
    _, wire = there
    first = job(wire, release)
    await first.pull()
    second = job(wire, release, first.replica)
    before = len(wire.sent)
    assert await second.pull() == 0
    assert not any("since=0" in each.target for each in wire.sent[before:])


@each(ward.PUSH)
@releases
async def test_it_pushes_edits_into_whole_documents(there: tuple[Site, Wire], release: Release) -> None:
    site, wire = there
    replicator = job(wire, release)
    await replicator.pull()
    written = ward.edit(replicator.replica)
    assert await replicator.push() == len(written)
    assert replicator.skipped == []
    await ward.edits_are_whole(site, written)
    assert await replicator.push() == 0
    assert await replicator.pull() == 0
    ward.nothing_hidden_in(wire)


@each(ward.REFUSED)
@releases
async def test_what_it_may_not_write_is_skipped_and_the_rest_arrives(
    there: tuple[Site, Wire], release: Release
) -> None:
    site, wire = there
    replicator = job(wire, release)
    files = ward.edit(replicator.replica)["new:1"].files
    replicator.replica = Replica()
    replicator.replica.edit("bad:1", facility="f2")
    replicator.replica.edit("bad:2", facility="f2", files=files)
    replicator.replica.edit("good:1", facility="f1")
    assert await replicator.push() == 1
    assert sorted(row["id"] for row in replicator.skipped) == ["bad:1", "bad:2"]
    assert {row["error"] for row in replicator.skipped} == {"forbidden"}
    assert (await site.at_source("GET", "/clinic/good:1")).status == 200
    assert [(await site.at_source("GET", f"/clinic/{each}")).status for each in ("bad:1", "bad:2")] == [404, 404]


@releases
async def test_a_changed_attachment_comes_without_those_that_are_there(
    there: tuple[Site, Wire], release: Release
) -> None:
    site, wire = there
    replicator = job(wire, release)
    await replicator.pull()
    rev = replicator.replica.winner("photo:1").rev
    await site.at_source(
        "PUT", f"/clinic/photo:1/more.bin?rev={rev}", data=b"more", headers={"Content-Type": "application/x-more"}
    )
    before = len(wire.received)
    assert await replicator.pull() == 1
    assert ward.plain(replicator.replica.winner("photo:1")) == {**ward.FILES, "more.bin": b"more"}
    assert ward.BINARY not in wire.received[before:]
    ward.nothing_hidden_in(wire)


@each("continuous jobs")
@releases
async def test_a_continuous_job_gets_what_is_there_and_what_comes(there: tuple[Site, Wire], release: Release) -> None:
    site, wire = there
    replicator = job(wire, release)
    seen: list[Doc] = []
    async with aclosing(replicator.follow()) as rows:
        async for row in rows:
            seen.append(row)
            if len(seen) == LEAVES - 1:  # one document has two leaves
                ward.everything_visible_in(replicator.replica)
                await site.put(ward.doc("HUSH:new", "f2"))
                await site.put(ward.doc("p:new"))
            if row["id"] == "p:new":
                break
    assert len(seen) == LEAVES
    ward.nothing_hidden_in(wire)


@each("jobs with `doc_ids` or a `selector`")
@pytest.mark.parametrize(
    ("filtered", "expected"),
    [
        (("_doc_ids", {"doc_ids": ["a/b", "p:001", "HUSH:1", "photo:1", "nobody"]}), ["a/b", "p:001", "photo:1"]),
        (("_selector", {"selector": {"side": "left"}}), ["conflict:1", "conflict:2"]),
        (("_selector", {"selector": {"secret": {"$exists": True}}}), []),
    ],
    ids=["doc_ids", "selector", "selector of a hidden field"],
)
@releases
async def test_a_filtered_job_gets_its_part(
    there: tuple[Site, Wire], release: Release, filtered: tuple[str, Doc], expected: list[str]
) -> None:
    _, wire = there
    replicator = job(wire, release)
    replicator.filtered = filtered
    await replicator.pull()
    assert replicator.replica.ids() == expected
    branches = [held for doc_id in expected for held in replicator.replica.leaves(doc_id).values()]
    assert all(held.body.get("side", "left") == "left" for held in branches)
    before = len(wire.sent)
    assert await replicator.pull() == 0
    assert not any("since=0" in each.target for each in wire.sent[before:])
    ward.nothing_hidden_in(wire)


def shapes(requests: Iterable[Sent | Exchange]) -> dict[str, list[str]]:
    """By kind of request, the headers: with values where they are the replicator's own choice."""
    return {_kind(each.method, each.target): _headers(each.headers) for each in requests}


def _kind(method: str, target: str) -> str:
    path, _, options = target.partition("?")
    names = [piece for piece in path.split("/") if piece]
    # What is asked of a document: only a name without underscore is one.
    place = [name if name[:1] == "_" else "*" for name in names]
    return f"{method} {'/'.join(place)}{'/' * path.endswith('/')}?{sorted(parse_qs(options))}"


def _headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    own = {"accept", "content-type", "x-couch-full-commit", "user-agent"}
    shown = [f"{name}: {value.partition('boundary=')[0]}" if name.lower() in own else name for name, value in headers]
    return sorted(each for each in shown if each.lower() != "host")


async def test_requests_are_those_that_were_recorded_of_the_real_one(there: tuple[Site, Wire]) -> None:
    """So that the other tests of 3.x mean something."""
    _, wire = there
    replicator = job(wire, V3)
    await replicator.pull()
    ward.edit(replicator.replica)
    await replicator.push()
    driven = shapes(wire.sent)
    recorded = shapes([*load("couchdb35-replicator-pull"), *load("couchdb35-replicator-push")])
    kinds = {kind for kind in recorded if not kind.startswith(("PUT */?", "PUT _design", "PUT */_design"))}
    assert kinds <= driven.keys()
    assert {kind: driven[kind] for kind in kinds} == {kind: recorded[kind] for kind in kinds}
