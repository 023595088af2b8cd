"""One database of the endpoint: what CouchDB does with documents, on top of a repository.

Reads are plain calls: they take microseconds and see the last commit. Writes are coroutines and return when the
change is durable. Revisions are strings (`"3-abc"`) at this door. Errors are `proxy.errors` with CouchDB's words.

Sequences are integers here. On the wire they are `seq_text(n)`: `N-` and a tag of this very database, so that a since
of a database that was deleted and created again starts from the beginning instead of skipping documents.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.core.revisions import Revisions


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment of one revision.

    `digest` is `md5-<base64>` of the bytes as stored; they are stored as they came: compressible types are not
    gzipped (CouchDB would), but bytes that arrive with `encoding: gzip` stay so. `length` is the plain length where it
    is known, `encoded_length` that of the stored bytes. `key` names the bytes in the repository.
    """

    name: str
    content_type: str
    revpos: int
    digest: str
    length: int
    key: str
    encoding: str | None = None
    encoded_length: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """One revision of a document. `body` is the JSON text of its own members (`{...}`, none begins with `_`)."""

    id: str
    rev: str
    deleted: bool
    body: bytes
    attachments: tuple[Attachment, ...] = ()
    revisions: Revisions | None = None
    """Its path to the root, newest first, if asked for (`revs`)."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """`_revs_info`, `_local_seq`, `_conflicts`, `_deleted_conflicts`: those asked for that have something to say."""

    def json(
        self,
        *,
        data: Mapping[str, bytes] | None = None,
        follows: Container[str] = (),
        encoding_info: bool = False,
    ) -> bytes:
        """The document's JSON text, its members in CouchDB's order, without a newline.

        `data`: plain (decoded) bytes of attachments to inline as base64, by name. `follows`: names of attachments
        whose bytes follow in a multipart message. All others are stubs. `encoding_info` adds `encoding` and
        `encoded_length` to attachments stored gzipped.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class MissingRev:
    """A revision that was asked for and is not held; on the wire `{"missing": rev}` (`_bulk_get`: not_found)."""

    rev: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `_all_docs`."""

    id: str
    rev: str
    deleted: bool
    document: Document | None
    """If `include_docs`; None for a deleted document."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row of `_changes`. `leaves` has all leaf revisions, the winner first."""

    seq: int
    id: str
    rev: str
    deleted: bool
    leaves: tuple[str, ...]
    document: Document | None
    """The winner, if `include_docs`: also if it is deleted."""


@dataclass(frozen=True, slots=True)
class Updated:
    """What became of one document of a write: stored as `rev`, or refused with `error`."""

    id: str
    rev: str | None
    error: Exception | None = None


