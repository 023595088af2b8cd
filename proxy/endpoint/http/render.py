"""Documents as JSON text: what a reader asked to see of attachments. Bodies are spliced as stored, never decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from proxy.core import jsonio
from proxy.core.revisions import parse_rev
from proxy.endpoint.database import Attachment, Database, Document


@dataclass(frozen=True, slots=True)
class Shown:
    """`since`: the ancestors whose attachments the reader has (`atts_since`); None: it has none."""

    attachments: bool = False
    encoding_info: bool = False
    since: Sequence[str] | None = None
    revs: bool = False

    @property
    def plain(self) -> bool:
        """Whether no attachment's bytes can be asked for, so that a document is rendered without waiting."""
        return not self.attachments and self.since is None

    @property
    def needs_path(self) -> bool:
        """Whether the path of a revision must be read, to show it or to compare with `since`."""
        return self.revs or self.since is not None


STUBS = Shown()


def wanted(document: Document, shown: Shown) -> tuple[Attachment, ...]:
    """The attachments whose bytes go with the document: all, or those newer than any ancestor in `since`."""
    if shown.plain or not document.attachments:
        return ()
    known = _newest_known(document, shown.since) if shown.since is not None else 0
    return tuple(a for a in document.attachments if a.revpos > known)


def without_path(document: Document, shown: Shown) -> Document:
    """The document without its `_revisions` where they were only read for `since`."""
    if shown.revs or document.revisions is None:
        return document
    return replace(document, revisions=None)


async def document_json(database: Database, document: Document, shown: Shown = STUBS) -> bytes:
    """The JSON text of a document, attachments as stubs or inline as base64."""
    bodies = wanted(document, shown)
    if not bodies:
        return without_path(document, shown).json(encoding_info=shown.encoding_info)
    data = {a.name: await database.attachment_data(a) for a in bodies}
    return without_path(document, shown).json(data=data, encoding_info=shown.encoding_info)


def missing_json(rev: str) -> bytes:
    return jsonio.dumps({"missing": rev})


def _newest_known(document: Document, since: Sequence[str]) -> int:
    """The generation of the newest ancestor that the reader has; 0 if it has none of them."""
    if document.revisions is None:
        return 0
    path = set(document.revisions.revs())
    known = [parse_rev(rev) for rev in since]
    return max((rev.generation for rev in known if rev in path), default=0)
