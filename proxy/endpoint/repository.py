"""What a database is stored in: rows, bodies and blobs, behind an interface with two implementations.

A document is one row under its latest sequence, with the winner's body in it as raw JSON text: a plain GET is
one look-up and decodes nothing. Bodies of all other revisions, conflicting or past, are kept beside it.
`Repository` answers reads at once; a write is a function that gets a `Transaction`. Jobs run one after the
other, several may share one commit, and each is done either wholly or not at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from proxy.endpoint.attachments import Upload

T = TypeVar("T")


class StoredBody(NamedTuple):
    """One revision: `body` is JSON text without members of CouchDB's own, `atts` packed attachments."""

    rev: str
    deleted: bool
    atts: bytes | None
    body: bytes


class Entry(NamedTuple):
    """One document as a feed or listing sees it: the winner.

    `others` is JSON text: a list of `[rev, deleted]` for all other leaves, best first; None if there are none.
    """

    seq: int
    id: str
    rev: str
    deleted: bool
    others: bytes | None
    atts: bytes | None
    body: bytes | None
    """None if the bodies were not asked for."""


class Record(NamedTuple):
    """One document as it is written: the winner's body, and the revision tree as JSON text."""

    seq: int
    id: str
    rev: str
    deleted: bool
    others: bytes | None
    tree: bytes
    atts: bytes | None
    body: bytes

    @property
    def stored_body(self) -> StoredBody:
        return StoredBody(self.rev, self.deleted, self.atts, self.body)


class LocalDoc(NamedTuple):
    """A `_local` document; its revision is `0-n`."""

    id: str
    rev: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """Running totals of a database. `external` is the bytes of the winners' bodies."""

    seq: int = 0
    live: int = 0
    deleted: int = 0
    external: int = 0

    def after(self, previous: Record | None, record: Record) -> Counts:
        """The counts once `record` has replaced `previous`."""
        counts = self._add(record, 1)
        return replace(counts if previous is None else counts._add(previous, -1), seq=record.seq)

    def _add(self, record: Record, sign: int) -> Counts:
        return Counts(
            self.seq,
            self.live + (0 if record.deleted else sign),
            self.deleted + (sign if record.deleted else 0),
            self.external + sign * len(record.body),
        )


class Range(NamedTuple):
    """Ids from `start` to `end` in the order read, so that with `descending` `start` is the greater one."""

    start: str | None = None
    end: str | None = None
    inclusive_start: bool = True
    inclusive_end: bool = True
    descending: bool = False


class Reader(ABC):
    """What can be asked of a database."""

    @abstractmethod
    def winner(self, doc_id: str) -> StoredBody | None:
        """The winning revision: the quickest question."""

    @abstractmethod
    def record(self, doc_id: str) -> Record | None: ...

    @abstractmethod
    def tree(self, doc_id: str) -> bytes | None:
        """The revision tree of a document as JSON text."""

    @abstractmethod
    def body(self, doc_id: str, rev: str) -> StoredBody | None:
        """A revision other than the winner."""

    @abstractmethod
    def local(self, doc_id: str) -> LocalDoc | None: ...

    @abstractmethod
    def setting(self, name: str) -> bytes | None:
        """A named value of the database: `security`, `revs_limit`, ..."""

    @property
    @abstractmethod
    def counts(self) -> Counts: ...


class Transaction(Reader):
    """What a job may do. It sees its own changes. `counts` are kept by `put`."""

    @abstractmethod
    def put(self, record: Record, previous: Record | None) -> None:
        """Write a document under a new sequence, in the place of `previous`."""

    @abstractmethod
    def put_tree(self, doc_id: str, tree: bytes) -> None:
        """Change what a known document's tree says, not its leaves: it keeps its sequence."""

    @abstractmethod
    def put_body(self, doc_id: str, body: StoredBody) -> None: ...

    @abstractmethod
    def drop_body(self, doc_id: str, rev: str) -> None: ...

    @abstractmethod
    def put_local(self, doc: LocalDoc) -> None: ...

    @abstractmethod
    def drop_local(self, doc_id: str) -> None: ...

    @abstractmethod
    def set(self, name: str, value: bytes) -> None: ...

    @abstractmethod
    def adopt(self, upload: Upload) -> None:
        """Keep a finished upload's bytes under its key. Raises CouchError if it was discarded meanwhile."""


class Repository(Reader):
    """One database's storage. Use it from one event loop."""

    on_commit: Callable[[], None] | None = None
    """Called in the event loop after each commit, also when nobody waits for its jobs any more."""

    @abstractmethod
    def found(self, settings: Mapping[str, bytes]) -> None:
        """The first settings of a new database, at once, before anything else is written."""

    @abstractmethod
    def by_seq(self, after: int, limit: int, *, descending: bool, bodies: bool) -> list[Entry]:
        """Rows with a sequence above `after`; with `descending` below it. At most `limit`."""

    @abstractmethod
    def by_id(self, wanted: Range, limit: int, *, bodies: bool) -> list[Entry]:
        """Live documents in the order of their ids' UTF-8 bytes. At most `limit`."""

    @abstractmethod
    def count_by_seq(self, after: int) -> int:
        """How many rows have a sequence above `after`."""

    @abstractmethod
    def count_by_id(self, wanted: Range) -> int:
        """How many live documents there are in a range."""

    @abstractmethod
    def locals(self) -> list[LocalDoc]:
        """All `_local` documents in the order of their ids."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[None]:
        """Reads inside see one state, whatever is committed meanwhile. Not across an `await`."""

    @abstractmethod
    async def write(self, job: Callable[[Transaction], T]) -> T:
        """Run a job and wait until it is durable. What it raises is raised here; nothing of it is kept."""

    @abstractmethod
    def new_upload(self) -> Upload: ...

    @abstractmethod
    def read_blob(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes `start` to before `end` of what was adopted under `key`, in chunks."""

    @abstractmethod
    def file_size(self) -> int:
        """Bytes on disk, without attachments in files of their own."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was asked to be written, then close all files."""

    @abstractmethod
    async def destroy(self) -> None:
        """Close, and remove everything."""
