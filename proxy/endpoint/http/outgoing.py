"""Documents with their attachments as MIME messages, streamed: the bytes of an attachment are never held whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.core.wire import envelope
from proxy.endpoint.database import Attachment, Database, Document, MissingRev
from proxy.endpoint.http.render import Shown, missing_json, wanted, without_path
from proxy.endpoint.http.reply import Stream


@dataclass(frozen=True, slots=True)
class Message:
    """A document's multipart/related form, and the attachments whose bytes it has, in the same order."""

    form: envelope.Related
    attachments: tuple[Attachment, ...]


def new_boundary() -> bytes:
    return secrets.token_hex(16).encode()


def related(document: Document, shown: Shown, boundary: bytes) -> Message:
    """The message of a document with the attachments that `shown` asks for; plain JSON if those are none."""
    bodies = wanted(document, shown)
    text = without_path(document, shown).json(follows={a.name for a in bodies}, encoding_info=True)
    return Message(envelope.Related(boundary, text, [_part(a) for a in bodies]), bodies)


def _part(attachment: Attachment) -> envelope.Attachment:
    encoding = attachment.encoding
    length = attachment.length if encoding is None else attachment.encoded_length
    assert length is not None
    return envelope.Attachment(attachment.name, attachment.content_type, length, encoding)


async def related_stream(database: Database, message: Message) -> Stream:
    form = message.form
    yield form.head()
    for index, attachment in enumerate(message.attachments):
        yield form.part(index)
        async for chunk in database.read_attachment(attachment):
            yield chunk
        yield form.end_part()
    yield form.tail()


async def enveloped(
    database: Database, form: envelope.Envelope, found: Iterable[Document | bytes], shown: Shown, inner: bytes
) -> Stream:
    """Documents and error parts (JSON text) in an envelope, the boundary `inner` for all of them."""
    yield form.head()
    for one in found:
        if isinstance(one, bytes):
            yield form.error(one)
            continue
        message = related(one, shown, inner)
        yield form.document(message.form, one.id, one.rev)
        async for chunk in related_stream(database, message):
            yield chunk
        yield form.end_document()
    yield form.tail()


def as_parts(found: Iterable[Document | MissingRev]) -> list[Document | bytes]:
    """What `open_revs` found, with what is missing as JSON text."""
    return [missing_json(one.rev) if isinstance(one, MissingRev) else one for one in found]
