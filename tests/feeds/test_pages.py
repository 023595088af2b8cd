"""A page that was written once is handed out only as long as it would be written the same again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filters.drop import Drop
from filters.select import Select
from proxy import fetch
from proxy.contract import Client as Asking
from proxy.contract import Doc, Filter
from proxy.core.tokens import Position
from proxy.feeds.index import Damaged, Entry, IndexReader, IndexWriter, remove
from proxy.feeds.news import News
from proxy.feeds.pages import Asked, Page, Pages
from proxy.place import Place
from proxy.reading import changes_rows, index_feed
from tests.feeds.test_index import SETTINGS
from tests.support.inprocess import Answer, profile, site
from tests.support.inprocess import Site as Client

KEYS = st.frozensets(st.integers(1, 2), max_size=2)
HELD = st.sampled_from([None, frozenset([1]), frozenset([1, 2])])
CHANGES = st.lists(st.tuples(st.sampled_from("abcd"), KEYS, KEYS), min_size=1, max_size=3)
ASKED = st.builds(Asked, st.just("phone"), st.just("all_docs"), HELD, st.integers(0, 2), st.integers(1, 2))
MEANWHILE = st.sampled_from([False, False, True])

REACHED = Position(b"12345678", 1, 1)


class Site:
    """An index that changes, and what its hub knows of it."""

    def __init__(self, writer: IndexWriter) -> None:
        self._writer = writer
        self._number = 0
        self.news = News()
        self.end = 0

    def change(self, changes: list[tuple[str, frozenset[int], frozenset[int]]], told: bool) -> None:
        entries = []
        for doc_id, keys, earlier in changes:
            self._number += 1
            entries.append(Entry(doc_id, f"{self._number}-a", self._number, keys, earlier))
        self._writer.apply(entries, self._number)
        if told:
            self.news.moved(self.end, self._writer.end, None)
            self.end = self._writer.end


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES, st.lists(st.tuples(ASKED, CHANGES, MEANWHILE, MEANWHILE), min_size=3, max_size=12))
def test_a_page_is_what_would_be_read_now(tmp_path: Path, first: Any, steps: list[Any]) -> None:
    """Somebody asks, what was read is kept, and documents change: after that or meanwhile, and the hub hears of it or
    not.
    """
    path = tmp_path / "clinic.index"
    remove(path)
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as index:
        pages, site = Pages(1_000_000), Site(writer)
        site.change(first, told=True)
        for asked, changes, meanwhile, unheard in steps:
            end = site.end
            found = site.news.rows(index, asked.keys, asked.after, end, asked.limit)
            if meanwhile:
                site.change(changes, told=not unheard)
            if len(found) == asked.limit:
                leaves = {row.doc_id: row.leaves for row in found}
                pages.keep(asked, Page(found[-1].at, leaves, repr(found).encode(), REACHED, 0), index, end)
            for again in range(2):
                for kept, *_ in steps:
                    page = pages.get(kept, index)
                    if page is not None:
                        assert page.rows == repr(index.rows(kept.keys, kept.after, page.until, kept.limit)).encode()
                if not again and not meanwhile:
                    site.change(changes, told=not unheard)


def indexed(path: Path, number: int) -> IndexWriter:
    writer = IndexWriter(path / "clinic.index", SETTINGS)
    writer.apply([Entry(f"doc{place}", "1-a", place, frozenset([1])) for place in range(number)], number)
    return writer


def page_of(index: IndexReader, asked: Asked) -> Page:
    rows = index.rows(asked.keys, asked.after, index.end, asked.limit)
    return Page(rows[-1].at, {row.doc_id: row.leaves for row in rows}, repr(rows).encode(), REACHED, 0)


def test_changes_elsewhere_leave_a_page_as_it_is(tmp_path: Path) -> None:
    with indexed(tmp_path, 6) as writer, IndexReader(writer.path) as index:
        pages, asked = Pages(100_000), Asked("phone", "main_only", frozenset([1]), 0, 3)
        page = page_of(index, asked)
        pages.keep(asked, page, index, index.end)
        assert pages.get(asked, index) is page
        writer.apply([Entry("doc5", "2-b", 7, frozenset()), Entry("new", "1-b", 8, frozenset([1]))], 8)
        assert pages.get(asked, index) is page
        writer.apply([Entry("doc2", "2-b", 9, frozenset([1]))], 9)
        assert pages.get(asked, index) is None
        assert (pages.hits, pages.size) == (2, 0)


def test_a_document_that_left_and_changes_on_is_noticed_where_it_left(tmp_path: Path) -> None:
    with indexed(tmp_path, 3) as writer, IndexReader(writer.path) as index:
        writer.apply([Entry("doc0", "2-b!", 4, frozenset())], 4)
        pages, asked = Pages(100_000), Asked("phone", "main_only", frozenset([1]), 0, 3)
        page = page_of(index, asked)
        pages.keep(asked, page, index, index.end)
        assert b"2-b" in page.rows
        writer.apply([Entry("doc0", "3-c!", 5, frozenset())], 5)
        assert pages.get(asked, index) is None


def test_what_went_is_not_made_up_for_by_what_moved_on(tmp_path: Path) -> None:
    with IndexWriter(tmp_path / "clinic.index", SETTINGS) as writer, IndexReader(writer.path) as index:
        held, nobody = frozenset([1]), frozenset[int]()
        writer.apply([Entry("a", "1-a", 1, held), Entry("b", "1-a", 2, held)], 2)
        writer.apply([Entry("b", "2-b", 3, nobody)], 3)
        before = index.fingerprint(held, 0, 3)
        writer.apply([Entry("b", "3-c", 4, nobody), Entry("a", "2-b", 5, nobody)], 5)
        after = index.fingerprint(held, 0, 3)
        assert (before, after) == ((2, 4), (1, 4))


def test_pages_keep_to_their_room(tmp_path: Path) -> None:
    with indexed(tmp_path, 30) as writer, IndexReader(writer.path) as index:
        asked = [Asked("phone", "main_only", None, after, 1) for after in range(20)]
        size = page_of(index, asked[0]).size
        pages = Pages(5 * size)
        for each in asked:
            pages.keep(each, page_of(index, each), index, index.end)
            pages.get(asked[0], index)  # is asked for again and again
            assert pages.size <= 5 * size
        assert pages.get(asked[0], index) is not None
        assert pages.get(asked[-1], index) is not None
        assert pages.get(asked[1], index) is None
        large = Asked("phone", "main_only", None, 0, 25)
        pages.keep(large, page_of(index, large), index, index.end)
        assert pages.get(large, index) is None
        pages.clear()
        assert (pages.size, pages.get(asked[-1], index)) == (0, None)


PATIENTS = profile("phone", Select(where="type == 'patient'"), Drop(paths=["ssn"]))
OWN = profile("own", Select(where="facility == client.facility"))
DOCS = [
    {"_id": f"doc:{number:02}", "type": "patient" if number % 3 else "visit", "facility": "f1", "ssn": "SECRET"}
    for number in range(12)
]


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Client]:
    async with site(PATIENTS, OWN, docs=DOCS, data=tmp_path, session_ttl=0.0) as served:
        await served.indexed()
        yield served


async def page(served: Client, query: str, since: Any = 0, user: tuple[str, str] = ("ann", "ann")) -> Answer:
    answer = await served.ask("GET", f"/clinic-phone/_changes?{query}&since={since}", user=user)
    assert answer.status == 200
    return answer


def hits(served: Client) -> int:
    assert served.hub is not None
    return served.hub.pages.hits


async def test_everybody_is_given_the_same_pages(clinic: Client) -> None:
    since: Any = 0
    for number in range(2):
        first = await page(clinic, "limit=3&style=all_docs", since)
        again = await page(clinic, "limit=3&style=all_docs", since, ("bob", "bob"))
        longpoll = await page(clinic, "limit=3&style=all_docs&feed=longpoll&heartbeat=1000", since)
        assert first.body == again.body == longpoll.body
        assert [first.headers[name] for name in ("Content-Type", "Vary")] == [
            again.headers[name] for name in ("Content-Type", "Vary")
        ]
        assert len(first.json["results"]) == 3
        assert hits(clinic) == 2 * (number + 1)
        since = first.json["last_seq"]


async def test_a_page_is_written_anew_after_a_change_in_it_only(clinic: Client) -> None:
    async def ids() -> list[str]:
        return [row["id"] for row in (await page(clinic, "limit=3")).json["results"]]

    before = await ids()
    doc = (await clinic.at_source("GET", "/clinic/doc:11")).json
    await clinic.put({**doc, "note": "elsewhere"})
    await page(clinic, "limit=100")  # the index knows by now
    assert await ids() == before
    assert hits(clinic) == 1
    doc = (await clinic.at_source("GET", f"/clinic/{before[0]}")).json
    await clinic.put({**doc, "note": "here"})
    await page(clinic, "limit=100")
    assert await ids() == ["doc:02", "doc:04", "doc:05"]
    doc = (await clinic.at_source("GET", "/clinic/doc:02")).json
    await clinic.put({**doc, "type": "visit"})  # leaves the view
    await page(clinic, "limit=100")
    assert await ids() == ["doc:04", "doc:05", "doc:07"]
    assert hits(clinic) == 1


@pytest.mark.parametrize("gone", [{"type": "visit"}, {"_deleted": True}])
async def test_what_is_told_for_the_sake_of_an_ancestor_is_judged_each_time(
    clinic: Client, gone: dict[str, Any]
) -> None:
    """The source may forget that ancestor's body: then it is told of no longer, for it cannot be asked for."""
    doc = (await clinic.at_source("GET", "/clinic/doc:02")).json
    await clinic.put({"_id": "doc:02", "_rev": doc["_rev"], **gone})
    await page(clinic, "limit=100")
    for _ in range(2):
        rows = (await page(clinic, "limit=8")).json["results"]
        assert [row["id"] for row in rows if row.get("deleted")] == ["doc:02"]
        assert len((await page(clinic, "limit=7")).json["results"]) == 7
    assert hits(clinic) == 1


