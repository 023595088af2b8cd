"""A repository in a directory: one SQLite file, write-ahead logged, and files for large attachments.

Reads go through a connection of their own, straight from the event loop: a look-up takes microseconds. Writes
go to one thread, which takes all jobs that have queued up meanwhile into one commit, and answers them only
once that is on disk (`synchronous=FULL`): many small writers share the price of one fsync, and a `kill -9`
loses nothing that was acknowledged. Counts and sequences live in that thread between commits; so a file
belongs to one process.
"""

from __future__ import annotations

import asyncio
import os
import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast
from uuid import uuid4

from proxy.core import jsonio
from proxy.endpoint.attachments import CHUNK, PART, Upload
from proxy.endpoint.repository import (
    Counts,
    Entry,
    LocalDoc,
    Range,
    Record,
    Repository,
    StoredBody,
    Transaction,
)
from proxy.errors import CouchError, NotFound

T = TypeVar("T")

FILE = "documents.sqlite"
ATTACHMENTS = "attachments"
TRASH = ".trash-"
"""The prefix of directories that were deleted but perhaps not yet removed."""

_FORMAT = 1
_SMALL = 64 * 1024
"""Attachments up to this many bytes live in the SQLite file, larger ones in a file each."""
_COMMIT_WITHIN = 0.01
"""Seconds after which a commit takes no further jobs."""

# `docs` is in the order of sequences, so that a feed reads it from front to back; the body comes last, so
# that reading the rest does not touch a long one. `docs_by_id` holds all that `_all_docs` shows;
# `docs_by_seq` is for counting.
_SCHEMA = """
CREATE TABLE docs (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, rev TEXT NOT NULL, deleted INTEGER NOT NULL,
                   others BLOB, tree BLOB NOT NULL, atts BLOB, body BLOB NOT NULL);
CREATE UNIQUE INDEX docs_by_id ON docs (id, deleted, rev);
CREATE UNIQUE INDEX docs_by_seq ON docs (seq);
CREATE TABLE bodies (id TEXT NOT NULL, rev TEXT NOT NULL, deleted INTEGER NOT NULL, atts BLOB, body BLOB NOT
NULL); CREATE UNIQUE INDEX bodies_by_rev ON bodies (id, rev);
CREATE TABLE locals (id TEXT PRIMARY KEY, rev INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blobs (key TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID;
"""

_COUNTS = "counts"


class _Job(NamedTuple):
    run: Callable[[Transaction], Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]


class _Outcome(NamedTuple):
    job: _Job
    result: Any
    error: Exception | None


class _SqliteReader:
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


class _SqliteTransaction(_SqliteReader, Transaction):
    """The writing connection, in the writer thread."""

    def __init__(self, connection: sqlite3.Connection, attachments: Path) -> None:
        super().__init__(connection)
        self._attachments = attachments
        self._counts = _read_counts(self)

    @property
    def counts(self) -> Counts:
        return self._counts

    def run(self, job: Callable[[Transaction], T]) -> T:
        """Run one job of several in a commit, undoing it alone if it raises."""
        before = self._counts
        self._execute("SAVEPOINT job")
        try:
            result = job(self)
        except BaseException:
            self._execute("ROLLBACK TO job")
            self._execute("RELEASE job")
            self._counts = before
            raise
        self._execute("RELEASE job")
        return result

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")

    def commit(self, before: Counts) -> None:
        try:
            if self._counts != before:
                counts = self._counts
                self.set(_COUNTS, jsonio.dumps([counts.seq, counts.live, counts.deleted, counts.external]))
            self._execute("COMMIT")
        except BaseException:
            self._counts = before
            if self._sql.in_transaction:
                self._execute("ROLLBACK")
            raise

    def put(self, record: Record, previous: Record | None) -> None:
        if previous is not None:
            self._execute("DELETE FROM docs WHERE seq = ?", (previous.seq,))
        self._execute("INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", record)
        self._counts = self._counts.after(previous, record)

    def put_body(self, doc_id: str, body: StoredBody) -> None:
        self._execute("INSERT OR REPLACE INTO bodies VALUES (?, ?, ?, ?, ?)", (doc_id, *body))

    def drop_body(self, doc_id: str, rev: str) -> None:
        self._execute("DELETE FROM bodies WHERE id = ? AND rev = ?", (doc_id, rev))

    def put_local(self, doc: LocalDoc) -> None:
        self._execute("INSERT OR REPLACE INTO locals VALUES (?, ?, ?)", doc)

    def drop_local(self, doc_id: str) -> None:
        self._execute("DELETE FROM locals WHERE id = ?", (doc_id,))

    def set(self, name: str, value: bytes) -> None:
        self._execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def adopt(self, upload: Upload) -> None:
        if self._execute("SELECT 1 FROM blobs WHERE key = ?", (upload.key,)).fetchone() is not None:
            return
        data = upload.taken() if upload.path is None else None
        if data is None or len(data) > _SMALL:
            self._keep_file(upload, data)
            data = None
        self._execute("INSERT INTO blobs VALUES (?, ?)", (upload.key, data))

    def _keep_file(self, upload: Upload, data: bytes | None) -> None:
        """Move the bytes to their final name; if the commit then fails, they wait there for their next use."""
        path = upload.path or self._attachments / f"{uuid4().hex}{PART}"
        if data is not None:
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        path.replace(self._attachments / upload.key)
        _sync_directory(self._attachments)


