"""The writer thread of one database: it takes all jobs that have queued up into one commit.

Each job runs under a savepoint, so that one that raises is undone alone. Futures are answered only once the commit is
on disk. If the commit fails, or SQLite gives up the transaction under way (a full disk), all its jobs fail.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from proxy.core import jsonio
from proxy.endpoint.attachments import PART, Upload
from proxy.endpoint.repository import Counts, LocalDoc, Record, StoredBody, Transaction
from proxy.endpoint.sqlite_reader import SqliteReader

T = TypeVar("T")

_SMALL = 64 * 1024
"""Attachments up to this many bytes live in the SQLite file, larger ones in a file each."""
_COMMIT_WITHIN = 0.01
"""Seconds after which a commit takes no further jobs."""
_COUNTS = "counts"


class _Lost(Exception):
    """SQLite has rolled back the whole transaction on its own."""


class SqliteTransaction(SqliteReader, Transaction):
    """The writing connection, in the writer thread."""

    def __init__(self, connection: sqlite3.Connection, attachments: Path) -> None:
        super().__init__(connection)
        self._attachments = attachments
        self._counts = self._committed = self._read_counts()

    @property
    def counts(self) -> Counts:
        return self._counts

    def run(self, job: Callable[[Transaction], T]) -> T:
        """Run one job of several in a commit, undoing it alone if it raises."""
        before = self._counts
        self._execute("SAVEPOINT job")
        try:
            result = job(self)
        except BaseException as error:
            self._counts = before
            if not self._sql.in_transaction:
                raise _Lost from error
            self._execute("ROLLBACK TO job")
            self._execute("RELEASE job")
            raise
        self._execute("RELEASE job")
        return result

    def begin(self) -> None:
        """Start what `commit` or `roll_back` ends."""
        self._execute("BEGIN IMMEDIATE")
        self._committed = self._counts

    def commit(self) -> None:
        """Returns once everything is on disk."""
        if self._counts != self._committed:
            counts = self._counts
            self.set(_COUNTS, jsonio.dumps([counts.seq, counts.live, counts.deleted, counts.external]))
        self._execute("COMMIT")
        self._committed = self._counts

    def roll_back(self) -> None:
        """Forget everything since `begin`."""
        self._counts = self._committed
        if self._sql.in_transaction:
            self._execute("ROLLBACK")

    def close(self) -> None:
        self._sql.close()

    def _read_counts(self) -> Counts:
        stored = self.setting(_COUNTS)
        return Counts() if stored is None else Counts(*jsonio.loads(stored))

    def put(self, record: Record, previous: Record | None) -> None:
        if previous is not None:
            self._execute("DELETE FROM docs WHERE seq = ?", (previous.seq,))
        self._execute("INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", record)
        self._counts = self._counts.after(previous, record)

    def put_tree(self, doc_id: str, tree: bytes) -> None:
        self._execute("UPDATE docs SET tree = ? WHERE id = ?", (tree, doc_id))

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
        sync_directory(self._attachments)


class _Job(NamedTuple):
    run: Callable[[Transaction], Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]


class _Outcome(NamedTuple):
    job: _Job
    result: Any
    error: Exception | None


class Writer:
    """`counts` are those of the last commit. `on_commit` is called in the loops that wait for one."""

    def __init__(self, transaction: SqliteTransaction, on_commit: Callable[[], None]) -> None:
        self.counts = transaction.counts
        self._transaction = transaction
        self._on_commit = on_commit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def write(self, job: Callable[[Transaction], T]) -> T:
        """See Repository.write."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="endpoint-writer", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(job, loop, done))
        return await done

    async def close(self) -> None:
        """Finish what is queued, then end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
        self._transaction.close()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            outcomes = self._commit_with(job)
            self.counts = self._transaction.counts
            for loop in {outcome.job.loop for outcome in outcomes}:
                with suppress(RuntimeError):  # a closed loop has nobody who waits
                    loop.call_soon_threadsafe(self._settle, loop, outcomes)

    def _commit_with(self, first: _Job) -> list[_Outcome]:
        """One commit with a job and those waiting behind it."""
        jobs: list[_Job] = []
        outcomes: list[_Outcome] = []
        more: _Job | None = first
        until = time.monotonic() + _COMMIT_WITHIN
        try:
            self._transaction.begin()
            while more is not None:
                jobs.append(more)
                outcomes.append(_attempt(self._transaction, more))
                more = self._next() if time.monotonic() < until else None
            self._transaction.commit()
        except Exception as error:
            cause = error.__cause__ if isinstance(error, _Lost) and isinstance(error.__cause__, Exception) else error
            self._transaction.roll_back()
            return [_Outcome(job, None, cause) for job in jobs or [first]]
        return outcomes

    def _next(self) -> _Job | None:
        try:
            job = self._jobs.get_nowait()
        except queue.Empty:
            return None
        if job is None:
            self._jobs.put(None)  # closing: for the outer loop to see
        return job

    def _settle(self, loop: asyncio.AbstractEventLoop, outcomes: list[_Outcome]) -> None:
        """In the event loop: answer those of its jobs for which somebody still waits."""
        self._on_commit()
        for job, result, error in outcomes:
            if job.loop is not loop or job.done.done():
                continue
            if error is None:
                job.done.set_result(result)
            else:
                job.done.set_exception(error)


def _attempt(transaction: SqliteTransaction, job: _Job) -> _Outcome:
    try:
        return _Outcome(job, transaction.run(job.run), None)
    except _Lost:
        raise
    except Exception as error:
        return _Outcome(job, None, error)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable, where the system can."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return  # Windows cannot open directories, and needs no such thing
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
