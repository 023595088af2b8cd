"""The file of an index: its tables, and what reading and writing have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from proxy.core import jsonio
from proxy.feeds.index.damage import Damaged, damage
from proxy.feeds.index.sealing import SINCE, unseal, whole

FORMAT = 6
AT_ONCE = 500
"""Values in one query."""

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE docs (
    doc INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL UNIQUE, leaves TEXT NOT NULL,
    keys BLOB NOT NULL, lost BLOB NOT NULL, sum INTEGER NOT NULL
);
CREATE TABLE entries (key INTEGER, at INTEGER, doc INTEGER NOT NULL, PRIMARY KEY (key, at)) WITHOUT ROWID;
CREATE TABLE marks (at INTEGER PRIMARY KEY, seq BLOB NOT NULL);
CREATE TABLE traces (doc INTEGER, rev TEXT, trace BLOB NOT NULL, PRIMARY KEY (doc, rev)) WITHOUT ROWID;
"""
UNSORTED = """
CREATE TABLE IF NOT EXISTS unsorted (at INTEGER, key INTEGER, doc INTEGER NOT NULL, PRIMARY KEY (at, key)) WITHOUT ROWID
"""
"""The entries of an index that is being built; in one that is complete there is no such table."""


class File:
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
        return 0 if sealed is None else unseal(SINCE, sealed)

    @property
    def lost(self) -> dict[str, Any]:
        """Former indexes of this database that knew of changes which it has lost since, by their ids in hexadecimal.

        With each the source's sequence, after which who comes from there may have missed something.
        """
        found: dict[str, Any] = jsonio.loads(self.meta("lost", b"{}"))
        return found

    @property
    def forgotten(self) -> int:
        """How often documents were removed, because the source does not have them any more."""
        return int(self.meta("forgotten", 0))

    def count_documents(self) -> int:
        with damage():
            return int(self._db.execute("SELECT count(*) FROM docs").fetchone()[0])

    def _stored(self, doc_ids: Sequence[str]) -> Iterator[tuple[int, str, int, str, bytes, bytes]]:
        for start in range(0, len(doc_ids), AT_ONCE):
            ids = doc_ids[start : start + AT_ONCE]
            found = self._db.execute(
                f"SELECT doc, at, id, leaves, keys, lost, sum FROM docs WHERE id IN ({placeholders(ids)})", ids
            )
            for doc, *row in found.fetchall():
                at, doc_id, leaves, keys, lost = whole(*row)
                yield doc, doc_id, at, leaves, keys, lost


def remove(path: Path) -> None:
    """Delete an index, if it is there."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def placeholders(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
