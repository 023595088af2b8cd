"""The index against a slow, obvious model: who holds a key is told of everything that has it or lost it, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.tokens import Position
from proxy.feeds.index import (
    Damaged,
    Entry,
    Full,
    IndexReader,
    IndexWriter,
    Row,
    Trace,
    join_leaves,
    key_number,
    remove,
    split_leaves,
)
from proxy.feeds.index import reader as reader_module
from proxy.feeds.index.writer import MOST_TRACES
from tests.core.test_seqs import LIMITED, UPDATE_SEQ, WHOLE

SETTINGS = {"source": "http://source/db", "rules": "a,b", "incarnation": "1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clinic.index"


class Model:
    """Positions, keys and lost keys in dictionaries."""

    def __init__(self) -> None:
        self.top = 0
        self.docs: dict[str, tuple[int, str, frozenset[int]]] = {}
        self.lost: dict[str, dict[int, int]] = {}
        self.seqs: dict[int, bytes] = {}

    def apply(self, entries: list[Entry]) -> None:
        for place, entry in enumerate(entries):
            if any(later.doc_id == entry.doc_id for later in entries[place + 1 :]):
                continue
            self.top += 1
            _, _, had = self.docs.get(entry.doc_id, (0, "", frozenset()))
            lost = self.lost.setdefault(entry.doc_id, {})
            for key in had - entry.keys:
                lost[key] = self.top
            for key in entry.earlier - entry.keys:
                lost[key] = self.top
            for key in entry.keys:
                lost.pop(key, None)
            self.docs[entry.doc_id] = (self.top, entry.leaves, entry.keys)
            self.seqs[self.top] = b"%d" % entry.seq

    def rows(self, keys: frozenset[int] | None, after: int, until: int) -> list[Row]:
        found = []
        for doc_id, (at, leaves, held) in self.docs.items():
            places = [at] if keys is None or keys & held else []
            places += [place for key, place in self.lost[doc_id].items() if keys is not None and key in keys]
            last = max(places, default=0)
            if after < last <= until:
                found.append(Row(last, doc_id, leaves, self.seqs[last]))
        return sorted(found)


keys = st.frozensets(st.integers(1, 4), max_size=3)
entries = st.builds(
    Entry,
    st.sampled_from(["a", "b", "c", "d", "ü", "_design/x"]),
    st.sampled_from(["1-a", "2-b 2-a!", "3-c!"]),
    st.just(0),
    keys,
    keys,
)
one_file = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@one_file
@given(
    st.lists(st.lists(entries, max_size=5), max_size=12),
    st.one_of(st.none(), keys),
    st.integers(0, 30),
    st.integers(0, 40),
    st.integers(1, 4),
)
def test_rows_are_those_of_the_model(
    path: Path, batches: list[list[Entry]], held: frozenset[int] | None, after: int, until: int, limit: int
) -> None:
    remove(path)
    model = Model()
    with IndexWriter(path, SETTINGS) as writer:
        for number, batch in enumerate(batches, 1):
            batch = [entry._replace(seq=100 * number + place) for place, entry in enumerate(batch)]
            writer.apply(batch, batch[-1].seq if batch else writer.since)
            model.apply(batch)
        with IndexReader(path) as reader:
            expected = model.rows(held, after, until)
            assert reader.rows(held, after, until, 1000) == expected
            assert reader.rows(held, after, until, limit) == expected[:limit]
            down = [row for row in model.rows(held, 0, model.top) if row.at < until][::-1]
            assert reader.rows_down(held, until, limit) == down[:limit]
            assert reader.count(held, after, until) >= len(expected)
            for at in range(after, model.top + 1):
                number = reader.count(held, at, model.top)
                assert reader.fills(held, at, model.top, number)
                assert not reader.fills(held, at, model.top, number + 1)
            assert reader.end == model.top == writer.end
            ids = ["a", "d", "nobody"]
            assert reader.rows_of(ids, after, until) == [r for r in model.rows(None, after, until) if r.doc_id in ids]


def test_what_is_read_again_is_not_counted_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_MOST_COUNTED", 10)
    held = frozenset((7,))
    with IndexWriter(path, SETTINGS) as writer:
        writer.apply([Entry(f"d{number}", "1-a", number, held) for number in range(30)], 30)
        with IndexReader(path) as reader:
            asked: list[tuple[int, int]] = []
            count = reader._count

            def counted(keys: Any, after: int, until: int, most: int) -> int:
                asked.append((after, until))
                return count(keys, after, until, most)

            monkeypatch.setattr(reader, "_count", counted)
            places = [0, 10, 22, 25, 30, 24, 21, 21, 5]
            assert [reader.count(held, at, 30) for at in places] == [10, 10, 8, 5, 0, 6, 9, 9, 10]
            assert asked == [(0, 30), (10, 30), (22, 30), (22, 25), (25, 30), (24, 30), (21, 30), (21, 21), (5, 30)]
            writer.apply([Entry("d29", "2-a", 31, held)], 31)
            assert reader.count(held, 25, 31) == 5
            assert reader.count(held, 27, 31) == 3


def test_counts_of_few_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "_COUNTS_KEPT", 3)
    with IndexWriter(path, SETTINGS), IndexReader(path) as reader:
        for key in range(9):
            assert reader.count((key,), 0, 5) == 0
        assert len(reader._counted) == 3


@one_file
@given(st.lists(st.lists(entries, max_size=5), max_size=12), st.integers(0, 12), st.sets(st.integers(0, 12)))
def test_what_was_built_is_what_would_have_been_written_one_by_one(
    tmp_path: Path, batches: list[list[Entry]], built: int, restarts: set[int]
) -> None:
    """`built`: batches before `finish`; `restarts`: those before which the writer dies and another one goes on."""
    paths = [tmp_path / name for name in ("built.index", "written.index")]
    for path in paths:
        remove(path)
    building = IndexWriter(paths[0], SETTINGS)
    building.begin()
    with IndexWriter(paths[1], SETTINGS) as writing:
        for number, batch in enumerate(batches):
            if number == built:
                building.finish()
            if number in restarts:
                building.close()
                building = IndexWriter(paths[0], SETTINGS)
            assert building.meta("complete") == (1 if number >= built else None)
            assert building.apply(batch, number) == writing.apply(batch, number)
        building.finish()
        with building:
            assert contents(building) == contents(writing)


def contents(index: IndexWriter) -> dict[str, list[Any]]:
    tables = [name for (name,) in index._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: sorted(index._db.execute(f"SELECT * FROM {name}")) for name in tables if name != "meta"}


def test_an_index_that_cannot_be_finished_is_not_complete(path: Path) -> None:
    with IndexWriter(path, SETTINGS) as writer:
        writer.begin()
        for number in range(20):
            writer.apply([Entry(f"d{number}-{n}", "1-a", number, frozenset(range(9))) for n in range(100)], number)
        pages = writer._db.execute("PRAGMA page_count").fetchone()[0]
        writer._db.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(Full):
            writer.finish()
        with IndexReader(path) as reader:
            assert reader.meta("complete") is None
            assert reader.rows(frozenset((1,)), 0, writer.end, 10) == []
        writer._db.execute(f"PRAGMA max_page_count = {10 * pages}")
        writer.finish()
        with IndexReader(path) as reader:
            assert reader.meta("complete") == 1
            assert len(reader.rows(frozenset((1,)), 0, writer.end, 5000)) == 2000


def test_beginning_again_where_one_has_begun_changes_nothing(path: Path) -> None:
    """A writer that died before it stored anything."""
    with IndexWriter(path, SETTINGS) as writer:
        writer.begin()
        writer.begin()
        writer.apply([Entry("a", "1-a", 1, frozenset((1,)))], 1)
        writer.finish()
        with IndexReader(path) as reader:
            assert [row.doc_id for row in reader.rows(frozenset((1,)), 0, 10, 10)] == ["a"]


@one_file
@given(st.lists(st.lists(entries, max_size=5), max_size=12), keys)
def test_somebody_is_told_of_each_change_that_is_new_to_the_key(
    path: Path, batches: list[list[Entry]], held: frozenset[int]
) -> None:
    """What `apply` returns wakes those who wait: nobody sleeps through a row of his own."""
    remove(path)
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as reader:
        for number, batch in enumerate(batches):
            before = writer.end
            touched = writer.apply(batch, number)
            rows = reader.rows(held, before, writer.end, 1000)
            assert not rows or held & touched


@one_file
@given(st.lists(st.lists(entries, max_size=4), max_size=12), keys)
def test_two_nodes_take_each_others_sequences_for_what_they_are(
    tmp_path: Path, batches: list[list[Entry]], held: frozenset[int]
) -> None:
    """A reader that asks two nodes in turn, one row each, comes to the end and has been told of everything."""
    paths = [tmp_path / name for name in ("one.index", "other.index")]
    for path in paths:
        remove(path)
    number, rows = 0, []
    for batch in batches:
        for entry in batch:
            number += 1
            rows.append(entry._replace(seq=number, earlier=frozenset()))
    with IndexWriter(paths[0], SETTINGS) as one, IndexWriter(paths[1], SETTINGS) as other:
        for entry in rows:  # one saw each change, the other some at once
            one.apply([entry], entry.seq)
        last = {entry.doc_id: entry for entry in rows}
        other.apply(sorted(last.values(), key=lambda entry: int(entry.seq)), number)
        with IndexReader(paths[0]) as reader, IndexReader(paths[1]) as another:
            readers = [reader, another]
            seq, told = 0, []
            for turn in range(4 * len(rows) + 4):
                node = readers[turn % 2]
                at = node.position_of(seq)
                assert at is not None
                found = node.rows(held, at, node.end, 1)
                told += found
                seq = int(found[0].seq) if found else number
            assert seq == number
            assert {row.doc_id for row in reader.rows(held, 0, reader.end, 1000) if held & last[row.doc_id].keys} <= {
                row.doc_id for row in told
            }
            assert not reader.rows(held, reader.position_of(seq) or 0, reader.end, 1000)


@one_file
@given(st.lists(st.lists(entries, max_size=5), max_size=12))
def test_each_position_has_its_sequence_as_long_as_there_is_something(path: Path, batches: list[list[Entry]]) -> None:
    remove(path)
    seq = 0
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as reader:
        for batch in batches:
            before = seq
            seq += len(batch)
            writer.apply([entry._replace(seq=before + n) for n, entry in enumerate(batch, 1)], seq)
            assert reader.position(writer.end).seq == seq
            assert writer.since == seq
        places = {row.at for row in reader.rows(frozenset(range(5)), 0, writer.end, 1000)} | {writer.end, 0}
        marks = {at for (at,) in writer._db.execute("SELECT at FROM marks")}
        assert places - {0} <= marks | ({0} if not seq else set())
        assert len(marks) <= 6 * 5 + 1  # no more than six documents and what they lost


def test_a_position_of_another_node_is_found_by_its_sequence(path: Path) -> None:
    with IndexWriter(path, SETTINGS) as writer:
        for number in range(1, 200):
            writer.apply([Entry(f"doc{number}", "1-a", f"{2 * number}-tag", frozenset((7,)))], f"{2 * number}-tag")
        with IndexReader(path) as reader:
            assert reader.position_of("398-tag") == 199
            assert reader.position_of("200-tag") == reader.position_of("201-tag") == 100
            assert reader.position_of("100-gat") == 0  # of another database
            assert reader.position_of(0) == 0
            assert reader.position_of({"odd": 1}) is None


def test_of_a_cluster_only_the_same_sequence_is_a_position(path: Path) -> None:
    """Each reading interleaves the shards in its own way: part of what was read here may be unknown there."""
    with IndexWriter(path, SETTINGS) as writer:
        for number, seq in enumerate(WHOLE):
            writer.apply([Entry(f"doc{number}", "1-a", seq, frozenset((7,)))], seq)
        with IndexReader(path) as reader:
            assert [reader.position_of(seq) for seq in WHOLE] == [1, 2, 3, 4, 5, 6]
            assert [reader.position_of(seq) for seq in LIMITED] == [None, None]
            assert reader.position_of(UPDATE_SEQ) == 6


def test_what_was_applied_is_there_after_a_restart(path: Path) -> None:
    with IndexWriter(path, SETTINGS) as writer:
        writer.apply([Entry("a", "1-a", "5-x", frozenset((1,)))], "5-x")
        writer.set_meta("complete", 1)
        name = writer.index_id
    with IndexWriter(path, SETTINGS) as writer:
        assert (writer.index_id, writer.since, writer.end, writer.meta("complete")) == (name, "5-x", 1, 1)
        assert writer.known(["a", "b"])["a"].keys == {1}
        writer.apply([Entry("b", "1-b", "6-x", frozenset((1,)))], "6-x")
        with IndexReader(path) as reader:
            assert [row.at for row in reader.rows(frozenset((1,)), 0, 10, 10)] == [1, 2]


@pytest.mark.parametrize("name", SETTINGS)
def test_an_index_made_with_other_settings_is_not_used(path: Path, name: str) -> None:
    IndexWriter(path, SETTINGS).close()
    with pytest.raises(Damaged, match=f"another {name}"):
        IndexWriter(path, {**SETTINGS, name: "something else"})


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda data: b"this is no database" * 100,
    "cut": lambda data: data[: len(data) // 2],
    "zeros": lambda data: data[:2000] + bytes(4000) + data[6000:],
    "garbage": lambda data: data[:4096] + b"\xff" * (len(data) - 4096),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_recognised(path: Path, damage: Any) -> None:
    with IndexWriter(path, SETTINGS) as writer:
        for number in range(50):
            writer.apply([Entry(f"doc{number}-{n}", "1-a", number, frozenset((n,))) for n in range(20)], number)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Damaged), IndexWriter(path, SETTINGS) as writer:
        writer.check()


def test_an_empty_file_is_a_new_beginning(path: Path) -> None:
    path.touch()
    with pytest.raises(Damaged):
        IndexReader(path)
    with IndexWriter(path, SETTINGS) as writer:
        assert (writer.end, writer.since) == (0, 0)


def test_a_path_may_have_any_character(tmp_path: Path) -> None:
    path = tmp_path / "a?b%20c#d.index"
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as reader:
        assert reader.index_id == writer.index_id
    assert path.exists()


@given(st.lists(st.tuples(st.from_regex(r"[1-9]-[0-9a-f]{4,32}", fullmatch=True), st.booleans()), min_size=1))
def test_leaves_as_text(leaves: list[tuple[str, bool]]) -> None:
    assert split_leaves(join_leaves(leaves)) == leaves


def test_positions_name_the_index(path: Path) -> None:
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as reader:
        assert reader.position(0) == Position(writer.index_id, 0, 0)
        assert key_number("a") != key_number("b")


def traced(doc_id: str, *traces: Trace) -> Entry:
    return Entry(doc_id, traces[0].rev, 1, frozenset((7,)), traces=traces)


def test_of_traces_that_are_the_same_the_first_and_the_last_are_kept(path: Path) -> None:
    asked = [("d", f"{number}-a") for number in range(1, 9)]
    texts = {1: b"x", 2: b"x", 3: b"x", 4: b"y", 5: b"x", 6: b"x", 7: b"x", 8: b"x"}
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as reader:
        writer.apply([traced("other", Trace("1-a", b"z"))], 1)
        for number, text in texts.items():
            above = [f"{each}-a" for each in range(number - 1, 0, -1)]
            writer.apply([traced("d", Trace(f"{number}-a", text, above))], number)
        kept = [1, 3, 4, 5, 8]
        assert reader.traces(asked) == {("d", f"{number}-a"): texts[number] for number in kept}
        writer.apply([traced("d", Trace("9-b", b"x", ["8-b"]), Trace("8-a", b"x", ["7-a"]))], 9)
        assert len(reader.traces([*asked, ("d", "9-b")])) == len(kept) + 1
        assert reader.traces([("other", "1-a"), ("nobody", "1-a")]) == {("other", "1-a"): b"z"}


def test_no_more_traces_are_kept_than_are_looked_at(path: Path) -> None:
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as reader:
        for number in range(1, 30):
            writer.apply([traced("d", Trace(f"{number}-a", b"%d" % number))], number)
        kept = [number for number in range(1, 30) if reader.traces([("d", f"{number}-a")])]
        assert kept == list(range(29 - MOST_TRACES, 30))


def test_a_trace_that_is_not_as_it_was_written_is_noticed(path: Path) -> None:
    with IndexWriter(path, SETTINGS) as writer, IndexReader(path) as reader:
        writer.apply([traced("d", Trace("1-a", b'{"f":1}'))], 1)
        writer.check()
        writer._db.execute("UPDATE traces SET trace = replace(trace, '1', '2')")
        with pytest.raises(Damaged):
            reader.traces([("d", "1-a")])
        with pytest.raises(Damaged):
            writer.check()


@pytest.mark.parametrize("building", [False, True])
def test_what_is_forgotten_is_nowhere_and_what_is_there_again_is_new(path: Path, building: bool) -> None:
    first, other, lost = frozenset({1, 2}), frozenset({2, 3}), frozenset({4})
    with IndexWriter(path, SETTINGS) as writer:
        if building:
            writer.begin()
        writer.apply([Entry(doc_id, "1-a", 1, first, lost, [Trace("1-a", b"{}")]) for doc_id in ("a", "b", "c")], 3)
        writer.apply([Entry("a", "2-a", 4, other, traces=[Trace("2-a", b"{}")])], 4)
        assert writer.forgotten == 0
        writer.forget(["a", "b", "none"], [Entry("b", "1-a", 4, first)], b'{"":{"":7}}')
        writer.finish()
        writer.check()
        with IndexReader(path) as reader:
            assert [(row.at, row.doc_id, row.seq) for row in reader.rows(None, 0, 99, 99)] == [
                (3, "c", b"3"),
                (5, "b", b"4"),
            ]
            assert [[row.doc_id for row in reader.rows([key], 0, 99, 99)] for key in (1, 2, 3, 4)] == [
                ["c", "b"],
                ["c", "b"],
                [],
                ["c"],
            ]
            assert reader.traces([("a", "1-a"), ("a", "2-a"), ("b", "1-a"), ("c", "1-a")]) == {("c", "1-a"): b"{}"}
            assert (reader.end, reader.since, reader.forgotten) == (5, 4, 1)
        writer.forget(["b", "c"], [], b"{}")
        assert (writer.end, writer.since, writer.forgotten, writer.count_documents()) == (5, 4, 2, 0)
        writer.apply([Entry("d", "1-a", 5, first)], 5)
        writer.check()
        assert [(row.at, row.doc_id) for row in writer.last_rows(9)] == [(6, "d")]
