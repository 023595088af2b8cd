"""What a database answers with: documents, and the rows of listings, feeds and writes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.core import jsonio
from proxy.core.revisions import Revisions
from proxy.endpoint.attachments import Attachment


@dataclass(slots=True)
class Document:
    """One revision of a document. `body` is the JSON text of its own members, `{...}`."""

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
        text = b'{"_id":' + jsonio.dumps(self.id) + b',"_rev":' + jsonio.dumps(self.rev)
        if self.body != b"{}":
            text += b"," + self.body[1:-1]
        if self.deleted:
            text += b',"_deleted":true'
        if self.revisions is None and not self.meta and not self.attachments:
            return text + b"}"
        return text + self._trailer(data or {}, follows, encoding_info) + b"}"

    def _trailer(self, data: Mapping[str, bytes], follows: Container[str], encoding_info: bool) -> bytes:
        more: dict[str, Any] = {}
        if self.revisions is not None:
            more["_revisions"] = {"start": self.revisions.start, "ids": self.revisions.ids}
        more.update(self.meta)
        if self.attachments:
            more["_attachments"] = {
                attachment.name: attachment.json(
                    data=data.get(attachment.name),
                    follows=attachment.name in follows,
                    encoding_info=encoding_info,
                )
                for attachment in self.attachments
            }
        return b"," + jsonio.dumps(more)[1:-1]


@dataclass(frozen=True, slots=True)
class MissingRev:
    """A revision that was asked for and is not held; on the wire `{"missing": rev}` (`_bulk_get`: not_found)."""

    rev: str


@dataclass(slots=True)
class Row:
    """One row of `_all_docs`."""

    id: str
    rev: str
    deleted: bool
    document: Document | None
    """If `include_docs`; None for a deleted document."""


@dataclass(slots=True)
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
