"""The feed index of one database: which documents changed, in which order, and whom they reach. A file of SQLite.

Rules:
  - a document has one position, that of its last change, as in CouchDB; positions only grow;
  - it is found at its position by its keys, and by those that it lost then: whoever holds one of these has to be told
    that the document left. An entry of a lost key stays where it is while the document moves on: who was told once is
    not told again;
  - the source's sequence is kept for each position at which there is something, and for the last one: whoever reads on
    from there on another node repeats nothing, and leaves nothing out. (Were it kept for some positions only, a client
    that asks two nodes in turn could be given the same page for ever.)
  - SQLite does not notice when the disk gives back something else than was written. So what is said of a document has a
    checksum, and so has each sequence; entries must fit the documents that they lead to. Whoever reads something that
    does not fit says Damaged; nobody reads on from there;
  - all of it can be rebuilt from the source. A file that is damaged, of another format or for other rules is made anew,
    with another id, so that tokens with positions in the old one are known;
  - while an index is built nobody reads it, so what is found by keys is not sorted by keys before all is there: of many
    users each document would change another page of the file. What makes it a whole index also says that it is one.

One process writes (`IndexWriter`), any number read (`IndexReader`), also while it is written.
"""

from __future__ import annotations

import heapq
import secrets
import sqlite3
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self
from zlib import crc32

from proxy.core import jsonio
from proxy.core.seqs import includes, is_total
from proxy.core.tokens import Position

FORMAT = 4
_MOST_COUNTED = 10_000
_COUNTS_KEPT = 200
_AT_ONCE = 500
_LOG_PAGES, _LOG_PAGES_BUILDING = 1000, 4000

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE docs (
    doc INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL UNIQUE, leaves TEXT NOT NULL,
    keys BLOB NOT NULL, lost BLOB NOT NULL, sum INTEGER NOT NULL
);
CREATE TABLE entries (key INTEGER, at INTEGER, doc INTEGER NOT NULL, PRIMARY KEY (key, at)) WITHOUT ROWID;
CREATE TABLE marks (at INTEGER PRIMARY KEY, seq BLOB NOT NULL);
"""
_UNSORTED = """
CREATE TABLE IF NOT EXISTS unsorted (at INTEGER, key INTEGER, doc INTEGER NOT NULL, PRIMARY KEY (at, key)) WITHOUT ROWID
"""
"""The entries of an index that is being built; in one that is complete there is no such table."""


_ROWS = "SELECT at, id, leaves, seq, keys, lost, sum FROM docs LEFT JOIN marks USING (at)"


class Damaged(Exception):
    """The file is not an index, or not a whole one: it has to be made anew."""


class Full(Exception):
    """The file cannot be read or written at present: there is no room, or another process has locked it."""


class Row(NamedTuple):
    """A document at its position. `leaves`: as `join_leaves` makes them; `seq`: the source's, there, as JSON."""

    at: int
    doc_id: str
    leaves: str
    seq: bytes


class Entry(NamedTuple):
    """What is to be stored of a document. `seq`: of its row at the source; `earlier`: keys of its ancestors."""

    doc_id: str
    leaves: str
    seq: Any
    keys: frozenset[int]
    earlier: frozenset[int] = frozenset()


class Known(NamedTuple):
    """What an index knows of a document already."""

    leaves: str
    keys: frozenset[int]


def join_leaves(leaves: Iterable[tuple[str, bool]]) -> str:
    """Leaves, winner first, as text: (revision, deleted) pairs become `3-abc 2-def!`."""
    return " ".join(f"{rev}!" if deleted else rev for rev, deleted in leaves)


def split_leaves(text: str) -> list[tuple[str, bool]]:
    """The opposite of `join_leaves`."""
    return [(leaf[:-1], True) if leaf.endswith("!") else (leaf, False) for leaf in text.split(" ")]


def has_leaf(text: str, rev: str) -> bool:
    """Whether a revision is among leaves as `join_leaves` makes them."""
    return text == rev or any(leaf == rev for leaf, _ in split_leaves(text))


