"""Encoders of CouchDB's multipart layouts (couch_httpd_multipart and chttpd_db).

    Related     a document and its attachments; exact Content-Length known beforehand
    OpenRevs    multipart/mixed of `open_revs`: documents, related documents, missing revisions
    BulkGet     multipart `_bulk_get`

Bodies of attachments are not held: the caller sends `head()`, then for each attachment `part(i)` and its
bytes followed by `end_part()`, then `tail()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Attachment(NamedTuple):
    """What a part's header says: `length` is the bytes that follow (as stored, so after `encoding`)."""

    name: str
    content_type: str
    length: int
    encoding: str | None = None


class Related:
    """A document with attachments as multipart/related; without any, the plain JSON, as CouchDB does."""

    def __init__(self, boundary: bytes, document: bytes, attachments: Sequence[Attachment] = ()) -> None:
        """`document`: the JSON with `follows:true` stubs; `attachments`: in the order of its
        `_attachments`.
        """
        raise NotImplementedError

    @property
    def content_type(self) -> str:
        """`multipart/related; boundary="..."`, or `application/json` if there are no attachments."""
        raise NotImplementedError

    @property
    def length(self) -> int:
        """The exact number of bytes of the whole body: its Content-Length."""
        raise NotImplementedError

    def head(self) -> bytes:
        """The document's part, up to where the first attachment's header begins."""
        raise NotImplementedError

    def part(self, index: int) -> bytes:
        """The header of the attachment; its bytes follow."""
        raise NotImplementedError

    def end_part(self) -> bytes:
        """What follows each attachment's bytes."""
        raise NotImplementedError

    def tail(self) -> bytes:
        """What follows the last `end_part()`."""
        raise NotImplementedError


class Envelope(Protocol):
    """A reply of several documents: head(), then document(...) body end_document() or error(...) each, then
    tail().
    """

    content_type: str

    def head(self) -> bytes: ...

    def document(self, related: Related, doc_id: str, rev: str) -> bytes:
        """What precedes a document, whose bytes are `related`'s."""

    def end_document(self) -> bytes: ...

    def error(self, body: bytes) -> bytes:
        """A whole part of type `application/json; error="true"` with this JSON (`{"missing": rev}`, ...)."""

    def tail(self) -> bytes: ...