class Failing(Filter):
    """Fails on one document, for as long as it is told to."""

    fails = True

    def shape(self, doc: Doc, client: Asking) -> Doc:
        if self.fails and doc["_id"] == "doc:02":
            raise ValueError("an accident")
        return doc

    def depends_on_client(self) -> bool:
        return False


async def test_nothing_is_kept_of_a_filter_that_fails(tmp_path: Path) -> None:
    failing = Failing()
    async with site(profile("phone", failing), docs=DOCS, data=tmp_path) as served:
        await served.indexed()
        for _ in range(2):
            rows = (await page(served, "limit=4")).json["results"]
            assert [row["id"] for row in rows] == ["doc:00", "doc:01", "doc:03", "doc:04"]
        failing.fails = False
        for kept in range(2):
            rows = (await page(served, "limit=4")).json["results"]
            assert [row["id"] for row in rows] == ["doc:00", "doc:01", "doc:02", "doc:03"]
            assert hits(served) == kept


async def test_what_follows_a_page_is_served_of_now(clinic: Client) -> None:
    rows = (await page(clinic, "limit=3&style=all_docs")).json["results"]
    rows = (await page(clinic, "limit=3&style=all_docs")).json["results"]
    assert hits(clinic) == 1
    doc = (await clinic.at_source("GET", f"/clinic/{rows[0]['id']}")).json
    rev = await clinic.put({**doc, "note": "newer"})
    await page(clinic, "limit=100")
    wanted = [{"id": row["id"], "rev": row["changes"][0]["rev"]} for row in rows]
    found = (await clinic.ask("POST", "/clinic-phone/_bulk_get?revs=true&latest=true", {"docs": wanted})).json[
        "results"
    ]
    assert found[0]["docs"][0]["ok"]["_rev"] == rev
    assert [result["docs"][0]["ok"]["_rev"] for result in found[1:]] == [entry["rev"] for entry in wanted[1:]]
    assert "SECRET" not in str(found)