def key_number(key: str) -> int:
    """A key as it is stored: 64 bits of a digest. Two that are alike only cost a look at a document more."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def incarnation_digest(incarnation: str) -> bytes:
    """The part of an index's id by which its nodes know each other's tokens to be of the same database."""
    return blake2b(incarnation.encode(), digest_size=4).digest()


class _File:
    """What reading and writing have in common. Raises Damaged."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        with damage():
            mode = "ro" if read_only else "rwc"
            self._db = sqlite3.connect(
                f"file:{_quoted(path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
            )

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def meta(self, name: str, default: Any = None) -> Any:
        """A value that was stored beside the rows."""
        with damage():
            found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if found is None else found[0]

    @property
    def id(self) -> bytes:
        """Eight bytes that name this very index: four of the database's incarnation, four at random."""
        found = self.meta("id")
        if not isinstance(found, bytes) or len(found) != 8 or self.meta("format") != FORMAT:
            raise Damaged("it is of another format")
        return found

    @property
    def end(self) -> int:
        """The last position; 0 if there is none."""
        with damage():
            found = self._db.execute("SELECT max(at) FROM marks").fetchone()
        return int(found[0] or 0)

    @property
    def since(self) -> Any:
        """The source's sequence up to which all is in the index."""
        sealed = self.meta("since")
        return 0 if sealed is None else _unsealed(_SINCE, sealed)

    def count_documents(self) -> int:
        with damage():
            return int(self._db.execute("SELECT count(*) FROM docs").fetchone()[0])

    def _stored(self, doc_ids: Sequence[str]) -> Iterator[tuple[int, str, int, str, bytes, bytes]]:
        for start in range(0, len(doc_ids), _AT_ONCE):
            ids = doc_ids[start : start + _AT_ONCE]
            found = self._db.execute(
                f"SELECT doc, at, id, leaves, keys, lost, sum FROM docs WHERE id IN ({_marks(ids)})", ids
            )
            for doc, *row in found.fetchall():
                at, doc_id, leaves, keys, lost = _whole(*row)
                yield doc, doc_id, at, leaves, keys, lost


