"""Writing an index."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from proxy.core import jsonio
from proxy.feeds.index.damage import Damaged, damage
from proxy.feeds.index.file import FORMAT, SCHEMA, UNSORTED, File
from proxy.feeds.index.records import Entry, Known, Row, generation_of, incarnation_digest
from proxy.feeds.index.sealing import (
    SINCE,
    checksum_of,
    pack_keys,
    pack_pairs,
    seal,
    seal_trace,
    unpack_keys,
    unpack_pairs,
    whole,
    whole_seq,
    whole_trace,
)

_LOG_PAGES, _LOG_PAGES_BUILDING = 1000, 4000
MOST_TRACES = 16
"""Of former revisions of one document."""


class IndexWriter(File):
    """Writes an index. Raises Damaged and Full.

    `settings`: what decides on the content, the database's `incarnation` among it: a file that was made with other
    settings counts as damaged.
    """

    def __init__(self, path: Path, settings: Mapping[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, read_only=False)
        try:
            with damage():
                # what a crash of the machine can cost is read again from the source
                self._db.executescript(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;"
                )
                if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                    self._create(settings)
            self.index_id = self.id
            different = [name for name, value in settings.items() if self.meta(name) != value]
            if different:
                raise Damaged(f"it was made with another {different[0]}")
            with damage():
                self._set_building(
                    bool(self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'unsorted'").fetchone())
                )
                self._top = max(
                    self._db.execute("SELECT coalesce(max(at), 0) FROM docs").fetchone()[0],
                    self._db.execute("SELECT coalesce(max(at), 0) FROM marks").fetchone()[0],
                )
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Raises Damaged if the file is not whole. Reads all of it."""
        with damage():
            found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise Damaged(str(found))
        with damage():
            if self._sum_of_documents() != self._sum_of_entries():
                raise Damaged("its entries are not those of its documents")
            if self._db.execute("SELECT 1 FROM docs LEFT JOIN marks USING (at) WHERE seq IS NULL").fetchone():
                raise Damaged("a sequence is missing")
            for at, seq in self._db.execute("SELECT at, seq FROM marks"):
                whole_seq(at, seq)
            for rev, trace in self._db.execute("SELECT rev, trace FROM traces"):
                whole_trace(rev, trace)

    def _sum_of_documents(self) -> int:
        total = 0
        for doc, *row in self._db.execute("SELECT doc, at, id, leaves, keys, lost, sum FROM docs"):
            at, _, _, keys, lost = whole(*row)
            total += sum(hash((key, at, doc)) for key in unpack_keys(keys))
            total += sum(hash((key, place, doc)) for key, place in unpack_pairs(lost))
        return total

    def _sum_of_entries(self) -> int:
        return sum(map(hash, self._db.execute(f"SELECT key, at, doc FROM {self._entries}")))

    def set_meta(self, name: str, value: Any) -> None:
        with damage():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def known(self, doc_ids: Sequence[str]) -> dict[str, Known]:
        """What is known of documents, by id."""
        with damage():
            return {
                doc_id: Known(leaves, frozenset(unpack_keys(keys)))
                for _, doc_id, _, leaves, keys, _ in self._stored(doc_ids)
            }

    def begin(self) -> None:
        """Build: from now on there is nothing to be found by keys, until `finish`."""
        with damage():
            self._db.execute(UNSORTED)
            self._set_building(True)

    def finish(self) -> None:
        """All is there: from now on it is found, and the index is complete. Both or neither, whatever happens."""
        with damage():
            # sorting takes room on disk: where the index is there is some, in a container perhaps nowhere else
            directory = str(self.path.parent.absolute()).replace("'", "''")
            self._db.execute(f"PRAGMA temp_store_directory = '{directory}'")
        with damage(), self._transaction():
            if self._building:
                self._db.execute("INSERT INTO entries SELECT key, at, doc FROM unsorted ORDER BY key, at")
                self._db.execute("DROP TABLE unsorted")
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('complete', 1)")
        with damage():
            self._set_building(False)

    def _set_building(self, building: bool) -> None:
        self._building = building
        self._entries = "unsorted" if building else "entries"
        # pages of the log between two checkpoints, each of which waits for the disk
        self._db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES_BUILDING if building else _LOG_PAGES}")

    def apply(self, entries: Sequence[Entry], since: Any) -> set[int]:
        """Store changed documents, in order, and that all up to the source's sequence `since` is there.

        Of a document that occurs twice the last entry counts. Returns the keys by which somebody finds something new.
        """
        with damage(), self._transaction():
            keys, top = self._put(entries, since)
        self._top = top
        return keys

    def forget(self, doc_ids: Sequence[str], there: Sequence[Entry], purges: bytes) -> None:
        """Remove documents as if they had never been, and store those that are `there` at the source again as new ones.

        Whoever holds something of this index has to let go of it (`File.forgotten`). Positions do not go back.
        `purges`: what is known of purges then.
        """
        with damage(), self._transaction():
            for doc, _, at, _, keys, lost in list(self._stored(doc_ids)):
                places = [(key, at) for key in unpack_keys(keys)] + list(unpack_pairs(lost))
                self._db.executemany(f"DELETE FROM {self._entries} WHERE key = ? AND at = ?", places)
                self._db.execute("DELETE FROM traces WHERE doc = ?", (doc,))
                self._db.execute("DELETE FROM docs WHERE doc = ?", (doc,))
            _, top = self._put(there, self.since) if there else ((), self._top)
            values = {"purges": purges, "forgotten": self.forgotten + 1}
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())
        self._top = top

    def last_rows(self, limit: int) -> list[Row]:
        """The documents that changed last, apart from design documents."""
        with damage():
            found = self._db.execute(
                "SELECT at, id, leaves, keys, lost, sum, seq FROM docs LEFT JOIN marks USING (at) "
                "ORDER BY at DESC LIMIT ?",
                (limit,),
            ).fetchall()
        rows = [Row(*whole(*row)[:3], whole_seq(row[0], seq)) for *row, seq in found]
        return [row for row in rows if not row.doc_id.startswith("_design/")]

    def _put(self, entries: Sequence[Entry], since: Any) -> tuple[set[int], int]:
        """As `apply`, within a transaction, and the last position then."""
        last: dict[str, Entry] = {}
        for entry in entries:
            last.pop(entry.doc_id, None)
            last[entry.doc_id] = entry
        rows = _Rows()
        top = self._top + len(last)
        stored = {row[1]: row for row in self._stored(list(last))}
        for at, entry in enumerate(last.values(), self._top + 1):
            if (row := stored.get(entry.doc_id)) is None:
                _add(entry, at, rows)
            else:
                self._move(entry, at, row, rows)
        text = jsonio.dumps(since)
        rows.marks.append((top, seal(top, text)))
        self._db.executemany("INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?, ?)", rows.docs)
        self._db.executemany(f"INSERT INTO {self._entries} (key, at, doc) VALUES (?, ?, ?)", rows.entries)
        self._db.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?)", rows.marks)
        self._db.executemany("INSERT OR REPLACE INTO traces VALUES (?, ?, ?)", rows.traces)
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('since', ?)", (seal(SINCE, text),))
        return {key for key, _, _ in rows.entries}, top

    def _create(self, settings: Mapping[str, str]) -> None:
        self._db.executescript(SCHEMA)
        index_id = incarnation_digest(settings["incarnation"]) + secrets.token_bytes(4)
        values = {"format": FORMAT, "id": index_id, **settings}
        self._db.executemany("INSERT INTO meta VALUES (?, ?)", values.items())

    def _move(self, entry: Entry, at: int, stored: tuple[int, str, int, str, bytes, bytes], rows: _Rows) -> None:
        """A document that is there already gets another position."""
        doc, _, old_at, _, old_keys, old_lost = stored
        keys, had, before = entry.keys, unpack_keys(old_keys), dict(unpack_pairs(old_lost))
        lost = before.copy()
        # what was lost before was told of then, unless the document came back since
        found_again = [(key, lost.pop(key)) for key in (keys | entry.earlier) & lost.keys()]
        lost |= dict.fromkeys((entry.earlier | set(had)) - keys, at)
        gone = [*((key, old_at) for key in had), *found_again]
        self._db.executemany(f"DELETE FROM {self._entries} WHERE key = ? AND at = ?", gone)
        packed = pack_keys(keys), pack_pairs(lost)
        self._db.execute(
            "UPDATE docs SET at = ?, leaves = ?, keys = ?, lost = ?, sum = ? WHERE doc = ?",
            (at, entry.leaves, *packed, checksum_of(at, entry.doc_id, entry.leaves, *packed), doc),
        )
        empty = {old_at, *before.values()}.difference(lost.values())
        self._db.executemany("DELETE FROM marks WHERE at = ?", [(place,) for place in empty])
        self._forget_traces(doc, entry)
        rows.place(entry, at, doc, [key for key, place in lost.items() if place == at])

    def _forget_traces(self, doc: int, entry: Entry) -> None:
        """Of revisions that follow each other with the same trace, keep the first and the last; no more than some."""
        stored = self._db.execute("SELECT rev, trace FROM traces WHERE doc = ?", (doc,)).fetchall()
        if not stored:
            return
        texts = {rev: whole_trace(rev, trace) for rev, trace in stored}
        kept = dict(texts)
        for trace in entry.traces:
            above = [rev for rev in trace.ancestors if rev in kept]
            if len(above) > 1 and kept[above[0]] == kept[above[1]] == trace.text:
                del kept[above[0]]
        kept_revs = sorted(kept, key=generation_of, reverse=True)[:MOST_TRACES]
        gone = texts.keys() - set(kept_revs)
        self._db.executemany("DELETE FROM traces WHERE doc = ? AND rev = ?", [(doc, rev) for rev in gone])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