@pytest.mark.parametrize(
    "query",
    [
        "limit=3&include_docs=true",
        "limit=3&descending=true",
        "limit=3&filter=_doc_ids&doc_ids=%5B%22doc:01%22,%22doc:02%22,%22doc:04%22%5D",
        "limit=3&filter=_design",
        "limit=3&feed=continuous&timeout=1",
        "limit=3&feed=eventsource&timeout=1",
        "limit=9000",
        "feed=normal",
        "limit=0",
    ],
)
async def test_other_questions_are_answered_by_themselves(clinic: Client, query: str) -> None:
    plain = await page(clinic, "limit=3")
    answers = [await page(clinic, query) for _ in range(2)]
    assert hits(clinic) == 0
    assert answers[0].body == answers[1].body
    assert answers[0].body != plain.body


async def test_now_is_not_the_beginning(clinic: Client) -> None:
    await page(clinic, "limit=3")
    now = (await page(clinic, "limit=3", "now")).json
    assert now["results"] == []
    waiting = asyncio.ensure_future(page(clinic, "limit=3&feed=longpoll", "now"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await clinic.put({"_id": "new", "type": "patient"})
    assert [row["id"] for row in (await waiting).json["results"]] == ["new"]
    assert hits(clinic) == 0


async def test_what_was_waited_for_is_nobody_elses(clinic: Client) -> None:
    end = (await page(clinic, "limit=100")).json["last_seq"]
    waiting = asyncio.ensure_future(page(clinic, "limit=1&feed=longpoll", end))
    await asyncio.sleep(0.2)
    await clinic.put({"_id": "new", "type": "patient"})
    first = await waiting
    again = await page(clinic, "limit=1&feed=longpoll", end)
    assert first.json["results"] == again.json["results"]
    assert hits(clinic) == 0


async def test_what_the_source_did_not_give_is_asked_for_again(clinic: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that is behind does not have a leaf that the feed names: nobody misses it."""
    real = fetch._bulk_get
    monkeypatch.setattr(changes_rows, "_PAUSES", ())

    async def behind(place: Place, entries: list[dict[str, str]], extra: Any, **options: Any) -> Any:
        return await real(place, [entry for entry in entries if entry["id"] != "doc:02"], extra, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "_bulk_get", behind)
        with pytest.raises(aiohttp.ClientPayloadError):
            await page(clinic, "limit=3")
    rows = (await page(clinic, "limit=3")).json["results"]
    assert [row["id"] for row in rows] == ["doc:01", "doc:02", "doc:04"]
    assert hits(clinic) == 0


async def test_pages_for_which_very_much_is_read_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_feed, "MOST_READ", 5)
    odd = profile("phone", Drop(paths=["ssn"]), Select(where="type != 'visit' || ssn"))
    async with site(odd, docs=DOCS, data=tmp_path) as served:
        await served.indexed()
        for limit, expected in ((3, 1), (6, 1)):
            for _ in range(2):
                assert len((await page(served, f"limit={limit}")).json["results"]) == limit
            assert hits(served) == expected


async def test_styles_and_limits_have_pages_of_their_own(clinic: Client) -> None:
    rev = "1-" + "e" * 32
    await clinic.at_source(
        "POST", "/clinic/_bulk_docs", {"new_edits": False, "docs": [{"_id": "doc:01", "_rev": rev, "type": "patient"}]}
    )
    await page(clinic, "limit=100")
    answers = {}
    for _ in range(2):
        for query in ("limit=8&style=all_docs", "limit=8&style=main_only", "limit=4&style=all_docs"):
            answers[query] = (await page(clinic, query)).json["results"]
    assert hits(clinic) == 3
    counts = [[len(row["changes"]) for row in rows] for rows in answers.values()]
    assert counts == [[1] * 7 + [2], [1] * 8, [1] * 4]


async def test_what_depends_on_the_client_is_nobody_elses(clinic: Client) -> None:
    for user in ("ann", "bob", "ann"):
        answer = await clinic.ask("GET", "/clinic-own/_changes?limit=3", user=(user, user))
        assert answer.status == 200
    assert hits(clinic) == 0


async def test_a_head_request_has_no_page(clinic: Client) -> None:
    await page(clinic, "limit=3")
    answer = await clinic.ask("HEAD", "/clinic-phone/_changes?limit=3")
    assert (answer.status, answer.body) == (200, b"")


async def test_another_index_has_other_pages(clinic: Client) -> None:
    before = await page(clinic, "limit=3")
    hub = await clinic.indexed()
    assert hub.index is not None
    told = hub.index.index_id
    hub.complain(Damaged("it is said to be"))
    await clinic.indexed(but=told)
    after = await page(clinic, "limit=3")
    assert [row["id"] for row in after.json["results"]] == [row["id"] for row in before.json["results"]]
    assert hits(clinic) == 0