class IndexReader(_File):
    """Reads an index, also while it is being written. All methods raise Damaged."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_only=True)
        self._counted: dict[frozenset[int] | None, tuple[int, int, int]] = {}
        """By keys: how many rows there are between two positions, as counted last."""
        self._last: Position | None = None
        """The position that was asked for last: those who wait are all at the same."""
        try:
            self.index_id = self.id
        except BaseException:
            self.close()
            raise

    def rows(self, keys: Collection[int] | None, after: int, until: int, limit: int) -> list[Row]:
        """Up to `limit` documents with one of the keys (None: all), of positions `after < at <= until`, in order."""
        with damage(), self._snapshot():
            if keys is None:
                found = self._db.execute(f"{_ROWS} WHERE at > ? AND at <= ? ORDER BY at LIMIT ?", (after, until, limit))
                return [_row(*row) for row in found]
            held, rows = frozenset(keys), list[Row]()
            while len(rows) < limit:
                wanted = limit - len(rows)
                places = _merged([self._entries(key, after, until, wanted) for key in held], wanted)
                rows.extend(self._last_places(places, held))
                if len(places) < wanted:
                    break
                after = places[-1][0]
            return rows

    def rows_down(self, keys: Collection[int] | None, before: int, limit: int) -> list[Row]:
        """As `rows`, downwards from the position below `before`."""
        with damage(), self._snapshot():
            if keys is None:
                found = self._db.execute(f"{_ROWS} WHERE at < ? ORDER BY at DESC LIMIT ?", (before, limit))
                return [_row(*row) for row in found]
            held, rows = frozenset(keys), list[Row]()
            while len(rows) < limit:
                wanted = limit - len(rows)
                places = _merged([self._entries_down(key, before, wanted) for key in held], wanted, down=True)
                rows.extend(self._last_places(places, held))
                if len(places) < wanted:
                    break
                before = places[-1][0]
            return rows

    def rows_of(self, doc_ids: Sequence[str], after: int, until: int) -> list[Row]:
        """The documents by these ids that changed after a position, in order."""
        rows: list[Row] = []
        with damage(), self._snapshot():
            for start in range(0, len(doc_ids), _AT_ONCE):
                ids = doc_ids[start : start + _AT_ONCE]
                found = self._db.execute(
                    f"{_ROWS} WHERE id IN ({_marks(ids)}) AND at > ? AND at <= ?",
                    (*ids, after, until),
                )
                rows.extend(_row(*row) for row in found)
        return sorted(set(rows))

    def leaves_of(self, doc_ids: Sequence[str]) -> dict[str, str]:
        """The leaves of documents, as `join_leaves` makes them, by id."""
        with damage():
            return {doc_id: leaves for _, doc_id, _, leaves, _, _ in self._stored(doc_ids)}

    def count(self, keys: Collection[int] | None, after: int, until: int) -> int:
        """How many rows there are to come, as far as it is worth counting: no more than _MOST_COUNTED are told apart.

        Who reads page by page asks for each: then only what was read since is counted, and taken off.
        """
        held = None if keys is None else frozenset(keys)
        began, end, counted = self._counted.pop(held, (0, -1, 0))
        if end == until and began <= after and counted < _MOST_COUNTED:
            counted -= self._count(held, began, after, _MOST_COUNTED)
        else:
            counted = self._count(held, after, until, _MOST_COUNTED)
        self._counted[held] = after, until, counted
        if len(self._counted) > _COUNTS_KEPT:
            del self._counted[next(iter(self._counted))]
        return counted

    def fills(self, keys: Collection[int] | None, after: int, until: int, number: int) -> bool:
        """Whether there are so many rows to come."""
        return self._count(keys, after, until, number) >= number

    def fingerprint(self, keys: Collection[int] | None, after: int, until: int) -> tuple[int, int]:
        """What is the same as before only if `rows` between two positions are, and their documents.

        That is how many entries there are, and the sum of the positions at which their documents are. For to a passed
        range none is ever added, and a document that changes goes to a higher position: as long as the number is the
        same, all entries are, and then as long as the sum is, their documents.
        """
        if keys is None:
            query = "SELECT count(*), sum(at) FROM docs WHERE docs.at > ? AND docs.at <= ?"
            asked: list[tuple[int, ...]] = [(after, until)]
        else:
            query = (
                "SELECT count(*), sum(docs.at) FROM entries JOIN docs USING (doc) "
                "WHERE key = ? AND entries.at > ? AND entries.at <= ?"
            )
            asked = [(key, after, until) for key in keys]
        number = total = 0
        with damage(), self._snapshot():
            for values in asked:
                some, their = self._db.execute(query, values).fetchone()
                number += some
                total += their or 0
        return number, total

    def _count(self, keys: Collection[int] | None, after: int, until: int, most: int) -> int:
        if keys is None:
            queries = [("SELECT 1 FROM docs WHERE at > ? AND at <= ? LIMIT ?", (after, until, most))]
        else:
            of_key = "SELECT 1 FROM entries WHERE key = ? AND at > ? AND at <= ? LIMIT ?"
            queries = [(of_key, (key, after, until, most)) for key in keys]  # type: ignore[misc]
        with damage():
            counts: list[int] = [
                self._db.execute(f"SELECT count(*) FROM ({text})", values).fetchone()[0] for text, values in queries
            ]
        return min(sum(counts), most)

    def position(self, at: int) -> Position:
        """A position with the source's sequence there, or before: what comes after the one comes after the other."""
        if self._last is None or self._last.at != at:
            with damage():
                found = self._db.execute(
                    "SELECT at, seq FROM marks WHERE at <= ? ORDER BY at DESC LIMIT 1", (at,)
                ).fetchone()
            self._last = Position(self.index_id, at, _unsealed(*found) if found else 0)
        return self._last

    def position_of(self, seq: Any) -> int | None:
        """The position that stands for exactly what the source's sequence `seq` includes; None if none is known to."""
        at = self._included(seq)
        if is_total(seq):
            return at
        with damage():
            found = self._db.execute("SELECT seq FROM marks WHERE at = ?", (at,)).fetchone()
        return at if found is not None and includes(_unsealed(at, found[0]), seq) else None

    def moved_on(self, keys: Collection[int], at: int) -> bool:
        """Whether a document that the keys lost up to a position has changed after it.

        To a reader of this index, that is settled. Elsewhere the document is found at its last change alone: a reader
        that comes from there, with what this position includes, was not told yet.
        """
        of_key = "SELECT 1 FROM entries JOIN docs USING (doc) WHERE entries.key = ? AND entries.at <= ? AND docs.at > ?"
        with damage():
            return any(self._db.execute(f"{of_key} LIMIT 1", (key, at, at)).fetchone() for key in keys)

    def _included(self, seq: Any) -> int:
        """The last position of which `seq` is known to include everything."""
        low, high = 0, self.end
        while low < high:
            middle = (low + high + 1) // 2
            with damage():
                found = self._db.execute(
                    "SELECT at, seq FROM marks WHERE at <= ? ORDER BY at DESC LIMIT 1", (middle,)
                ).fetchone()
                if found is None or found[0] <= low:
                    # no mark in the lower half: try the first one above
                    found = self._db.execute(
                        "SELECT at, seq FROM marks WHERE at > ? AND at <= ? ORDER BY at LIMIT 1", (low, high)
                    ).fetchone()
            if found is None:
                return low
            if includes(seq, _unsealed(*found)):
                low = found[0]
            else:
                high = found[0] - 1
        return low

    def _entries(self, key: int, after: int, until: int, limit: int) -> list[tuple[int, int]]:
        return self._db.execute(
            "SELECT at, doc FROM entries WHERE key = ? AND at > ? AND at <= ? ORDER BY at LIMIT ?",
            (key, after, until, limit),
        ).fetchall()

    def _entries_down(self, key: int, before: int, limit: int) -> list[tuple[int, int]]:
        return self._db.execute(
            "SELECT at, doc FROM entries WHERE key = ? AND at < ? ORDER BY at DESC LIMIT ?", (key, before, limit)
        ).fetchall()

    def _last_places(self, places: Sequence[tuple[int, int]], held: frozenset[int]) -> Iterator[Row]:
        """The rows of those places that are the last at which a holder of the keys finds the document."""
        docs: dict[int, tuple[Any, ...]] = {}
        for start in range(0, len(places), _AT_ONCE):
            some = [doc for _, doc in places[start : start + _AT_ONCE]]
            found = self._db.execute(
                f"SELECT doc, seq, at, id, leaves, keys, lost, sum FROM docs LEFT JOIN marks USING (at) "
                f"WHERE doc IN ({_marks(some)})",
                some,
            )
            docs.update({row[0]: row for row in found})
        for at, doc in places:
            if doc not in docs:
                raise Damaged("an entry leads to no document")
            _, seq, *row = docs[doc]
            last, doc_id, leaves, keys, lost = _whole(*row)
            found_by_key = not held.isdisjoint(_numbers(keys))
            if at != last or not found_by_key:
                gone = {place for key, place in _pairs(lost) if key in held}
                if at not in gone:
                    raise Damaged("an entry leads to another document")
                if at != last:
                    if found_by_key or max(gone) > at:
                        continue
                    seq = self._seq(at)
            yield Row(at, doc_id, leaves, _whole_seq(at, seq))

    def _seq(self, at: int) -> Any:
        found = self._db.execute("SELECT seq FROM marks WHERE at = ?", (at,)).fetchone()
        return None if found is None else found[0]

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")


