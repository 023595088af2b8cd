"""Documents with the bodies of their attachments as multipart: JSON parts first, stored bytes behind them.

Layouts are CouchDB's (couch_httpd_multipart, wire reference 1.6). Bodies are streamed one attachment at a time, as the
source stores them: gzipped where `encoding` says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.wire.envelope import Attachment, Envelope, OpenRevs, Related, new_boundary
from proxy.fetch import attachments_of
from proxy.reading.attachments import following, stored_bodies, stored_length
from proxy.resolve import Shown
from proxy.view import View


@dataclass(frozen=True)
class Parts:
    """A body that is ready to be sent. `length`: its exact size in bytes, None if that is not known beforehand."""

    content_type: str
    length: int | None
    body: AsyncIterator[bytes]


@dataclass(frozen=True)
class Bundle:
    """One document with those of its attachments whose bodies go with it."""

    view: View
    shown: Shown
    related: Related
    names: tuple[str, ...]

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes of the document and the bodies. Raises Unavailable if the source does not keep its word."""
        yield self.related.head()
        async with stored_bodies(self.view, self.shown, self.names) as bodies:
            for index, name in enumerate(self.names):
                yield self.related.part(index)
                async for piece in bodies.of(self.shown, name):
                    yield piece
                yield self.related.end_part()
        yield self.related.tail()


def bundle(view: View, shown: Shown, doc: Doc, names: Iterable[str], boundary: bytes) -> Bundle:
    """`doc` (of `shown`, which has encodings) with the named attachments following it."""
    wanted = frozenset(names)
    entries = attachments_of(doc)
    ordered = tuple(name for name in entries if name in wanted)
    if ordered:
        doc = {**doc, "_attachments": {n: _follows(e) if n in wanted else e for n, e in entries.items()}}
    headers = [_header(name, entries[name]) for name in ordered]
    return Bundle(view, shown, Related(boundary, jsonio.dumps(doc), headers), ordered)


def document_parts(view: View, shown: Shown, doc: Doc, names: Iterable[str]) -> Parts:
    """`doc` as multipart/related with the bodies of the named attachments; the others stay stubs."""
    whole = bundle(view, shown, doc, names, new_boundary())
    return Parts(whole.related.content_type, whole.related.length, whole.pieces())


def mixed_parts(view: View, results: list[Shown | str], revs: bool, atts_since: list[str] | None) -> Parts:
    """The multipart/mixed reply to `open_revs`: documents, and revisions (as text) that are missing.

    Bodies of attachments always go with their documents, unless they are as old as a revision in `atts_since`.
    """
    envelope = OpenRevs(new_boundary())
    return Parts(envelope.content_type, None, _mixed(view, envelope, results, revs, atts_since))


async def _mixed(
    view: View, envelope: Envelope, results: list[Shown | str], revs: bool, atts_since: list[str] | None
) -> AsyncIterator[bytes]:
    inner = new_boundary()  # one for all of them, as in CouchDB
    yield envelope.head()
    for result in results:
        if isinstance(result, str):
            yield envelope.error(jsonio.dumps({"missing": result}))
            continue
        doc = result.doc if revs else {k: v for k, v in result.doc.items() if k != "_revisions"}
        names = following(result.doc, atts_since, everything=True)
        async for piece in enveloped(envelope, bundle(view, result, doc, names, inner)):
            yield piece
    yield envelope.tail()


async def enveloped(envelope: Envelope, content: Bundle) -> AsyncIterator[bytes]:
    """One document as a part of a reply of several."""
    yield envelope.document(content.related, content.shown.doc["_id"], content.shown.rev)
    async for piece in content.pieces():
        yield piece
    yield envelope.end_document()


def _follows(entry: dict[str, Any]) -> dict[str, Any]:
    return {"follows" if key == "stub" else key: value for key, value in entry.items()} | {"follows": True}


def _header(name: str, entry: dict[str, Any]) -> Attachment:
    return Attachment(name, str(entry.get("content_type")), stored_length(entry), entry.get("encoding"))