class Upload:
    """The bytes of one attachment on their way in. Memory stays bounded however many there are.

    Either pass it to a write (which takes it over if it succeeds) or `discard` it; as an async context manager it
    discards itself at the end unless a write took it.
    """

    length: int
    """Bytes written so far."""

    async def write(self, chunk: bytes) -> None:
        raise NotImplementedError

    async def finish(self) -> None:
        """No more bytes. Idempotent; the write that takes the upload calls it if nobody did."""
        raise NotImplementedError

    async def discard(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Upload:
        raise NotImplementedError

    async def __aexit__(self, *exc_info: object) -> None:
        raise NotImplementedError


class Database:
    """Created, opened and deleted by `Server`. After deletion every call raises NotFound, every waiter wakes."""

    name: str
    instance_start_time: str
    """Seconds since 1970, as text; stays the same as long as the database exists."""

    # ---- the database itself

    @property
    def update_seq(self) -> int:
        """The sequence of the last change."""
        raise NotImplementedError

    @property
    def doc_count(self) -> int:
        """How many documents are not deleted: `total_rows` of `_all_docs`."""
        raise NotImplementedError

    def info(self) -> dict[str, Any]:
        """The object that `GET /{db}` answers with."""
        raise NotImplementedError

    def seq_text(self, seq: int) -> str:
        """A sequence as the wire shows it: `12-<tag>`."""
        raise NotImplementedError

    def parse_seq(self, text: str) -> int:
        """The sequence that a client's `since` means: 0 if it is from a previous database of this name.

        `now` is the present update_seq; quotes around it (CouchDB 2.x replicators) are ignored. Raises BadRequest
        "Malformed sequence supplied in 'since' parameter." for what is no sequence.
        """
        raise NotImplementedError

    def security(self) -> dict[str, Any]:
        raise NotImplementedError

    async def set_security(self, value: Any) -> None:
        """Raises BadRequest if `value` is not a security object."""
        raise NotImplementedError

    def revs_limit(self) -> int:
        raise NotImplementedError

    async def set_revs_limit(self, value: Any) -> None:
        """Raises BadRequest if `value` is not a positive integer."""
        raise NotImplementedError

    # ---- documents

    def get(
        self,
        doc_id: str,
        rev: str | None = None,
        *,
        latest: bool = False,
        revs: bool = False,
        revs_info: bool = False,
        conflicts: bool = False,
        deleted_conflicts: bool = False,
        local_seq: bool = False,
    ) -> Document:
        """The winner, or revision `rev` (deleted ones too), or with `latest` a leaf that descends from `rev`.

        `_local/` ids too. Raises NotFound "missing" or "deleted" (winner only), BadRequest "Invalid rev format".
        """
        raise NotImplementedError

    def open_revs(
        self, doc_id: str, wanted: Sequence[str] | None, *, latest: bool = False, revs: bool = False
    ) -> list[Document | MissingRev]:
        """The revisions `wanted`, or all leaves (None); with `latest` the leaves that descend from each.

        An unknown id gives `[]` for all leaves and only MissingRev otherwise. Raises BadRequest for a malformed rev.
        """
        raise NotImplementedError

    def all_docs(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        inclusive_end: bool = True,
        descending: bool = False,
        skip: int = 0,
        limit: int | None = None,
        include_docs: bool = False,
        conflicts: bool = False,
    ) -> Iterator[Row]:
        """Live documents from `start` to `end` in the order of their ids' UTF-8 bytes (CouchDB's), lazily in pages.

        With `descending`, `start` is the greater one. Between two rows other writes may come in.
        """
        raise NotImplementedError

    def all_docs_keys(
        self, keys: Iterable[str], *, include_docs: bool = False, conflicts: bool = False
    ) -> Iterator[Row | None]:
        """One row for each key, deleted documents included, None for unknown ids."""
        raise NotImplementedError

    def all_docs_offset(self, start: str | None, *, descending: bool = False) -> int:
        """How many live documents come before `start`."""
        raise NotImplementedError

    def local_docs(self, *, include_docs: bool = False) -> Iterator[Row]:
        """The `_local/` documents in the order of their ids."""
        raise NotImplementedError

    # ---- changes

    def changes(
        self,
        since: int = 0,
        *,
        limit: int | None = None,
        descending: bool = False,
        include_docs: bool = False,
        conflicts: bool = False,
    ) -> Iterator[Change]:
        """The changes after `since`, oldest first, lazily in pages, until there are no more at that moment.

        With `descending`: all changes newest first (CouchDB ignores since there).
        """
        raise NotImplementedError

    def changes_pending(self, since: int) -> int:
        """How many changes there are after `since`."""
        raise NotImplementedError

    async def wait_for_change(self, since: int, timeout: float | None = None) -> bool:
        """Wait until `update_seq > since`; at most `timeout` seconds. False if there is still no change.

        Raises NotFound if the database is deleted meanwhile.
        """
        raise NotImplementedError

    def revs_diff(self, revs_by_id: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
        """`{id: {"missing": [...], "possible_ancestors": [...]}}`: only ids that miss something, only non-empty lists."""
        raise NotImplementedError

    def missing_revs(self, revs_by_id: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        raise NotImplementedError

    # ---- writes

    async def put(
        self,
        doc_id: str,
        doc: Any,
        *,
        rev: str | None = None,
        new_edits: bool = True,
        uploads: Mapping[str, Upload] | None = None,
    ) -> Updated:
        """Store one JSON document (`PUT /{db}/{id}`, `_local/` too); `rev` is that of the query or If-Match.

        `uploads` has the bytes of the attachments marked `follows`. Raises what CouchDB answers: Conflict, BadRequest
        (illegal_docid, doc_validation, ...), PreconditionFailed missing_stub. The result's `error` is None.
        """
        raise NotImplementedError

    async def delete(self, doc_id: str, rev: str | None) -> Updated:
        """Delete a document; its tombstone has no body. Raises Conflict, also without `rev`; NotFound if unknown."""
        raise NotImplementedError

    async def bulk_docs(self, docs: Sequence[Any], *, new_edits: bool = True) -> list[Updated]:
        """Store many documents in one transaction; one result for each, in order, failed rows with `error`.

        Documents without `_id` get one. What is wrong with the request as a whole raises, and nothing is stored:
        illegal ids, unknown `_x` members, malformed revisions, missing stubs, with `new_edits=False` also a
        document without `_rev` and `_revisions`.
        """
        raise NotImplementedError

    async def copy(
        self, source_id: str, source_rev: str | None, target_id: str, target_rev: str | None
    ) -> Updated:
        """`COPY`: the source's body and attachments become a new revision of the target."""
        raise NotImplementedError

    # ---- attachments

    def new_upload(self) -> Upload:
        raise NotImplementedError

    async def put_attachment(
        self,
        doc_id: str,
        name: str,
        upload: Upload,
        *,
        rev: str | None,
        content_type: str,
        encoding: str | None = None,
    ) -> Updated:
        """Add or replace one attachment of revision `rev` (None: a new document). Raises as `put`."""
        raise NotImplementedError

    async def delete_attachment(self, doc_id: str, name: str, *, rev: str | None) -> Updated:
        """Raises NotFound "Document is missing attachment", Conflict."""
        raise NotImplementedError

    def read_attachment(
        self, attachment: Attachment, *, start: int = 0, end: int | None = None, decode: bool = False
    ) -> AsyncIterator[bytes]:
        """The stored bytes from `start` to before `end`, in chunks; with `decode` un-gzipped (then no range)."""
        raise NotImplementedError

    async def attachment_data(self, attachment: Attachment) -> bytes:
        """The whole plain bytes: what JSON shows as base64."""
        raise NotImplementedError