class IndexWriter(_File):
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
            different = [name for name, value in settings.items() if self.meta(name) != value]
            if different:
                raise Damaged(f"it was made with another {different[0]}")
            self.index_id = self.id
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
                _whole_seq(at, seq)

    def _sum_of_documents(self) -> int:
        total = 0
        for doc, *row in self._db.execute("SELECT doc, at, id, leaves, keys, lost, sum FROM docs"):
            at, _, _, keys, lost = _whole(*row)
            total += sum(hash((key, at, doc)) for key in _numbers(keys))
            total += sum(hash((key, place, doc)) for key, place in _pairs(lost))
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
                doc_id: Known(leaves, frozenset(_numbers(keys)))
                for _, doc_id, _, leaves, keys, _ in self._stored(doc_ids)
            }

    def begin(self) -> None:
        """Build: from now on there is nothing to be found by keys, until `finish`."""
        with damage():
            self._db.execute(_UNSORTED)
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
        last: dict[str, Entry] = {}
        for entry in entries:
            last.pop(entry.doc_id, None)
            last[entry.doc_id] = entry
        rows = _Rows()
        top = self._top + len(last)
        with damage(), self._transaction():
            stored = {row[1]: row for row in self._stored(list(last))}
            for at, entry in enumerate(last.values(), self._top + 1):
                if (row := stored.get(entry.doc_id)) is None:
                    _add(entry, at, rows)
                else:
                    self._move(entry, at, row, rows)
            text = jsonio.dumps(since)
            rows.marks.append((top, _sealed(top, text)))
            self._db.executemany("INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?, ?)", rows.docs)
            self._db.executemany(f"INSERT INTO {self._entries} (key, at, doc) VALUES (?, ?, ?)", rows.entries)
            self._db.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?)", rows.marks)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('since', ?)", (_sealed(_SINCE, text),))
        self._top = top
        return {key for key, _, _ in rows.entries}

    def _create(self, settings: Mapping[str, str]) -> None:
        self._db.executescript(_SCHEMA)
        index_id = incarnation_digest(settings["incarnation"]) + secrets.token_bytes(4)
        values = {"format": FORMAT, "id": index_id, **settings}
        self._db.executemany("INSERT INTO meta VALUES (?, ?)", values.items())

    def _move(self, entry: Entry, at: int, stored: tuple[int, str, int, str, bytes, bytes], rows: _Rows) -> None:
        """A document that is there already gets another position."""
        doc, _, old_at, _, old_keys, old_lost = stored
        keys, had, before = entry.keys, _numbers(old_keys), dict(_pairs(old_lost))
        lost = before.copy()
        # what was lost before was told of then, unless the document came back since
        found_again = [(key, lost.pop(key)) for key in (keys | entry.earlier) & lost.keys()]
        lost |= dict.fromkeys((entry.earlier | set(had)) - keys, at)
        gone = [*((key, old_at) for key in had), *found_again]
        self._db.executemany(f"DELETE FROM {self._entries} WHERE key = ? AND at = ?", gone)
        packed = _packed(keys), _packed_pairs(lost)
        self._db.execute(
            "UPDATE docs SET at = ?, leaves = ?, keys = ?, lost = ?, sum = ? WHERE doc = ?",
            (at, entry.leaves, *packed, _sum(at, entry.doc_id, entry.leaves, *packed), doc),
        )
        empty = {old_at, *before.values()}.difference(lost.values())
        self._db.executemany("DELETE FROM marks WHERE at = ?", [(place,) for place in empty])
        rows.place(entry, at, doc, [key for key, place in lost.items() if place == at])

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

    def place(self, entry: Entry, at: int, doc: int, lost: Iterable[int]) -> None:
        """A document's position: it is found there by the keys that it has, and by those that it has just lost."""
        self.entries += [(key, at, doc) for key in entry.keys]
        self.entries += [(key, at, doc) for key in lost]
        self.marks.append((at, _sealed(at, jsonio.dumps(entry.seq))))