class SqliteRepository(_SqliteReader, Repository):
    """`directory` holds one database, created if need be. Raises CouchError for another format."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._attachments = directory / ATTACHMENTS
        self._attachments.mkdir(parents=True, exist_ok=True)
        for leftover in self._attachments.glob(f"*{PART}"):
            leftover.unlink()
        self._file = directory / FILE
        self._writer = _connect(self._file)
        super().__init__(_connect(self._file))
        self._execute("PRAGMA query_only = ON")
        self._transaction = _SqliteTransaction(self._writer, self._attachments)
        self._counts = self._transaction.counts
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def counts(self) -> Counts:
        return self._counts

    def found(self, settings: Mapping[str, bytes]) -> None:
        self._writer.execute("BEGIN")
        self._writer.executemany("INSERT INTO settings VALUES (?, ?)", settings.items())
        self._writer.execute("COMMIT")

    def by_seq(self, after: int, limit: int, *, descending: bool, bodies: bool) -> list[Entry]:
        body = "body" if bodies else "NULL"
        where = "seq < ? ORDER BY seq DESC" if descending else "seq > ? ORDER BY seq"
        sql = f"SELECT seq, id, rev, deleted, others, atts, {body} FROM docs WHERE {where} LIMIT ?"
        return [Entry._make(row) for row in self._execute(sql, (after, limit))]

    def by_id(self, wanted: Range, limit: int, *, bodies: bool) -> list[Entry]:
        columns = "0, id, rev, deleted, NULL, NULL, NULL" if not bodies else "seq, id, rev, deleted, others, atts, body"
        where, bounds = _where(wanted)
        order = "DESC" if wanted.descending else "ASC"
        sql = f"SELECT {columns} FROM docs WHERE {where} ORDER BY id {order} LIMIT ?"
        return [Entry._make(row) for row in self._execute(sql, (*bounds, limit))]

    def count_by_seq(self, after: int) -> int:
        row = self._execute("SELECT count(*) FROM docs INDEXED BY docs_by_seq WHERE seq > ?", (after,)).fetchone()
        return cast(int, row[0])

    def count_by_id(self, wanted: Range) -> int:
        where, bounds = _where(wanted)
        return cast(int, self._execute(f"SELECT count(*) FROM docs WHERE {where}", bounds).fetchone()[0])

    def locals(self) -> list[LocalDoc]:
        return [LocalDoc._make(row) for row in self._execute("SELECT id, rev, body FROM locals ORDER BY id")]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._execute("BEGIN")
        try:
            yield
        finally:
            self._execute("COMMIT")

    async def write(self, job: Callable[[Transaction], T]) -> T:
        if self._closed:
            raise NotFound("Database does not exist.")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="endpoint-writer", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(job, loop, done))
        return await done

    def new_upload(self) -> Upload:
        return Upload(self._attachments)

    async def read_blob(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        row = self._execute("SELECT data FROM blobs WHERE key = ?", (key,)).fetchone()
        data = None if row is None else row[0]
        if data is not None:
            yield data[start:end]
            return
        with await asyncio.to_thread((self._attachments / key).open, "rb") as file:
            file.seek(start)
            while start < end:
                chunk = await asyncio.to_thread(file.read, min(CHUNK, end - start))
                if not chunk:
                    raise CouchError("An attachment's file is shorter than it was when it was stored.")
                start += len(chunk)
                yield chunk

    def file_size(self) -> int:
        return self._file.stat().st_size

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
        self._sql.close()
        self._writer.close()

    async def destroy(self) -> None:
        await self.close()
        trash = self._directory.with_name(TRASH + uuid4().hex)
        self._directory.rename(trash)  # the moment at which the database is gone
        _sync_directory(trash.parent)
        await asyncio.to_thread(shutil.rmtree, trash, True)

    # ---- the writer thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._commit_with(job)

    def _commit_with(self, first: _Job) -> None:
        """One commit with a job and those waiting behind it."""
        outcomes: list[_Outcome] = []
        transaction, before = self._transaction, self._transaction.counts
        more: _Job | None = first
        until = time.monotonic() + _COMMIT_WITHIN
        try:
            transaction.begin()
            while more is not None:
                outcomes.append(_attempt(transaction, more))
                more = self._next() if time.monotonic() < until else None
            transaction.commit(before)
        except Exception as error:
            outcomes = [_Outcome(outcome.job, None, error) for outcome in outcomes] or [_Outcome(first, None, error)]
        self._counts = transaction.counts
        for loop in {outcome.job.loop for outcome in outcomes}:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._settle, loop, outcomes)

    def _settle(self, loop: asyncio.AbstractEventLoop, outcomes: list[_Outcome]) -> None:
        """In the event loop: answer those of its jobs for which somebody still waits."""
        if self.on_commit is not None:
            self.on_commit()
        for job, result, error in outcomes:
            if job.loop is not loop or job.done.done():
                continue
            if error is None:
                job.done.set_result(result)
            else:
                job.done.set_exception(error)

    def _next(self) -> _Job | None:
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return None
        if job is None:
            self._jobs.put(None)  # closing: for the outer loop to see
        return job


def _attempt(transaction: _SqliteTransaction, job: _Job) -> _Outcome:
    try:
        return _Outcome(job, transaction.run(job.run), None)
    except Exception as error:
        return _Outcome(job, None, error)


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768;"
        "PRAGMA mmap_size = 268435456; PRAGMA wal_autocheckpoint = 4000;"
        "PRAGMA journal_size_limit = 67108864;"
    )
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_FORMAT};COMMIT;")
    elif found != _FORMAT:
        connection.close()
        raise CouchError(f"{file} has format {found}; this version reads format {_FORMAT}.")
    return connection


def _read_counts(reader: _SqliteReader) -> Counts:
    stored = reader.setting(_COUNTS)
    return Counts() if stored is None else Counts(*jsonio.loads(stored))


def _where(wanted: Range) -> tuple[str, list[str]]:
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


def _sync_directory(directory: Path) -> None:
    """Make renames in a directory durable, where the system can."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return  # Windows cannot open directories, and needs no such thing
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
