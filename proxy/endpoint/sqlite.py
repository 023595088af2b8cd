"""A repository in a directory: one SQLite file, write-ahead logged, and files for large attachments.

Reads go through a connection of their own, straight from the event loop: a look-up takes microseconds. Writes go to
one thread, which takes all jobs that have queued up meanwhile into one commit, and answers them only once that is on
disk (`synchronous=FULL`): many small writers share the price of one fsync, and a `kill -9` loses nothing that was
acknowledged. Counts and sequences live in that thread between commits; so a file belongs to one process.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast
from uuid import uuid4

from proxy.endpoint.attachments import CHUNK, PART, Upload
from proxy.endpoint.repository import Counts, Entry, LocalDoc, Range, Repository, Transaction
from proxy.endpoint.sqlite_reader import FILE, SqliteReader, condition, connect
from proxy.endpoint.sqlite_writer import SqliteTransaction, Writer, sync_directory
from proxy.errors import CouchError, NotFound

T = TypeVar("T")

ATTACHMENTS = "attachments"
TRASH = ".trash-"
"""The prefix of directories that were deleted but perhaps not yet removed."""


class SqliteRepository(SqliteReader, Repository):
    """`directory` holds one database, created if need be. Raises CouchError for another format."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._attachments = directory / ATTACHMENTS
        self._attachments.mkdir(parents=True, exist_ok=True)
        for leftover in self._attachments.glob(f"*{PART}"):
            leftover.unlink()
        self._file = directory / FILE
        transaction = SqliteTransaction(connect(self._file), self._attachments)
        super().__init__(connect(self._file))
        self._execute("PRAGMA query_only = ON")
        self._transaction = transaction
        self._writer = Writer(transaction, self._committed)
        self._closed = False

    @property
    def counts(self) -> Counts:
        return self._writer.counts

    def found(self, settings: Mapping[str, bytes]) -> None:
        self._transaction.begin()
        for name, value in settings.items():
            self._transaction.set(name, value)
        self._transaction.commit()

    def by_seq(self, after: int, limit: int, *, descending: bool, bodies: bool) -> list[Entry]:
        body = "body" if bodies else "NULL"
        where = "seq < ? ORDER BY seq DESC" if descending else "seq > ? ORDER BY seq"
        sql = f"SELECT seq, id, rev, deleted, others, atts, {body} FROM docs WHERE {where} LIMIT ?"
        return [Entry._make(row) for row in self._execute(sql, (after, limit))]

    def by_id(self, wanted: Range, limit: int, *, bodies: bool) -> list[Entry]:
        columns = "0, id, rev, deleted, NULL, NULL, NULL" if not bodies else "seq, id, rev, deleted, others, atts, body"
        where, bounds = condition(wanted)
        order = "DESC" if wanted.descending else "ASC"
        sql = f"SELECT {columns} FROM docs WHERE {where} ORDER BY id {order} LIMIT ?"
        return [Entry._make(row) for row in self._execute(sql, (*bounds, limit))]

    def count_by_seq(self, after: int) -> int:
        row = self._execute("SELECT count(*) FROM docs INDEXED BY docs_by_seq WHERE seq > ?", (after,)).fetchone()
        return cast(int, row[0])

    def count_by_id(self, wanted: Range) -> int:
        where, bounds = condition(wanted)
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
        return await self._writer.write(job)

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
        if not self._closed:
            self._closed = True
            await self._writer.close()
            self._sql.close()

    async def destroy(self) -> None:
        await self.close()
        trash = self._directory.with_name(TRASH + uuid4().hex)
        self._directory.rename(trash)  # the moment at which the database is gone
        sync_directory(trash.parent)
        await asyncio.to_thread(shutil.rmtree, trash, True)

    def _committed(self) -> None:
        if self.on_commit is not None:
            self.on_commit()