def _add(entry: Entry, at: int, rows: _Rows) -> None:
    """A document that is new; it is numbered by its first position."""
    lost = entry.earlier - entry.keys
    packed = _packed(entry.keys), _packed_pairs(dict.fromkeys(lost, at)) if lost else b""
    checksum = _sum(at, entry.doc_id, entry.leaves, *packed)
    rows.docs.append((at, entry.doc_id, at, entry.leaves, *packed, checksum))
    rows.place(entry, at, at, lost)


def remove(path: Path) -> None:
    """Delete an index, if it is there."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def damage() -> Iterator[None]:
    """What SQLite says of a file, as Damaged or Full."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # text that is none has no code
        if getattr(error, "sqlite_errorcode", None) in _AT_PRESENT:
            raise Full(str(error)) from error
        raise Damaged(str(error)) from error


_AT_PRESENT = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_BUSY_RECOVERY,  # a process that died left something to be put in order
    sqlite3.SQLITE_BUSY_SNAPSHOT,
    sqlite3.SQLITE_LOCKED,
)


def _sum(at: int, doc_id: str, leaves: str, keys: bytes, lost: bytes) -> int:
    return crc32(lost, crc32(keys, crc32(f"{at} {leaves} {doc_id}".encode())))


def _whole(
    at: Any, doc_id: Any, leaves: Any, keys: Any, lost: Any, checksum: Any
) -> tuple[int, str, str, bytes, bytes]:
    """What was stored of a document. Raises Damaged if it is not that any more."""
    if type(keys) is not bytes or type(lost) is not bytes or _sum(at, doc_id, leaves, keys, lost) != checksum:
        raise Damaged("a document is not as it was written")
    return at, doc_id, leaves, keys, lost


