"""Encoders of CouchDB's multipart layouts, byte for byte (couch_httpd_multipart and chttpd_db).

    Related     a document and its attachments; exact Content-Length known beforehand
    OpenRevs    multipart/mixed of `open_revs`
    BulkGet     multipart `_bulk_get`

Bodies of attachments are not held: of a Related the caller sends `head()`, then for each attachment `part(i)`, its
bytes, and `end_part()`, then `tail()`. Of a reply with several documents it sends `head()`, then for each document
`document(related)`, the bytes of that Related, and `end_document()`, or for an error `error(...)`, then `tail()`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Attachment(NamedTuple):
    """What a part's header says: `length` is the bytes that follow (as stored, so after `encoding`)."""

    name: str
    content_type: str
    length: int
    encoding: str | None = None


class Related:
    """A document with attachments as multipart/related; without any, the plain JSON, as CouchDB does."""

    def __init__(self, boundary: bytes, document: bytes, attachments: Sequence[Attachment] = ()) -> None:
        """`document`: the JSON with `follows:true` stubs; `attachments`: in the order of its `_attachments`."""
        self.boundary = boundary
        self._document = document
        self._parts = tuple(map(_attachment_header, attachments))
        self._lengths = sum(attachment.length for attachment in attachments)

    @property
    def is_multipart(self) -> bool:
        """Whether there are attachments; if not, the body is the document alone."""
        return bool(self._parts)

    @property
    def content_type(self) -> str:
        """`multipart/related; boundary="..."`, or `application/json` if there are no attachments."""
        if not self._parts:
            return "application/json"
        return f'multipart/related; boundary="{self.boundary.decode("ascii")}"'

    @property
    def length(self) -> int:
        """The exact number of bytes of the whole body: its Content-Length."""
        parts = sum(map(len, self._parts)) + len(self._parts) * len(self.end_part()) if self._parts else 0
        return len(self.head()) + parts + self._lengths + len(self.tail())

    def head(self) -> bytes:
        """The document's part, up to where the first attachment's header begins."""
        if not self._parts:
            return self._document
        return b"--%b\r\nContent-Type: application/json\r\n\r\n%b\r\n--%b" % (
            self.boundary,
            self._document,
            self.boundary,
        )

    def part(self, index: int) -> bytes:
        """The header of the attachment; its bytes follow."""
        return self._parts[index]

    def end_part(self) -> bytes:
        """What follows each attachment's bytes."""
        return b"\r\n--" + self.boundary

    def tail(self) -> bytes:
        """What follows the last `end_part()`."""
        return b"--" if self._parts else b""

    def encode(self, bodies: Iterable[bytes] = ()) -> bytes:
        """The whole body, for attachments that are at hand. Raises ValueError if there are more or fewer of them."""
        parts = (header + body + self.end_part() for header, body in zip(self._parts, bodies, strict=True))
        return b"".join((self.head(), *parts, self.tail()))


class Envelope(Protocol):
    """A reply of several documents."""

    @property
    def content_type(self) -> str:
        """The reply's Content-Type."""

    def head(self) -> bytes:
        """What opens the reply."""

    def document(self, related: Related, doc_id: str, rev: str) -> bytes:
        """What precedes a document, whose bytes are `related`'s."""

    def end_document(self) -> bytes:
        """What follows a document."""

    def error(self, body: bytes) -> bytes:
        """A whole part of type `application/json; error="true"` with this JSON (`{"missing": rev}`, ...)."""

    def tail(self) -> bytes:
        """What closes the reply."""


class OpenRevs:
    """The multipart/mixed answer to `open_revs`. CouchDB uses one inner boundary for all of its documents."""

    def __init__(self, boundary: bytes) -> None:
        self._boundary = boundary

    @property
    def content_type(self) -> str:
        return f'multipart/mixed; boundary="{self._boundary.decode("ascii")}"'

    def head(self) -> bytes:
        return b"--" + self._boundary

    def document(self, related: Related, doc_id: str, rev: str) -> bytes:
        return b"\r\nContent-Type: %b\r\n\r\n" % related.content_type.encode("ascii")

    def end_document(self) -> bytes:
        return b"\r\n--" + self._boundary

    def error(self, body: bytes) -> bytes:
        return b'\r\nContent-Type: application/json; error="true"\r\n\r\n' + body + self.end_document()

    def tail(self) -> bytes:
        return b"--"


class BulkGet:
    """The multipart answer to `_bulk_get`. CouchDB's boundaries begin with two dashes here; nothing depends on it."""

    def __init__(self, boundary: bytes, content_type: str = "multipart/mixed") -> None:
        """`content_type`: multipart/mixed or multipart/related (see accept.bulk_get_type)."""
        self._boundary = boundary
        self._type = content_type
        self._empty = True

    @property
    def content_type(self) -> str:
        return f'{self._type}; boundary="{self._boundary.decode("ascii")}"'

    def head(self) -> bytes:
        return b""

    def document(self, related: Related, doc_id: str, rev: str) -> bytes:
        if not related.is_multipart:
            return self._part(b"\r\nContent-Type: application/json\r\n\r\n")
        return self._part(
            b"\r\nX-Doc-Id: %b\r\nX-Rev-Id: %b\r\nContent-Type: multipart/related; boundary=%b\r\n\r\n"
            % (_safe(doc_id), _safe(rev), related.boundary)
        )

    def end_document(self) -> bytes:
        return b""

    def error(self, body: bytes) -> bytes:
        return self._part(b'\r\nContent-Type: application/json; error="true"\r\n\r\n' + body)

    def tail(self) -> bytes:
        return b"" if self._empty else b"\r\n--%b--\r\n" % self._boundary

    def _part(self, rest: bytes) -> bytes:
        self._empty = False
        return b"\r\n--" + self._boundary + rest


def new_boundary() -> bytes:
    """A boundary that occurs in no body: 32 random hexadecimal digits."""
    return secrets.token_hex(16).encode("ascii")


def _attachment_header(attachment: Attachment) -> bytes:
    encoding = b"\r\nContent-Encoding: " + _safe(attachment.encoding) if attachment.encoding else b""
    return b'\r\nContent-Disposition: attachment; filename="%b"\r\nContent-Type: %b\r\nContent-Length: %d%b\r\n\r\n' % (
        _safe(attachment.name).replace(b'"', b"%22"),
        _safe(attachment.content_type),
        attachment.length,
        encoding,
    )


def _safe(text: str) -> bytes:
    """UTF-8 as CouchDB writes it, but with control characters escaped: names may hold line ends."""
    return _CONTROL.sub(lambda found: f"%{ord(found[0]):02X}", text).encode("utf-8")