class _Rows:
    """What is to be inserted, table by table."""

    def __init__(self) -> None:
        self.docs: list[tuple[int, str, int, str, bytes, bytes, int]] = []
        self.entries: list[tuple[int, int, int]] = []
        self.marks: list[tuple[int, bytes]] = []
        self.traces: list[tuple[int, str, bytes]] = []

    def place(self, entry: Entry, at: int, doc: int, lost: Iterable[int]) -> None:
        """A document's position: it is found there by the keys that it has, and by those that it has just lost."""
        self.entries += [(key, at, doc) for key in entry.keys]
        self.entries += [(key, at, doc) for key in lost]
        self.marks.append((at, seal(at, jsonio.dumps(entry.seq))))
        self.traces += [(doc, trace.rev, seal_trace(trace.rev, trace.text)) for trace in entry.traces]


def _add(entry: Entry, at: int, rows: _Rows) -> None:
    """A document that is new; it is numbered by its first position."""
    lost = entry.earlier - entry.keys
    packed = pack_keys(entry.keys), pack_pairs(dict.fromkeys(lost, at)) if lost else b""
    checksum = checksum_of(at, entry.doc_id, entry.leaves, *packed)
    rows.docs.append((at, entry.doc_id, at, entry.leaves, *packed, checksum))
    rows.place(entry, at, at, lost)
