"""The SQLite file of one database: its tables, how it is opened, and the questions that every connection answers.

`docs` is in the order of sequences, so that a feed reads it from front to back; the body comes last, so that reading
the rest does not touch a long one. `docs_by_id` holds all that `_all_docs` shows; `docs_by_seq` is for counting.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import cast

from proxy.endpoint.repository import LocalDoc, Range, Record, StoredBody
from proxy.errors import CouchError

FILE = "documents.sqlite"

_FORMAT = 1
_SCHEMA = """
CREATE TABLE docs (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, rev TEXT NOT NULL, deleted INTEGER NOT NULL,
    others BLOB, tree BLOB NOT NULL, atts BLOB, body BLOB NOT NULL
);
CREATE UNIQUE INDEX docs_by_id ON docs (id, deleted, rev);
CREATE UNIQUE INDEX docs_by_seq ON docs (seq);
CREATE TABLE bodies (
    id TEXT NOT NULL, rev TEXT NOT NULL, deleted INTEGER NOT NULL, atts BLOB, body BLOB NOT NULL
);
CREATE UNIQUE INDEX bodies_by_rev ON bodies (id, rev);
CREATE TABLE locals (id TEXT PRIMARY KEY, rev INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blobs (key TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID;
"""
_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -32768;
PRAGMA mmap_size = 268435456;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA journal_size_limit = 67108864;
"""


def connect(file: Path) -> sqlite3.Connection:
    """Open a database's file, created if need be. Raises CouchError if its format is another version's."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.executescript(_PRAGMAS)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_FORMAT};COMMIT;")
    elif found != _FORMAT:
        connection.close()
        raise CouchError(f"{file} has format {found}; this version reads format {_FORMAT}.")
    return connection


class SqliteReader:
    """The questions that both connections answer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = connection
        self._execute = connection.execute

    def winner(self, doc_id: str) -> StoredBody | None:
        row = self._execute("SELECT rev, deleted, atts, body FROM docs WHERE id = ?", (doc_id,)).fetchone()
        return None if row is None else StoredBody._make(row)

    def record(self, doc_id: str) -> Record | None:
        row = self._execute(
            "SELECT seq, id, rev, deleted, others, tree, atts, body FROM docs WHERE id = ?", (doc_id,)
        ).fetchone()
        return None if row is None else Record._make(row)

    def tree(self, doc_id: str) -> bytes | None:
        row = self._execute("SELECT tree FROM docs WHERE id = ?", (doc_id,)).fetchone()
        return None if row is None else cast(bytes, row[0])

    def body(self, doc_id: str, rev: str) -> StoredBody | None:
        row = self._execute(
            "SELECT rev, deleted, atts, body FROM bodies WHERE id = ? AND rev = ?", (doc_id, rev)
        ).fetchone()
        return None if row is None else StoredBody._make(row)

    def local(self, doc_id: str) -> LocalDoc | None:
        row = self._execute("SELECT id, rev, body FROM locals WHERE id = ?", (doc_id,)).fetchone()
        return None if row is None else LocalDoc._make(row)

    def setting(self, name: str) -> bytes | None:
        row = self._execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return None if row is None else cast(bytes, row[0])


def condition(wanted: Range) -> tuple[str, list[str]]:
    """The condition for live documents of a range, and its parameters."""
    parts, bounds = ["deleted = 0"], []
    above, below = (">", "<") if not wanted.descending else ("<", ">")
    if wanted.start is not None:
        parts.append(f"id {above}{'=' if wanted.inclusive_start else ''} ?")
        bounds.append(wanted.start)
    if wanted.end is not None:
        parts.append(f"id {below}{'=' if wanted.inclusive_end else ''} ?")
        bounds.append(wanted.end)
    return " AND ".join(parts), bounds