def _row(at: Any, doc_id: Any, leaves: Any, seq: Any, keys: Any, lost: Any, checksum: Any) -> Row:
    _whole(at, doc_id, leaves, keys, lost, checksum)
    return Row(at, doc_id, leaves, _whole_seq(at, seq))


_SINCE = -1
"""In the place of a position, for the sequence up to which all is in the index."""


def _sealed(at: int, seq: bytes) -> bytes:
    """A sequence as it is stored, with a checksum."""
    return crc32(seq, at & 0xFFFFFFFF).to_bytes(4, "big") + seq


def _whole_seq(at: int, sealed: Any) -> bytes:
    """The sequence that was stored. Raises Damaged."""
    if type(sealed) is not bytes or _sealed(at, sealed[4:]) != sealed:
        raise Damaged("a sequence is not as it was written")
    return sealed[4:]


def _unsealed(at: int, sealed: Any) -> Any:
    return jsonio.loads(_whole_seq(at, sealed))


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _merged(runs: list[list[tuple[int, int]]], limit: int, *, down: bool = False) -> list[tuple[int, int]]:
    """The first `limit` different places of sorted runs."""
    if len(runs) == 1:
        return runs[0]
    found: list[tuple[int, int]] = []
    for place in heapq.merge(*runs, reverse=down):
        if not found or found[-1] != place:
            if len(found) == limit:
                break
            found.append(place)
    return found


def _packed(keys: frozenset[int]) -> bytes:
    return _pack_few(keys) if len(keys) <= _FEW else _pack(keys)


def _pack(keys: frozenset[int]) -> bytes:
    return array("q", sorted(keys)).tobytes()


_FEW = 32
_pack_few = lru_cache(maxsize=10_000)(_pack)
"""Most documents share their keys with others; long lists of keys would take much memory."""


def _numbers(packed: bytes) -> array[int]:
    return array("q", packed)


def _packed_pairs(lost: dict[int, int]) -> bytes:
    return array("q", [number for pair in lost.items() for number in pair]).tobytes()


def _pairs(packed: bytes) -> Iterator[tuple[int, int]]:
    numbers = iter(array("q", packed))
    return zip(numbers, numbers, strict=True)
