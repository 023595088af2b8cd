"""What is read for one client serves others, and nobody misses anything by it: against the index itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.feeds import news as news_module
from proxy.feeds.index import Entry, IndexReader, IndexWriter, Row, remove
from proxy.feeds.news import News
from tests.feeds.test_index import SETTINGS

KEYS = st.frozensets(st.integers(1, 3), max_size=2)
ENTRIES = st.builds(Entry, st.sampled_from("abc"), st.just("1-a"), st.just(0), KEYS, KEYS)

STEPS = st.one_of(
    st.lists(ENTRIES, min_size=1, max_size=3),
    st.sampled_from(["told", "told of anybody"]),
    st.tuples(st.integers(0, 3), st.integers(1, 3)),
)
"""A change of the index; that those of before are told of; that a client reads, so many rows at most."""


class Client:
    """Reads what there is after the position where it is."""

    def __init__(self, keys: frozenset[int] | None) -> None:
        self.keys = keys
        self.at = 0
        self.told: set[Row] = set()

    def read(self, news: News, index: IndexReader, end: int, limit: int) -> None:
        found = news.rows(index, self.keys, self.at, end, limit)
        assert len(found) <= limit
        assert [row.at for row in found] == sorted({row.at for row in found})
        assert all(self.at < row.at <= end for row in found)
        self.told.update(found)
        self.at = found[-1].at if len(found) >= limit else end


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=40), st.integers(1, 3), st.integers(1, 2))
def test_nobody_misses_a_change_or_is_told_of_what_is_not_theirs(
    tmp_path: Path, steps: list[Any], moves: int, pages: int
) -> None:
    path = tmp_path / "clinic.index"
    remove(path)
    clients = [Client(frozenset({1})), Client(frozenset({1})), Client(frozenset({1, 2})), Client(None)]
    held: dict[str, set[int]] = {}
    with pytest.MonkeyPatch.context() as patch, IndexWriter(path, SETTINGS) as writer, IndexReader(path) as index:
        patch.setattr(news_module, "_MOVES_KEPT", moves)
        patch.setattr(news_module, "_PAGES_KEPT", pages)
        news, end, seq, new = News(), 0, 0, set[int]()
        for step in [*steps, "told"]:
            if isinstance(step, list):
                seq += 1
                new |= writer.apply([entry._replace(seq=seq) for entry in step], seq)
                for entry in step:
                    held.setdefault(entry.doc_id, set()).update(entry.keys | entry.earlier)
            elif isinstance(step, tuple):
                clients[step[0]].read(news, index, end, step[1])
            else:
                start, end = end, writer.end
                if end > start:
                    news.moved(start, end, frozenset(new) if step == "told" else None)
                new = set()
        for client in clients:
            while client.at < end:
                client.read(news, index, end, 2)
            assert client.told >= set(index.rows(client.keys, 0, end, 1000))
            if client.keys is not None:
                assert all(held[row.doc_id] & client.keys for row in client.told)


def test_what_is_new_is_read_once_for_all_whom_it_concerns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clinic.index"
    asked: list[Any] = []
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as index:
        read = index.rows

        def counted(keys: Any, *where: Any) -> list[Row]:
            asked.append(keys)
            return read(keys, *where)

        monkeypatch.setattr(index, "rows", counted)
        news, everybody = News(), 0
        news.moved(0, writer.end, frozenset(writer.apply([Entry("a", "1-a", 1, frozenset({5}))], 1)))
        start = writer.end
        news.moved(start, start + 1, frozenset(writer.apply([Entry("b", "1-b", 2, frozenset({everybody}))], 2)))
        for user in range(1, 101):
            found = news.rows(index, frozenset({everybody, user}), start, writer.end, 10)
            assert [row.doc_id for row in found] == ["b"]
        assert asked == [frozenset({everybody})]
        assert news.rows(index, frozenset({7}), start, writer.end, 10) == []
        assert asked == [frozenset({everybody})]
        news.clear()
        assert [row.doc_id for row in news.rows(index, frozenset({5}), 0, writer.end, 10)] == ["a"]
        assert asked[1:] == [frozenset({5})]
