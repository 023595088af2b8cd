"""A repository that keeps everything in memory: for tests and for trying things out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from proxy.endpoint.attachments import CHUNK, Upload
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

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class MemoryRepository(Repository, Transaction):
    """Dictionaries, and two sorted lists: of ids, and of sequences (where replaced ones stay behind as gaps).

    It is its own transaction: a job runs at once, and leaves a trail of steps that undo it.
    """

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._ids: list[str] = []
        self._seqs: list[int] = []
        self._at: dict[int, str] = {}
        self._bodies: dict[tuple[str, str], StoredBody] = {}
        self._locals: dict[str, LocalDoc] = {}
        self._settings: dict[str, bytes] = {}
        self._blobs: dict[str, bytes] = {}
        self._counts = Counts()
        self._undo: list[Callable[[], object]] = []

    @property
    def counts(self) -> Counts:
        return self._counts

    def winner(self, doc_id: str) -> StoredBody | None:
        record = self._records.get(doc_id)
        return None if record is None else record.stored_body

    def record(self, doc_id: str) -> Record | None:
        return self._records.get(doc_id)

    def tree(self, doc_id: str) -> bytes | None:
        record = self._records.get(doc_id)
        return None if record is None else record.tree

    def body(self, doc_id: str, rev: str) -> StoredBody | None:
        return self._bodies.get((doc_id, rev))

    def local(self, doc_id: str) -> LocalDoc | None:
        return self._locals.get(doc_id)

    def setting(self, name: str) -> bytes | None:
        return self._settings.get(name)

    def found(self, settings: Mapping[str, bytes]) -> None:
        self._settings.update(settings)

    def by_seq(self, after: int, limit: int, *, descending: bool, bodies: bool) -> list[Entry]:
        if descending:
            seqs = self._seqs[: bisect_left(self._seqs, after)][::-1]
        else:
            seqs = self._seqs[bisect_right(self._seqs, after) :]
        live = (self._at[seq] for seq in seqs if seq in self._at)
        return [self._row(doc_id, bodies) for doc_id, _ in zip(live, range(limit), strict=False)]

    def by_id(self, wanted: Range, limit: int, *, bodies: bool) -> list[Entry]:
        live = (doc_id for doc_id in self._between(wanted) if not self._records[doc_id].deleted)
        return [self._row(doc_id, bodies) for doc_id, _ in zip(live, range(limit), strict=False)]

    def count_by_seq(self, after: int) -> int:
        return sum(seq in self._at for seq in self._seqs[bisect_right(self._seqs, after) :])

    def count_by_id(self, wanted: Range) -> int:
        return sum(not self._records[doc_id].deleted for doc_id in self._between(wanted))

    def locals(self) -> list[LocalDoc]:
        return [self._locals[doc_id] for doc_id in sorted(self._locals)]

    def snapshot(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def write(self, job: Callable[[Transaction], T]) -> T:
        before = self._counts
        self._undo = []
        try:
            result = job(self)
        except BaseException:
            for step in reversed(self._undo):
                step()
            self._counts = before
            raise
        if self.on_commit is not None:
            self.on_commit()
        return result

    def put(self, record: Record, previous: Record | None) -> None:
        if previous is None:
            insort(self._ids, record.id)  # code points sort as their UTF-8 does
            self._undo.append(lambda: self._ids.remove(record.id))
        else:
            self._change(self._at, previous.seq, None)
        self._change(self._at, record.seq, record.id)
        self._change(self._records, record.id, record)
        self._seqs.append(record.seq)
        self._undo.append(self._seqs.pop)
        self._counts = self._counts.after(previous, record)

    def put_tree(self, doc_id: str, tree: bytes) -> None:
        self._change(self._records, doc_id, self._records[doc_id]._replace(tree=tree))

    def put_body(self, doc_id: str, body: StoredBody) -> None:
        self._change(self._bodies, (doc_id, body.rev), body)

    def drop_body(self, doc_id: str, rev: str) -> None:
        self._change(self._bodies, (doc_id, rev), None)

    def put_local(self, doc: LocalDoc) -> None:
        self._change(self._locals, doc.id, doc)

    def drop_local(self, doc_id: str) -> None:
        self._change(self._locals, doc_id, None)

    def set(self, name: str, value: bytes) -> None:
        self._change(self._settings, name, value)

    def adopt(self, upload: Upload) -> None:
        self._blobs.setdefault(upload.key, upload.taken())

    def new_upload(self) -> Upload:
        return Upload(None)

    async def read_blob(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        data = self._blobs[key][start:end]
        for at in range(0, len(data), CHUNK):
            yield data[at : at + CHUNK]

    def file_size(self) -> int:
        return 0

    async def close(self) -> None:
        """Nothing is open."""

    async def destroy(self) -> None:
        self.__init__()  # type: ignore[misc]  # forgets everything

    def _row(self, doc_id: str, bodies: bool) -> Entry:
        record = self._records[doc_id]
        body = record.body if bodies else None
        return Entry(record.seq, doc_id, record.rev, record.deleted, record.others, record.atts, body)

    def _between(self, wanted: Range) -> list[str]:
        low, high = (wanted.end, wanted.start) if wanted.descending else (wanted.start, wanted.end)
        with_low, with_high = wanted.inclusive_start, wanted.inclusive_end
        if wanted.descending:
            with_low, with_high = with_high, with_low
        first = 0 if low is None else (bisect_left if with_low else bisect_right)(self._ids, low)
        last = len(self._ids) if high is None else (bisect_right if with_high else bisect_left)(self._ids, high)
        found = self._ids[first:last]
        return found[::-1] if wanted.descending else found

    def _change(self, where: dict[K, V], key: K, value: V | None) -> None:
        """Set or delete, and remember how to undo it."""
        before = where.get(key)
        _assign(where, key, value)
        self._undo.append(lambda: _assign(where, key, before))


def _assign(where: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        where.pop(key, None)
    else:
        where[key] = value
