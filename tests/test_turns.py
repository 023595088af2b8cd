"""However long a filter takes for each document, others have their turn every few of them, whatever is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proxy import turns
from proxy.contract import Client, Doc, Filter
from proxy.reading import changes, find
from proxy.reading.changes_request import parse_wanted
from proxy.reading.find_request import parse_find
from proxy.turns import Turn, in_turns
from tests.support.inprocess import Site, profile, site

COUNT = 150
DOCS: list[dict[str, Any]] = [
    {"_id": f"d{number:03}", "owner": "bob" if number % 3 else "ann"} for number in range(COUNT)
]
IDS = [doc["_id"] for doc in DOCS]
MOST = 8
"""Calls in a row, at the most: two parts of a request may be judged at the same time, and a write takes four."""


class Counted(Filter):
    """Shows documents of the client's own, and counts how often it is asked."""

    declares_audience = True

    def __init__(self) -> None:
        self.calls = 0

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        self.calls += 1
        return doc if doc.get("owner") == client.name else None

    def audience(self, doc: Doc) -> Iterable[str]:
        self.calls += 1
        return [str(doc.get("owner"))]

    def client_keys(self, client: Client) -> Iterable[str]:
        return [str(client.name)]


class Blind(Filter):
    """Hides no document, and counts how often it is asked."""

    passes_all = True

    def __init__(self) -> None:
        self.calls = 0

    def shape(self, doc: Doc, client: Client) -> Doc:
        self.calls += 1
        return {**doc, "owner": None}


class Picky:
    """A client's selector, which counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, doc: Doc) -> bool:
        self.calls += 1
        return True


@asynccontextmanager
async def probed(filter_: Counted | Blind | Picky) -> AsyncIterator[list[int]]:
    """Somebody else in the event loop: how often the filter had been asked at each of their turns."""
    seen: list[int] = []

    async def probe() -> None:
        while True:
            seen.append(filter_.calls)
            await asyncio.sleep(0)

    other = asyncio.ensure_future(probe())
    try:
        yield seen
    finally:
        seen.append(filter_.calls)
        other.cancel()


def longest(seen: list[int]) -> int:
    """Of how many calls in a row nobody else had a turn."""
    return max(after - before for before, after in pairwise(seen))


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each document took as long as a turn."""
    monkeypatch.setattr(turns, "SECONDS", 0.0)


class Way(NamedTuple):
    """A request in which many documents are judged."""

    method: str
    path: str
    body: Any = None
    least: int = COUNT
    """Calls that it takes."""


def pushed(number: int, generation: int, known: dict[str, str]) -> dict[str, Any]:
    """A revision of a document as a replicator sends it: a new document, or a child of the known revision."""
    doc_id = IDS[number]
    if generation == 1:
        return {"_id": f"n{doc_id}", "owner": "ann", "_rev": "1-abc", "_revisions": {"start": 1, "ids": ["abc"]}}
    parent = known[doc_id].partition("-")[2]
    revisions = {"start": 2, "ids": ["abc", parent]}
    return {"_id": doc_id, "owner": "ann", "_rev": "2-abc", "_revisions": revisions}


def ways(known: dict[str, str]) -> dict[str, Way]:
    """By name; `known`: the documents' revisions by id."""
    entries = [{"id": doc_id} for doc_id in IDS]
    exact = [{"id": doc_id, "rev": known[doc_id]} for doc_id in IDS]
    edits = [{"_id": f"e{doc_id}", "owner": "ann"} for doc_id in IDS]
    return {
        "changes": Way("GET", "/_changes"),
        "changes with documents": Way("GET", "/_changes?include_docs=true"),
        "changes downwards": Way("GET", "/_changes?descending=true"),
        "a page of changes for a replicator": Way("GET", "/_changes?style=all_docs&limit=150"),
        "changes by a selector": Way("POST", "/_changes?filter=_selector", {"selector": {"owner": "ann"}}),
        "a page of changes by a selector": Way(
            "POST", "/_changes?style=all_docs&limit=150&filter=_selector", {"selector": {"owner": "ann"}}
        ),
        "all_docs": Way("GET", "/_all_docs"),
        "all_docs with a limit": Way("GET", "/_all_docs?limit=40&include_docs=true"),
        "all_docs by key": Way("POST", "/_all_docs", {"keys": IDS}),
        "find": Way("POST", "/_find", {"selector": {"owner": "ann"}, "limit": 200}),
        "bulk_get": Way("POST", "/_bulk_get", {"docs": entries}),
        "bulk_get of revisions": Way("POST", "/_bulk_get?revs=true", {"docs": exact}),
        "bulk_get of the latest": Way("POST", "/_bulk_get?latest=true&revs=true", {"docs": exact}),
        "revs_diff": Way("POST", "/_revs_diff", {doc_id: ["9-abc"] for doc_id in IDS}),
        "revs_diff of what there is": Way("POST", "/_revs_diff", {doc_id: [rev] for doc_id, rev in known.items()}),
        "bulk_docs": Way("POST", "/_bulk_docs", {"docs": edits}),
        "bulk_docs of new documents": Way(
            "POST", "/_bulk_docs", {"new_edits": False, "docs": [pushed(each, 1, known) for each in range(COUNT)]}
        ),
        "bulk_docs of edits": Way(
            "POST", "/_bulk_docs", {"new_edits": False, "docs": [pushed(each, 2, known) for each in range(COUNT)]}
        ),
    }


