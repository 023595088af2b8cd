"""A page that was written once is handed out only as long as it would be written the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.tokens import Position
from proxy.feeds.index import Entry, IndexReader, IndexWriter, remove
from proxy.feeds.news import News
from proxy.feeds.pages import Asked, Page, Pages
from tests.feeds.test_index import SETTINGS

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