WAYS = sorted(ways(dict.fromkeys(IDS, "1-abc")))


async def revisions(at: Site) -> dict[str, str]:
    rows = (await at.at_source("GET", "/clinic/_all_docs")).json["rows"]
    return {row["id"]: row["value"]["rev"] for row in rows}


async def ask(at: Site, way: Way) -> None:
    answer = await at.ask(way.method, f"/clinic-phone{way.path}", way.body)
    assert answer.status in (200, 201), answer.body


@pytest.mark.parametrize("indexed", [False, True], ids=["without an index", "with an index"])
@pytest.mark.parametrize("name", WAYS)
async def test_others_have_their_turn_every_few_documents(name: str, indexed: bool, tmp_path: Path) -> None:
    filter_ = Counted()
    options: dict[str, Any] = {"data": tmp_path} if indexed else {}
    async with site(profile("phone", filter_), docs=DOCS, **options) as at:
        if indexed:
            await (await at.indexed()).fresh()
        way = ways(await revisions(at))[name]
        before = filter_.calls
        async with probed(filter_) as seen:
            await ask(at, way)
        assert longest(seen) <= MOST
        if not indexed:
            assert filter_.calls - before >= way.least


@pytest.mark.parametrize("path", ["/_all_docs?include_docs=true", "/_changes?include_docs=true"])
async def test_so_they_have_where_nothing_is_hidden(path: str) -> None:
    filter_ = Blind()
    async with site(profile("phone", filter_, design_docs=True), docs=DOCS) as at:
        async with probed(filter_) as seen:
            await ask(at, Way("GET", path))
        assert filter_.calls >= COUNT
        assert longest(seen) <= MOST


@pytest.mark.parametrize("name", ["find", "changes by a selector", "a page of changes by a selector"])
async def test_so_they_have_where_a_selector_is_slow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picky = Picky()
    monkeypatch.setattr(find, "parse_find", lambda body: replace(parse_find(body), matches=picky))
    monkeypatch.setattr(changes, "parse_wanted", lambda *given: replace(parse_wanted(*given), matches=picky))
    async with site(profile("phone", Counted()), docs=[{**doc, "owner": "ann"} for doc in DOCS]) as at:
        way = ways(await revisions(at))[name]
        async with probed(picky) as seen:
            await ask(at, way)
        assert picky.calls == COUNT
        assert longest(seen) <= MOST


async def test_a_page_and_what_is_asked_for_next(tmp_path: Path) -> None:
    """What was read for the page is at hand then."""
    filter_ = Counted()
    async with site(profile("phone", filter_), docs=DOCS) as at:
        known = await revisions(at)
        await ask(at, Way("GET", "/_changes?style=all_docs&limit=150"))
        async with probed(filter_) as seen:
            await ask(at, ways(known)["bulk_get of the latest"])
        assert longest(seen) <= MOST
        await ask(at, ways(known)["revs_diff"])
        async with probed(filter_) as seen:
            await ask(at, ways(known)["bulk_docs of edits"])
        assert longest(seen) <= MOST


async def test_what_was_kept_for_an_index_is_judged_in_turns(tmp_path: Path) -> None:
    filter_ = Counted()
    async with site(profile("phone", filter_), docs=[{**doc, "owner": "ann"} for doc in DOCS], data=tmp_path) as at:
        await (await at.indexed()).fresh()
        known = await revisions(at)
        await ask(at, Way("GET", "/_changes?include_docs=true"))
        async with probed(filter_) as seen:
            await ask(at, ways(known)["bulk_get of the latest"])
        assert longest(seen) <= MOST


async def test_the_index_looks_at_documents_in_turns(tmp_path: Path) -> None:
    filter_ = Counted()
    async with site(profile("phone", filter_), data=tmp_path) as at:
        hub = await at.indexed()
        await at.at_source("POST", "/clinic/_bulk_docs", {"docs": DOCS})
        async with probed(filter_) as seen:
            assert await hub.fresh()
        assert filter_.calls >= COUNT
        assert longest(seen) <= MOST


async def test_a_turn_is_over_when_its_time_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(turns, "monotonic", lambda: now)
    monkeypatch.setattr(turns, "SECONDS", 10.0)
    turn = Turn()
    now = 109.0
    assert not turn.is_over()
    now = 110.0
    assert turn.is_over()
    await turn.pass_on()
    assert not turn.is_over()


async def test_what_came_of_each_is_in_order_whoever_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SECONDS", 10.0)
    now = 0.0
    others: list[float] = []

    def work(seconds: float) -> float:
        nonlocal now
        now += seconds
        return now

    async def other() -> None:
        others.append(now)

    monkeypatch.setattr(turns, "monotonic", lambda: now)
    waiting = asyncio.ensure_future(other())
    assert await in_turns([4.0, 4.0], work) == [4.0, 8.0]
    assert others == []
    assert await in_turns([4.0, 4.0, 4.0], work) == [12.0, 16.0, 20.0]
    assert others == [20.0]
    await waiting
